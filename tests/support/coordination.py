"""Members over a coordinator, each with its session, and time that passes for them."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from clocks import SetClock

from mftgit.adapters.coordinator import Coordinator, Wish
from mftgit.adapters.shared.folder import SharedFolderCoordinator
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.standing import Standing
from mftgit.model.ownership.view import FREE, View

TTL_S: Final = 2.0

_PATIENCE: Final = 400


class Member:
    """One member with its session."""

    def __init__(self, coordinator: Coordinator) -> None:
        self.coordinator = coordinator
        self.open()

    def open(self) -> None:
        self.session = self.coordinator.open(Standing())

    def renew(self) -> None:
        self.session = self.coordinator.renew(self.session)

    def view(self, key: TransferName) -> View:
        return self.coordinator.look().views.get(key, FREE)

    def take(self, key: TransferName, *, above: int = 0) -> Epoch | None:
        """Look, and take what may be free."""
        self.coordinator.look()
        wish = Wish(why="a test", above=Epoch(above))
        return self.coordinator.take(self.session, {key: wish}).get(key)


class Passing(Protocol):
    """Time, real or not."""

    def boottime(self) -> float: ...

    def pass_s(self, seconds: float) -> None: ...


@dataclass(kw_only=True)
class Site:
    """What members coordinate over; ``make`` returns a further member's coordinator."""

    make: Callable[[str], Coordinator]
    clock: Passing
    ttl_s: float = TTL_S
    made: list[Member] = field(default_factory=list)

    def member(self, name: str) -> Member:
        self.made.append(Member(self.make(name)))
        return self.made[-1]

    def now(self) -> float:
        return self.clock.boottime()

    def pass_s(self, seconds: float) -> None:
        self.clock.pass_s(seconds)

    def until(self, reached: Callable[[], bool], *, renewing: Iterable[Member] = ()) -> None:
        """Let time pass until it is ``reached``, for eight ttl at the most; ``renewing`` do so as they should."""
        renewing = tuple(renewing)
        for turn in itertools.count():
            if reached():
                return
            assert turn < _PATIENCE, "waited in vain"
            self.pass_s(self.ttl_s / 50)
            if turn % 10 == 0:
                for member in renewing:
                    member.renew()

    def taken_at_once(self, member: Member, key: TransferName) -> Epoch:
        """Return the epoch of a key that is free."""
        epoch = member.take(key)
        assert epoch is not None
        return epoch

    def taken_by(self, member: Member, key: TransferName) -> Epoch:
        """Let ``member`` try until it has ``key``."""
        taken: list[Epoch] = []

        def tried() -> bool:
            epoch = member.take(key)
            taken.extend([epoch] if epoch is not None else [])
            return bool(taken)

        self.until(tried, renewing=[member])
        return taken[0]


def shared_folder_site(folder: Path) -> Site:
    """Return members over one folder, whose time passes when it is told to."""
    clock = SetClock()
    return Site(
        make=lambda name: SharedFolderCoordinator(
            folder / "coordination", member=MemberName(name), ttl_s=TTL_S, clock=clock
        ),
        clock=clock,
    )
