"""Try the two sides of a transfer, step by step, without touching a file of anybody.

The source is listed, and one byte of its first file is read. At the destination a small file is written, read back,
renamed and removed, under names as the transfer gives to what is not whole yet: partners take those, and leave them
alone, also where the partner is a cluster, whose own names nobody may use. What fails keeps the steps after it from
being tried, but for those that tell something of their own.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import (
    Endpoint,
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
    HostKeyError,
    LoginError,
)
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.outbound.copying.content import Changing
from mftgit.member.outbound.given.programs import check_programs
from mftgit.member.outbound.places.opening import stages
from mftgit.model.configuration.config import Overwrite, Transfer, Verify
from mftgit.model.locations.location import Location
from mftgit.model.transfers.claim import ClaimId, join, temporary_name
from mftgit.model.transfers.commands import Commands
from mftgit.model.transfers.content import PgpStep
from mftgit.model.transfers.selection import is_selected

Open = Callable[[Location, Callable[[str], None]], Endpoint]
"""(location, passed): open it without making a folder; ``passed`` is told of each stage that was come through."""


class ProbeDiffersError(MftgitError):
    """What was read back is not what was written."""


T = TypeVar("T")

_NOT_YET: Final = "{} is not there yet, and the first file makes it; tried in {}"
_DIGEST_BY: Final = "digest by {}"
_PROBE: Final = "probe"
_PROBE_BYTES: Final = 64
_WAYS_OUT: Final[tuple[tuple[type[MftgitError], str], ...]] = (
    (ProbeDiffersError, "see what else works on files there, and whether that server keeps what it is given"),
    (HostKeyError, "compare the fingerprint with the partner, then name it in the location"),
    (LoginError, "see that the partner knows this user name, and the key or password that the location names"),
    (ConfigError, "put it right, as it says"),
    (EndpointLostError, "see that it runs and can be reached from this machine: address, port, firewall, mount"),
    (EndpointBusyError, "see which program has it open at the partner, or try again later"),
    (EndpointFullError, "see how much room there is, and whether there is a quota"),
    (FileMissingError, "make the folder, or put the path of the location or the transfer right"),
    (FileExistsAtEndpointError, "try again; if that helps not, see what has the name of the probe"),
    (EndpointRefusedError, "have the user of the location given the right to do this there"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step on one ``side`` of a transfer: how long it took and, where it failed, why and what helps."""

    side: str
    step: str
    ms: float
    error: str | None = None
    way_out: str | None = None
    note: str | None = None

    @property
    def ok(self) -> bool:
        """Tell whether it went well."""
        return self.error is None

    def as_json(self) -> dict[str, Any]:
        """Return the shape that ``transfer test --json`` documents."""
        return {**asdict(self), "ms": round(self.ms, 1), "ok": self.ok}


Tell = Callable[[Step], None]


def try_content(
    transfer: Transfer, *, secrets: Callable[[], SecretsHere], clock: Clock, tell: Tell
) -> None:
    """Try the keys of what is done to content, where that has any, and tell it."""
    if any(isinstance(step, PgpStep) for step in transfer.content):
        side = _Side("content", clock=clock, tell=tell)
        side.take("keys", lambda: _prove(Changing(transfer, secrets())))


def _prove(changing: Changing) -> bool:
    with changing.ready():
        return True


def try_programs(transfer: Transfer, *, folder: Path, clock: Clock, tell: Tell) -> None:
    """See that the programs are there that the transfer names, where it names any, and tell it; none is run."""
    if transfer.commands != Commands():
        side = _Side("commands", clock=clock, tell=tell)
        side.take("programs", lambda: check_programs(transfer, folder=folder))


def try_source(
    transfer: Transfer, location: Location, *, open_endpoint: Open, clock: Clock, tell: Tell
) -> None:
    """Take the steps at the source, none of which has an effect there, and tell each as it is done."""
    side = _Side("source", clock=clock, tell=tell)
    with side.opened(location, open_endpoint) as endpoint:
        if endpoint is None:
            return
        source = transfer.source
        found = side.take("list", lambda: _first(endpoint, transfer), note=_say_first)
        if found:
            path = join(source.path, found[0])
            side.take("read", lambda: _read_a_byte(endpoint, path), note=_say_gone)


def try_destination(
    transfer: Transfer, location: Location, *, open_endpoint: Open, clock: Clock, tell: Tell
) -> None:
    """Take the steps at the destination, where nothing of them is left however this ends, and tell each."""
    _try_writing("destination", transfer, location, open_endpoint, clock=clock, tell=tell)


def try_fallback(
    transfer: Transfer, location: Location, *, open_endpoint: Open, clock: Clock, tell: Tell
) -> None:
    """Take the same steps at the fallback."""
    other = transfer.at_fallback()
    _try_writing("fallback", other, location, open_endpoint, clock=clock, tell=tell)


def _try_writing(
    name: str,
    transfer: Transfer,
    location: Location,
    open_endpoint: Open,
    *,
    clock: Clock,
    tell: Tell,
) -> None:
    side = _Side(name, clock=clock, tell=tell)
    wanted = transfer.destination.path
    with side.opened(location, open_endpoint) as endpoint:
        if endpoint is None:
            return
        folder = side.take(
            "list",
            lambda: _nearest_folder(endpoint, wanted),
            note=lambda found: None if found == wanted else _NOT_YET.format(wanted, found),
        )
        if folder is not None:
            names = _names(transfer, folder)
            replaces = transfer.destination.overwrite is Overwrite.OVERWRITE
            asks = transfer.destination.verify is Verify.DIGEST
            _probe(side, endpoint, names, replaces=replaces, asks=asks)


def _names(transfer: Transfer, folder: str) -> tuple[str, str]:
    """Return two names in ``folder`` that nobody has, and nobody takes for whole files."""
    rules, claim = transfer.destination, ClaimId(secrets.token_hex(8))
    first, second = (
        temporary_name(
            join(folder, _PROBE),
            claim,
            attempt,
            rules.temporary_suffix,
            prefix=rules.temporary_prefix,
        )
        for attempt in ("1", "2")
    )
    return first, second


def _probe(
    side: "_Side", endpoint: Endpoint, names: tuple[str, str], *, replaces: bool, asks: bool
) -> None:
    """Write, read, rename and remove a file of the cluster's own; remove what a step has left behind."""
    (name, renamed), content = names, secrets.token_bytes(_PROBE_BYTES)
    left = {name, renamed}
    try:
        if not side.take("write", lambda: _write(endpoint, name, content)):
            return
        # A destination that may not be read still takes files: what follows tells something too.
        side.take("read back", lambda: _read_back(endpoint, name, content))
        if asks:
            side.take("digest", lambda: _digest(endpoint, name, content), note=_DIGEST_BY.format)
        moved = side.take("rename", lambda: _rename(endpoint, name, renamed, replaces=replaces))
        at = renamed if moved else name
        left -= {name} if moved else set()
        if side.take("remove", lambda: _remove(endpoint, at)):
            left.discard(at)
    finally:
        if left:
            _clear_away(side, endpoint, left)


def _clear_away(side: "_Side", endpoint: Endpoint, left: set[str]) -> None:
    """Remove what is there of ``left``, and tell of it only where that fails."""
    note = f"{', '.join(sorted(left))} may be left there: remove it by hand"
    try:
        folder = str(PurePosixPath(next(iter(left))).parent)
        there = endpoint.list_names(folder)
        for each in left:
            if PurePosixPath(each).name in there:
                endpoint.remove(each)
    except MftgitError as error:
        side.failed("clear away", error, note=note)


class _Side:
    """One side of the transfer, whose steps are timed and told."""

    def __init__(self, name: str, *, clock: Clock, tell: Tell) -> None:
        self._name = name
        self._clock = clock
        self._tell = tell

    @contextmanager
    def opened(self, location: Location, open_endpoint: Open) -> Iterator[Endpoint | None]:
        """Give the endpoint, None where it could not be opened; the stages on the way to it are told."""
        left = list(stages(location))
        begun = self._clock.boottime()

        def passed(_stage: str) -> None:
            nonlocal begun
            self._tell(self._step(left.pop(0), begun))
            begun = self._clock.boottime()

        try:
            endpoint = open_endpoint(location, passed)
        except MftgitError as error:
            self.failed(left[0], error, begun=begun)
            yield None
            return
        try:
            yield endpoint
        finally:
            endpoint.close()

    def take(
        self, what: str, do: Callable[[], T], *, note: Callable[[T], str | None] = lambda _: None
    ) -> T | None:
        """Take one step and tell it; return what it gave, or None where it failed."""
        begun = self._clock.boottime()
        try:
            found = do()
        except MftgitError as error:
            self.failed(what, error, begun=begun)
            return None
        self._tell(replace(self._step(what, begun), note=note(found)))
        return found

    def failed(
        self, what: str, error: MftgitError, *, begun: float | None = None, note: str | None = None
    ) -> None:
        """Tell of a step that failed, and what helps."""
        step = self._step(what, self._clock.boottime() if begun is None else begun)
        self._tell(replace(step, error=str(error), way_out=_way_out(error), note=note))

    def _step(self, what: str, begun: float) -> Step:
        return Step(side=self._name, step=what, ms=(self._clock.boottime() - begun) * 1000)


def _way_out(error: MftgitError) -> str | None:
    return next((way_out for kind, way_out in _WAYS_OUT if isinstance(error, kind)), None)


def _first(endpoint: Endpoint, transfer: Transfer) -> list[str]:
    """Return the first file that the transfer would take, in a list that may be empty."""
    entries = endpoint.list_files(transfer.source.path, recursive=transfer.source.recursive)
    return list(islice((each.path for each in entries if is_selected(each.path, transfer)), 1))


def _say_first(found: list[str]) -> str:
    return f"first file: {found[0]}" if found else "no file that would be taken"


def _read_a_byte(endpoint: Endpoint, path: str) -> bool:
    """Read the file's first byte; return False where it was taken away meanwhile."""
    try:
        with endpoint.open_read(path) as stream:
            stream.read(1)
    except FileMissingError:
        return False
    return True


def _say_gone(is_there: bool) -> str | None:  # noqa: FBT001  what the step gave
    return None if is_there else "it was taken meanwhile"


def _nearest_folder(endpoint: Endpoint, folder: str) -> str:
    """Return ``folder`` or the nearest one above it that is there; the location itself has to be."""
    place = PurePosixPath(folder)
    while True:
        try:
            endpoint.list_names(str(place))
        except FileMissingError:
            if place == place.parent:
                raise
            place = place.parent
        else:
            return str(place)


def _write(endpoint: Endpoint, name: str, content: bytes) -> bool:
    written = endpoint.write(name, iter([content]), on_chunk=lambda _: None)
    if written != len(content):
        raise ProbeDiffersError(f"{name} has {written} bytes after {len(content)} were written")
    return True


def _read_back(endpoint: Endpoint, name: str, content: bytes) -> bool:
    with endpoint.open_read(name) as stream:
        found = stream.read(len(content) + 1)
    if found != content:
        raise ProbeDiffersError(f"another content was read from {name} than was written")
    return True


def _digest(endpoint: Endpoint, name: str, content: bytes) -> str:
    """Return by what the digest of the file was worked out, and see that it is right."""
    (told,) = endpoint.digest_all([name])
    if isinstance(told, MftgitError):
        raise told
    if told is None:
        return "read back"
    expected = hashlib.sha256(content).hexdigest()
    if told.sha256 != expected:
        raise ProbeDiffersError(
            f"{name} has the digest {told.sha256} by {told.by}, expected {expected}"
        )
    return told.by


def _rename(endpoint: Endpoint, old: str, new: str, *, replaces: bool) -> bool:
    endpoint.rename(old, new, replace=replaces)
    return True


def _remove(endpoint: Endpoint, name: str) -> bool:
    endpoint.remove(name)
    return True
