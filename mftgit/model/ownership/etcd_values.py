"""What a cluster keeps in etcd: a key for each session, its beat, each lease and each handover, and what they say.

A lease's epoch is made of the revision at which etcd created its key, which only rises: a million for each revision,
and what is ``raised``. The key of that name says how much, for all leases that are taken from then on: it grows where
storage remembers higher epochs, as after etcd was set up anew.

While members move from one coordinator to another, each of the two may give a transfer to somebody. The fence is made
for that, as long as the two have not one epoch. So the first of etcd's is far above those of a shared folder, which go
up by one; and where a shared folder goes on above those of etcd, it has not half a million in that time.

An etcd that was set up anew or restored from a copy has revisions once more that it had before. So a number that
nobody knows beforehand is part of each epoch, too: two owners have one epoch by a chance of one in half a million.
"""

import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mftgit.model.names import Epoch, MemberName, TransferName, is_name
from mftgit.model.ownership.lease import CLOCK_RATE_ERROR, MAX_TTL_S, deadline
from mftgit.model.ownership.standing import (
    MAX_WHY,
    Handover,
    Standing,
    parse_handover,
    parse_standing,
)
from mftgit.model.ownership.view import Sight, View, see, silent

STEP: Final = 1_000_000
CHANCES: Final = STEP // 2
"""So many numbers there are, from 0, of which one is added to ``raised``."""

FIRST: Final = 1_000_000_000
MAX_RAISED: Final = 1 << 62
"""What is added is less than this; etcd's own numbers have 63 bits."""

_LEAST_S: Final = 2
_BEHIND_SLASH: Final = b"0"  # the character that follows it
_MAX_TIME: Final = 40
_SESSION, _LEASE, _HANDOVER, _RAISED = "sessions/", "leases/", "handovers/", "raised"
_BEAT: Final = "beats/"
_NAME: Final = re.compile("[0-9a-f]{1,16}")  # of a session: the number of a lease of etcd's
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The keys below ``prefix``, which ends in a slash; a name of a transfer may be any text."""

    prefix: str

    @property
    def all(self) -> bytes:
        """What every key begins with."""
        return self.prefix.encode()

    @property
    def told(self) -> tuple[bytes, bytes]:
        """The range of all keys but beats: from this one on, and before that one, as etcd's ranges are."""
        return self.beats[1], self.all[:-1] + _BEHIND_SLASH

    @property
    def beats(self) -> tuple[bytes, bytes]:
        """The range of all beats, which are before every other key."""
        first = self.beat("")
        return first, first[:-1] + _BEHIND_SLASH

    @property
    def raised(self) -> bytes:
        """The key that says what is added to revisions."""
        return self.all + _RAISED.encode()

    @property
    def cluster(self) -> bytes:
        """The key that says by its id which cluster all of them are of."""
        return self.all + b"cluster"

    def session(self, name: str) -> bytes:
        """Return the key of the session ``name``."""
        return f"{self.prefix}{_SESSION}{name}".encode()

    def beat(self, name: str) -> bytes:
        """Return the key that the session ``name`` changes as a sign of life."""
        return f"{self.prefix}{_BEAT}{name}".encode()

    def lease(self, name: TransferName) -> bytes:
        """Return the key of who owns ``name``."""
        return f"{self.prefix}{_LEASE}{name}".encode(errors="surrogatepass")

    def handover(self, name: TransferName) -> bytes:
        """Return the key of how ``name`` was given back last."""
        return f"{self.prefix}{_HANDOVER}{name}".encode(errors="surrogatepass")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key below the prefix, without it, and what is kept of it."""

    key: str
    value: bytes
    created: int
    changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A sign of life of ``session``, by the revision of its last change; without another it lasts ``ttl_s``."""

    session: str
    changed: int
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldSession:
    """What a session tells: whose it is, how long it lasts without a sign of life, and how that member stands."""

    member: MemberName
    ttl_s: float
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldLease:
    """What a lease tells: whose it is, by which session, since when, why; ``raised`` is part of its epoch."""

    member: MemberName
    session: str
    raised: int = FIRST
    why: str = ""
    since: str | None = None

    def epoch(self, created: int) -> Epoch:
        """Return the epoch of the lease whose key was ``created`` at this revision."""
        return epoch_of(created, self.raised)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was seen last: ``ttls`` of the sessions, and ``gone`` are leases whose owners said nothing any more.

    ``unknown`` are leases of ours that we did not know of, with the revisions at which their keys were created, and
    ``missing`` are those that we had, and have no more, although our session is there.
    """

    sight: Sight = field(default_factory=Sight)
    ttls: Mapping[MemberName, float] = field(default_factory=dict)
    gone: Mapping[TransferName, Handover] = field(default_factory=dict)
    unknown: Mapping[TransferName, int] = field(default_factory=dict)
    missing: frozenset[TransferName] = frozenset()


NOTHING: Final = Known()


def epoch_of(created: int, raised: int) -> Epoch:
    """Return the epoch of a lease whose key was ``created`` at this revision."""
    return Epoch(raised + STEP * created)


def lease_s(ttl_s: float) -> int:
    """Return for how many seconds etcd is to keep a session that says nothing: whole ones, two at the least.

    The fewest that are over on no clock before the owner's own deadline is on any. That is less than the ttl where
    whole seconds allow it; etcd takes up to half a second more until it looks for what has ended.
    """
    owned_s = deadline(0.0, ttl_s) / (1 - CLOCK_RATE_ERROR)
    return max(_LEAST_S, math.ceil(owned_s * (1 + CLOCK_RATE_ERROR)))


def raised_above(epoch: int) -> int:
    """Return what is to be added so that each lease has an epoch above ``epoch``, whatever its revision."""
    return min(-(-epoch // STEP) * STEP, MAX_RAISED - STEP)


def format_session(told: ToldSession) -> bytes:
    """Return what `parse_session` takes."""
    return _json(member=told.member, ttl_s=told.ttl_s, standing=told.standing.as_json())


def parse_session(content: bytes) -> ToldSession | None:
    """Return what a session tells, None where that is damaged."""
    try:
        value: Any = json.loads(content)
        ttl_s = float(value["ttl_s"])
        standing = parse_standing(value["standing"])
        return ToldSession(
            member=_member(value["member"]), ttl_s=min(ttl_s, MAX_TTL_S), standing=standing
        )
    except _DAMAGED:
        return None


def format_beat(ttl_s: float) -> bytes:
    """Return the value of a beat, for `parse_beat`."""
    return str(ttl_s).encode()


def parse_beat(entry: Entry) -> Beat | None:
    """Return what a beat says, None where it is damaged: etcd alone ends that session."""
    name = entry.key.removeprefix(_BEAT)
    try:
        ttl_s = float(entry.value)
    except ValueError:
        return None
    if not _NAME.fullmatch(name) or not 0.0 < ttl_s <= MAX_TTL_S:
        return None
    return Beat(session=name, changed=entry.changed, ttl_s=ttl_s)


def format_lease(told: ToldLease) -> bytes:
    """Return what `parse_lease` takes."""
    return _json(
        member=told.member,
        session=told.session,
        raised=told.raised,
        why=told.why[:MAX_WHY],
        since=told.since,
    )


def parse_lease(content: bytes) -> ToldLease | None:
    """Return what a lease tells, None where that is damaged."""
    try:
        value: Any = json.loads(content)
        since = value["since"]
        return ToldLease(
            member=_member(value["member"]),
            session=str(value["session"]),
            raised=_raised(value["raised"]),
            why=str(value["why"])[:MAX_WHY],
            since=None if since is None else str(since)[:_MAX_TIME],
        )
    except _DAMAGED:
        return None


def format_words(handover: Handover) -> bytes:
    """Return what `parse_words` takes."""
    return _json(**handover.as_json())


def parse_words(content: bytes) -> Handover | None:
    """Return how a lease was given back, None where that is damaged."""
    try:
        return parse_handover(json.loads(content))
    except _DAMAGED:
        return None


def parse_raised(content: bytes) -> int | None:
    """Return what the key ``raised`` says, None where that is damaged."""
    try:
        return _raised(int(content))
    except ValueError:
        return None


def know(
    entries: Iterable[Entry], before: Known, session: str, held: Mapping[TransferName, int]
) -> Known:
    """Return what ``entries``, all keys there are, tell whoever knew ``before``.

    ``held`` is what we know to have in our ``session``, with the revisions at which the keys were created. A lease of
    our session that is not among them is one which we did not know that we took: it is free for us.
    """
    told = sorted(
        entries, key=lambda entry: entry.created
    )  # of two sessions of a member the later one counts
    sessions = [each for each in (parse_session(e.value) for e in _below(told, _SESSION)) if each]
    leases = list(_leases(told))
    ours = {name: created for name, created, lease in leases if lease.session == session}
    unknown = {name: created for name, created in ours.items() if name not in held}
    is_there = any(entry.key == _SESSION + session for entry in told)
    missing = {name for name, created in held.items() if ours.get(name) != created}
    holds = {name: _view(lease, created) for name, created, lease in leases if name not in unknown}
    words = dict(_words(told))
    gone = {
        name: handover
        for name, handover in {**before.gone, **dict(_silent(before))}.items()
        if name not in holds and name not in words
    }
    sight = see(
        {each.member: each.standing for each in sessions},
        holds.items(),
        [*gone.items(), *words.items()],
    )
    return Known(
        sight=sight,
        ttls={each.member: each.ttl_s for each in sessions},
        gone=gone,
        unknown=unknown,
        missing=frozenset(missing if is_there else ()),
    )


def find_orphans(entries: Collection[Entry]) -> frozenset[str]:
    """Return the sessions that have ended and whose leases are there still: nobody has those, and nobody can.

    Whoever ends a silent session removes its key first, and may not come to the rest of it.
    """
    sessions = {entry.key.removeprefix(_SESSION) for entry in _below(entries, _SESSION)}
    found = {lease.session for _, _, lease in _leases(entries)} - sessions
    return frozenset(name for name in found if _NAME.fullmatch(name))


def _silent(before: Known) -> Iterator[tuple[TransferName, Handover]]:
    """Give what is to be told of each lease that was there before, where it is gone and nobody says why."""
    for name, view in before.sight.views.items():
        if view.owner is not None:
            why = silent(view.owner, before.ttls.get(view.owner, MAX_TTL_S))
            yield name, Handover(epoch=view.epoch, why=why)


def _leases(entries: Iterable[Entry]) -> Iterator[tuple[TransferName, int, ToldLease]]:
    for entry in _below(entries, _LEASE):
        if told := parse_lease(entry.value):
            yield TransferName(entry.key.removeprefix(_LEASE)), entry.created, told


def _view(told: ToldLease, created: int) -> View:
    return View(owner=told.member, epoch=told.epoch(created), why=told.why, since=told.since)


def _words(entries: Iterable[Entry]) -> Iterator[tuple[TransferName, Handover]]:
    for entry in _below(entries, _HANDOVER):
        if handover := parse_words(entry.value):
            yield TransferName(entry.key.removeprefix(_HANDOVER)), handover


def _below(entries: Iterable[Entry], folder: str) -> Iterator[Entry]:
    return (entry for entry in entries if entry.key.startswith(folder))


def _member(value: Any) -> MemberName:
    if not isinstance(value, str) or not is_name(value):
        raise ValueError(f"not the name of a member: {value!r}")
    return MemberName(value)


def _raised(value: Any) -> int:
    number = int(value)
    if not 0 <= number < MAX_RAISED:
        raise ValueError("not what is added to a revision")
    return number


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()
