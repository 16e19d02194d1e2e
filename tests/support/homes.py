"""A home of an account on a temporary folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.home.account import open_home
from mftgit.adapters.home.contract import Home, HomeError, Opening, Refusal, Traits
from mftgit.adapters.home.partner import Lender
from mftgit.adapters.home.usage import Usages
from mftgit.model.inbound.account import Account, Login, Place, Quota
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.permission import FULL, Act, Rule
from mftgit.model.inbound.service import Uploads
from mftgit.model.inbound.serving import Served
from mftgit.model.locations.far_place import FarPlace
from mftgit.model.names import AccountName, LocationName

NEW = Opening(create=True, truncate=True)
GO_ON = Opening(create=True, append=True)


@dataclass
class HomeSite:
    """The folder ``root`` of this machine, what was finished there, and sessions of accounts in it, by ``rules``."""

    root: Path
    finished: list[Finished] = field(default_factory=list)
    rules: tuple[Rule, ...] = (Rule(path="/", allow=FULL),)

    def served(
        self,
        *rules: Rule,
        name: str = "acme",
        quota: Quota | None = None,
        max_file_bytes: int | None = None,
        folders: Mapping[str, Path] | None = None,
        far: Mapping[str, FarPlace] | None = None,
    ) -> Served:
        account = Account(
            name=AccountName(name),
            home=Place(location=LocationName("inbox")),
            login=Login(require=()),
            rules=rules or self.rules,
            quota=quota or Quota(),
            max_file_bytes=max_file_bytes,
        )
        at = {virtual: str(folder) for virtual, folder in (folders or {}).items()}
        return Served(account=account, home=str(self.root), folders=at, far=far or {})

    def open(
        self,
        *rules: Rule,
        name: str = "acme",
        quota: Quota | None = None,
        max_file_bytes: int | None = None,
        folders: Mapping[str, Path] | None = None,
        far: Mapping[str, FarPlace] | None = None,
        lender: Lender | None = None,
        flush: bool = False,
        clock: Clock | None = None,
        usages: Usages | None = None,
        finished: Callable[[Finished], None] | None = None,
    ) -> Home:
        return open_home(
            self.served(
                *rules,
                name=name,
                quota=quota,
                max_file_bytes=max_file_bytes,
                folders=folders,
                far=far,
            ),
            uploads=Uploads(flush=flush),
            finished=finished or self.finished.append,
            clock=clock or SystemClock(),
            usages=usages,
            lender=lender,
        )

    def content(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def seen(self) -> dict[str, bytes]:
        """Every file that is under a visible name, below the root."""
        return {
            str(each.relative_to(self.root)): each.read_bytes()
            for each in self.root.rglob("*")
            if each.is_file() and not each.name.startswith(".mftgit")
        }

    def hidden(self) -> list[str]:
        return sorted(each.name for each in self.root.rglob(".mftgit*"))


def send(home: Home, path: str, content: bytes, opening: Opening = NEW) -> Finished | None:
    """Upload ``content`` in one go."""
    file = home.open_write(path, opening, Traits())
    file.write(0, content)
    return file.close()


def rule(path: str, *acts: Act) -> Rule:
    return Rule(path=path, allow=frozenset(acts))


def refused(call: Callable[[], object]) -> Refusal:
    """Why ``call`` is refused; what is said about it must not tell the machine's own paths."""
    with pytest.raises(HomeError) as error:
        call()
    assert "pytest" not in str(error.value)  # which is in all of them
    return error.value.refusal
