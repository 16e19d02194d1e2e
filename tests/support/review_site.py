"""A controller that asks for review, and the clones of several operators, by stock git."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from controller_site import NOW, Site
from git_cli import Ran, git, git_ok
from signing import KeyPair, make_key

from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry.registry import Registry
from mftgit.model.access import Kind, OperatorRole, Principal
from mftgit.model.names import OperatorName

PASSWORD = "correct-horse"
REVIEWS = "refs/reviews/log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An operator with a clone, and a key that commits are signed with."""

    name: str
    work: Path
    key: KeyPair
    role: OperatorRole

    @property
    def principal(self) -> Principal:
        return Principal(kind=Kind.OPERATOR, name=self.name, role=self.role)

    @property
    def mail(self) -> str:
        return f"{self.name}@example.org"

    @property
    def line(self) -> str:
        return self.key.line(self.mail, 'namespaces="git"')

    def git(self, *words: str) -> Ran:
        return git(self.work, *self._settings(), *words)

    def ok(self, *words: str) -> str:
        return git_ok(self.work, *self._settings(), *words)

    def _settings(self) -> list[str]:
        said = {
            "author.name": self.name,
            "author.email": self.mail,
            "committer.name": self.name,
            "committer.email": self.mail,
        }
        return [word for key, value in said.items() for word in ("-c", f"{key}={value}")]

    def commit(self, files: Mapping[str, str | None], message: str = "change") -> str:
        """Commit ``files`` on HEAD, signed where the clone is set so."""
        for path, content in files.items():
            file = self.work / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                file.unlink()
            else:
                file.write_text(content, encoding="utf-8")
        self.ok("add", "--all")
        self.ok("commit", "--quiet", "--message", message, f"--author={self.name} <{self.mail}>")
        return self.ok("rev-parse", "HEAD")

    def fresh(self, files: Mapping[str, str | None], message: str = "change") -> str:
        """Commit ``files`` on what is published now."""
        self.ok("fetch", "--quiet", "origin")
        self.ok("checkout", "--quiet", "--detach", "origin/main")
        return self.commit(files, message)

    def push(self, to: str) -> Ran:
        return self.git("push", "origin", f"HEAD:refs/heads/{to}")


def person(
    site: Site, name: str, role: OperatorRole = OperatorRole.PROPOSE, *, signs: bool = False
) -> Person:
    """Add an operator, and clone what is published."""
    folder = site.folder.root.parent
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.add_operator(OperatorName(name), _hashed(), role)
    work = folder / f"clone-{name}"
    ca = ["-c", f"http.sslCAInfo={site.folder.ca_file}"]
    url = site.url.replace("https://", f"https://{name}:{PASSWORD}@")
    git_ok(folder, *ca, "clone", "--quiet", *ca, f"{url}/config.git", str(work))
    made = Person(name=name, work=work, key=make_key(folder, f"key-{name}"), role=role)
    for key, value in {
        "user.name": name,
        "user.email": made.mail,
        "gpg.format": "ssh",
        "user.signingKey": str(made.key.file),
        "commit.gpgSign": str(signs).lower(),
    }.items():
        git_ok(work, "config", key, value)
    return made


@cache
def _hashed() -> str:
    return hash_password(PASSWORD)
