"""Which files of a tree are documents, of which kind and name; and what is wrong with the rest."""

import shlex
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from mftgit.model.documents.document import ENDINGS, Kind
from mftgit.model.documents.problem import Problem
from mftgit.model.names import parse_name
from mftgit.model.printable import printable
from mftgit.model.revisions.safe_names import unsafe_name
from mftgit.model.rules.tree import Entry, Tree

MAX_FILES: Final = 20_000
CLUSTER_FILE: Final = "cluster.yaml"
FOLDERS: Final = {
    "members": Kind.MEMBER,
    "locations": Kind.LOCATION,
    "transfers": Kind.TRANSFER,
    "accounts": Kind.ACCOUNT,
    "groups": Kind.GROUP,
    "services": Kind.SERVICE,
    "event-handlers": Kind.EVENT_HANDLER,
    "secrets": Kind.SECRET,
}
SIGNERS_FILE: Final = "trust/allowed_signers"
REVOKED_FILE: Final = "trust/revoked_keys"
GPG_SIGNERS_FILE: Final = "trust/gpg_signers"
GPG_REVOKED_FILE: Final = "trust/gpg_revoked_keys"
TRUST_FILES: Final = (SIGNERS_FILE, REVOKED_FILE, GPG_SIGNERS_FILE, GPG_REVOKED_FILE)

_PLAIN_FILE: Final = 0o100644
_EXECUTABLE: Final = 0o100755
_SUBMODULE: Final = 0o160000
_MODES: Final = {0o120000: "a symbolic link", _SUBMODULE: "a submodule", 0o040000: "a folder"}
_CLUSTER_TWINS: Final = ("cluster.yml", "cluster.json")
_TRUST: Final = "trust"
_NO_ENTRY: Final = Entry(mode=_PLAIN_FILE, oid="", size_bytes=0, load=bytes)
_KNOWN: Final = (*FOLDERS, _TRUST)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFile:
    """A file that is a document by its place; its content has not been looked at."""

    path: str
    kind: Kind
    name: str
    ending: str
    entry: Entry


def kind_of(path: str) -> Kind | None:
    """Return what the file ``path`` would configure by its place, None where that is nothing."""
    if path == CLUSTER_FILE:
        return Kind.CLUSTER
    folder, slash, name = path.partition("/")
    is_document = slash and "/" not in name and name.endswith(ENDINGS)
    return FOLDERS.get(folder) if is_document else None


def sort_files(tree: Tree) -> tuple[list[DocumentFile], list[Problem]]:
    """Return the documents of ``tree`` in the order of their paths, and what is wrong with places, names and modes."""
    if len(tree) > MAX_FILES:
        return [], [_too_many(len(tree))]
    documents: list[DocumentFile] = []
    problems = [*_missing_cluster(tree), *_same_names(tree)]
    for path in sorted(tree):
        place = _unsafe(path, tree[path].mode) or _place(path, tree[path])
        if isinstance(place, DocumentFile):
            documents.append(place)
        elif place is not None:
            problems.append(place)
    return documents, [*problems, *_same_documents(documents)]


def sort_changed(
    tree: Tree, *, come: Collection[str], fresh: Collection[str], gone: Iterable[str]
) -> tuple[list[DocumentFile], list[DocumentFile]] | None:
    """Return the documents among ``come``, the files of ``tree`` that a valid tree has not so, and among ``gone``.

    ``fresh`` are those whose path the other has not. None when something may be wrong, for `sort_files` to tell.
    """
    if len(tree) > MAX_FILES or CLUSTER_FILE not in tree or _may_clash(tree, fresh):
        return None
    found: list[DocumentFile] = []
    for path in come:
        place = _unsafe(path, tree[path].mode) or _place(path, tree[path])
        if isinstance(place, Problem):
            return None
        found += [place] if place is not None else []
    were = (_place(path, _NO_ENTRY) for path in gone)
    return found, [place for place in were if isinstance(place, DocumentFile)]


def _may_clash(tree: Tree, fresh: Collection[str]) -> bool:
    keys = {_key(path) for path in fresh}
    return bool(keys) and sum(_key(path) in keys for path in tree) > len(keys)


def _too_many(count: int) -> Problem:
    return Problem(
        file=CLUSTER_FILE,
        rule="limit",
        message=f"the repository has {count:,} files; at most {MAX_FILES:,} are looked at",
        hint="configuration only: files to transfer do not belong into the repository",
    )


def _missing_cluster(tree: Tree) -> Iterator[Problem]:
    if CLUSTER_FILE in tree:
        return
    twin = next((name for name in _CLUSTER_TWINS if name in tree), None)
    yield Problem(
        file=CLUSTER_FILE,
        rule="missing-file",
        message=f"there is no {CLUSTER_FILE}" if tree else "the repository is empty",
        hint=f"rename {twin} to {CLUSTER_FILE}"
        if twin
        else f"add {CLUSTER_FILE} with a line as: name: acme-bank",
    )


def _same_names(tree: Tree) -> Iterator[Problem]:
    """Give the paths that a file system that ignores case, or composes characters, takes for one (Unicode, D145)."""
    seen: dict[str, str] = {}
    for path in sorted(tree):
        key = _key(path)
        first = seen.setdefault(key, path)
        if first != path:
            yield Problem(
                file=printable(path),
                rule="same-name",
                message=f"{printable(path)} and {printable(first)} are the same name on some file systems",
                hint="rename or remove one of them",
            )


def _key(path: str) -> str:
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def _same_documents(documents: list[DocumentFile]) -> Iterator[Problem]:
    seen: dict[tuple[Kind, str], str] = {}
    for file in documents:
        first = seen.setdefault((file.kind, file.name), file.path)
        if first != file.path:
            yield Problem(
                file=file.path,
                rule="same-name",
                message=f"{file.path} and {first} are both the {file.kind.value} {file.name!r}",
                hint="keep one of them",
            )


def _unsafe(path: str, mode: int) -> Problem | None:
    """Return why nobody should clone ``path``, wherever it stands; a name comes first, for it has to change anyway."""
    for name in path.split("/"):
        if wrong := unsafe_name(name):
            return _problem(
                path,
                "name",
                f"the name '{printable(name)}' is not safe: {wrong}",
                "rename it, or remove it",
            )
    return None if mode == _PLAIN_FILE else _wrong_mode(path, mode)


def _wrong_mode(path: str, mode: int) -> Problem:
    quoted = shlex.quote(printable(path))
    if mode in _MODES:
        cached = "--cached " if mode == _SUBMODULE else ""
        what, hint = _MODES[mode], f"put the file itself here, or: git rm {cached}{quoted}"
    else:
        what = "executable" if mode == _EXECUTABLE else f"of mode {mode:o}"
        hint = f"chmod -x {quoted} && git update-index --chmod=-x {quoted}"
    return _problem(path, "mode", f"{printable(path)} is {what}, not a plain file", hint)


def _place(path: str, entry: Entry) -> DocumentFile | Problem | None:
    """Return what ``path`` is: a document, a problem, or nothing that mftgit looks at."""
    folder, slash, rest = path.partition("/")
    if not slash:
        return _top_level(path, entry)
    if folder == _TRUST:
        return None if path in TRUST_FILES else _not_trust(path)
    if folder in FOLDERS:
        return _in_folder(path, FOLDERS[folder], rest, entry)
    if folder.lower() in _KNOWN:
        return _problem(
            path, "folder", f"{printable(folder)}/ is not read", f"call it {folder.lower()}/"
        )
    return None


def _top_level(path: str, entry: Entry) -> DocumentFile | Problem | None:
    if path == CLUSTER_FILE:
        return DocumentFile(
            path=path, kind=Kind.CLUSTER, name="cluster", ending=".yaml", entry=entry
        )
    if path in _CLUSTER_TWINS:
        return _problem(path, "name", f"{path} is not read", f"call it {CLUSTER_FILE}")
    if path.lower() in _KNOWN:
        return _problem(
            path, "mode", f"{path} is a file, not a folder", "make it a folder, or remove it"
        )
    return None


def _in_folder(path: str, kind: Kind, rest: str, entry: Entry) -> DocumentFile | Problem:
    if "/" in rest:
        return _problem(
            path, "folder", "a folder within a folder of documents", "move the file one folder up"
        )
    ending = next((known for known in ENDINGS if rest.endswith(known)), None)
    if ending is None:
        return _problem(
            path,
            "ending",
            "this is no document; they end in .yaml, .yml or .json",
            "rename it, or move it elsewhere",
        )
    try:
        name = parse_name(rest.removesuffix(ending))
    except ValueError as error:
        return _problem(path, "name", str(error), "rename the file")
    return DocumentFile(path=path, kind=kind, name=name, ending=ending, entry=entry)


def _not_trust(path: str) -> Problem:
    return _problem(
        path,
        "folder",
        f"{_TRUST}/ holds {', '.join(TRUST_FILES)}, and nothing else",
        "rename it, or move it elsewhere",
    )


def _problem(path: str, rule: str, message: str, hint: str) -> Problem:
    return Problem(file=printable(path), rule=rule, message=message, hint=hint)
