"""Leases in etcd: three or more servers that agree among themselves, and forget what is not kept alive.

A session is a lease of etcd's, which ends by itself, and two keys that go with it; so do the keys of all that it
holds. Whoever sees it silent ends it before etcd does (`mftgit.adapters.etcd.beats`). The revision at which a key was
created never comes again: it is the proof of who has it, and the epoch. Words with which something is given back are
kept a while longer than the session.

Nothing here goes by an answer that one server may give alone. Two of etcd's may be wrong: a transaction that only
compares, and a keep-alive, which a leader that the others have left behind answers for up to an election's time
(measured: ADR 28). So a renewal is a keep-alive and, after it, a transaction that reads, both under one leader.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from loguru import logger

from mftgit.adapters.clock import Clock, rfc3339
from mftgit.adapters.coordinator import (
    CoordinatorUnavailableError,
    Session,
    SessionLostError,
    Wish,
)
from mftgit.adapters.etcd.beats import Beats
from mftgit.adapters.etcd.calls import Access, Answer, Calls, FullError, NotFoundError
from mftgit.adapters.etcd.epochs import Hold, Raised, read_raised
from mftgit.adapters.etcd.session import lease_of, lives, lost, name_of, require_alive
from mftgit.adapters.etcd.wire import (
    changed_at,
    created_at,
    delete,
    entries,
    nested,
    put,
    read,
    read_newest,
    read_range,
    state,
    transaction,
)
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.etcd_values import (
    CHANCES,
    FIRST,
    NOTHING,
    Entry,
    Keys,
    ToldLease,
    ToldSession,
    epoch_of,
    find_orphans,
    format_beat,
    format_lease,
    format_session,
    format_words,
    know,
    lease_s,
    parse_lease,
    raised_above,
)
from mftgit.model.ownership.lease import deadline
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import Sight

AT_ONCE: Final = 100
"""So many keys go into one transaction: etcd takes 128 operations (--max-txn-ops), of which two are our own."""

WORDS_S: Final = 300
"""For so many seconds at the least it can be read how a lease was given back, unless somebody takes it."""

_TRIES: Final = 5


class EtcdCoordinator:
    """`Coordinator` over the keys below ``prefix``; see there for its threads."""

    def __init__(
        self, access: Access, *, prefix: str, member: MemberName, ttl_s: float, clock: Clock
    ) -> None:
        self._keys = Keys(prefix=f"{prefix}/")
        self._member = member
        self._ttl_s = ttl_s
        self._clock = clock
        # A renewal has to come through: it gives a server that is silent up early.
        self._renewals = Calls(access, attempt_s=ttl_s / 6, clock=clock)
        self._calls = Calls(access, attempt_s=max(1.0, ttl_s / 6), clock=clock)
        self._seen: tuple[int, tuple[int, int]] | None = None
        self._known = NOTHING
        self._beats = Beats(self._keys, self._ask, ttl_s=ttl_s, clock=clock)
        self._session = ""
        self._told = 0  # the revision at which our session's key was changed last
        self._held: dict[TransferName, Hold] = {}
        self._going: set[TransferName] = set()  # those of them that may be given back already
        self._raised = Raised()
        self._revision = 0
        self._words: tuple[int, float] | None = None

    def open(self, standing: Standing) -> Session:
        """See `Coordinator.open`."""
        granted = self._ask("/lease/grant", {"TTL": lease_s(self._ttl_s), "ID": 0})
        lease = int(granted.says["ID"])
        key = self._keys.session(f"{lease:x}")
        answer = self._transaction(
            [created_at(key, 0)],
            [put(key, self._tells(standing), lease), self._beat(f"{lease:x}")],
            [read(key)],
        )
        created = answer.revision
        if not answer.says.get("succeeded"):  # we did it, and did not hear of it
            found = list(entries(answer.says["responses"][0]["response_range"], ""))
            if not found:
                raise CoordinatorUnavailableError("a session has ended as it began")
            created = found[0].created
        self._session, self._held, self._told = f"{lease:x}", {}, created
        self._going = set()
        return Session(id=f"{lease:x}.{created}", sent_at=granted.sent_at, ttl_s=self._ttl_s)

    def renew(self, session: Session) -> Session:
        """See `Coordinator.renew`."""
        lease = lease_of(session)
        until = max(
            deadline(session.sent_at, session.ttl_s), self._clock.boottime() + self._ttl_s / 6
        )
        kept = self._renewals.ask("/lease/keepalive", {"ID": lease}, until=until)
        found = [read(self._session_key(session))]
        beat = nested([], [self._beat(name_of(session))], [])  # so that a full etcd takes it
        still = transaction(lives(self._keys, session), [*found, beat], found)
        proof = self._renewals.ask("/kv/txn", still, until=until)
        if not proof.says.get("succeeded"):
            raise lost(session)
        alive = int(kept.says.get("result", {}).get("TTL", 0)) > 0
        if not alive or kept.term != proof.term:
            raise CoordinatorUnavailableError("the etcds do not agree about who leads them")
        return Session(id=session.id, sent_at=kept.sent_at, ttl_s=session.ttl_s)

    def tell(self, session: Session, standing: Standing) -> None:
        """See `Coordinator.tell`."""
        key = self._session_key(session)
        for _ in range(_TRIES):
            answer = self._transaction(
                [*lives(self._keys, session), changed_at(key, self._told)],
                [put(key, self._tells(standing), lease_of(session))],
                [read(key)],
            )
            if answer.says.get("succeeded"):
                self._told = answer.revision
                return
            found = answer.says["responses"][0]
            require_alive(session, found)  # what was told before has arrived after all
            self._told = next(entries(found["response_range"], "")).changed
        raise CoordinatorUnavailableError("what is told in etcd changes all the time")

    def look(self) -> Sight:
        """See `Coordinator.look`.

        One question tells who lives, and whether anything else has changed: each change that lasts raises the highest
        revision of all keys but beats, or lowers their number.
        """
        newest, beats = self._read(read_newest(self._keys.told), read_range(self._keys.beats))
        self._beats.see(entries(beats, self._keys.prefix), but=self._session)
        if self._beats.end_silent() or self._seen != state(newest):
            everything, told = self._read_all()
            if orphans := find_orphans(told):
                self._beats.free(orphans)
                everything, told = self._read_all()
            held = {name: hold.created for name, hold in self._held.items()}
            self._known = know(told, self._known, self._session, held)
            if missing := self._known.missing - self._going:
                raise SessionLostError(
                    f"{len(missing)} leases are not in etcd any more, as {min(missing)}: was it restored from a copy?"
                )
            self._let_go(self._known.unknown)
            self._seen = state(everything)
        return self._known.sight

    def due_in_s(self) -> float:
        """See `Coordinator.due_in_s`."""
        return self._beats.due_in_s()

    def take(
        self, session: Session, wishes: Mapping[TransferName, Wish]
    ) -> Mapping[TransferName, Epoch]:
        """See `Coordinator.take`."""
        taken: dict[TransferName, Epoch] = {}
        names = list(wishes)
        self._seen = None
        try:
            for start in range(0, len(names), AT_ONCE):
                some = {name: wishes[name] for name in names[start : start + AT_ONCE]}
                taken |= self._take_some(session, some)
        except (SessionLostError, CoordinatorUnavailableError):
            if not taken:
                raise
        return taken

    def give_back(self, session: Session, leases: Mapping[TransferName, Handover]) -> None:
        """See `Coordinator.give_back`."""
        names = list(leases)
        self._seen = None
        self._going |= leases.keys()
        for start in range(0, len(names), AT_ONCE):
            some = {name: leases[name] for name in names[start : start + AT_ONCE]}
            self._give_back_some(session, some)
            for name in some:
                self._held.pop(name, None)
                self._going.discard(name)

    def close(self, session: Session, why: str) -> None:
        """See `Coordinator.close`."""
        words = {name: Handover(epoch=hold.epoch, why=why) for name, hold in self._held.items()}
        try:
            self.give_back(session, words)
            self._ask("/lease/revoke", {"ID": lease_of(session)})
        except (SessionLostError, NotFoundError):
            pass  # it has ended already
        self._held = {}

    def hang_up(self) -> None:
        """See `Coordinator.hang_up`."""
        self._renewals.close()
        self._calls.close()

    def _take_some(
        self, session: Session, wishes: Mapping[TransferName, Wish]
    ) -> dict[TransferName, Epoch]:
        """Take in one step those of ``wishes`` that are free; each has a condition of its own."""
        above = max((wish.above for wish in wishes.values()), default=Epoch(0))
        for _ in range(_TRIES):
            self._raise_above(above)
            raised = self._raised
            by = raised.by + secrets.randbelow(CHANCES)
            answer = self._transaction(
                [*lives(self._keys, session), changed_at(self._keys.raised, raised.changed)],
                [self._taking(session, name, wish, by) for name, wish in wishes.items()],
                [read(self._session_key(session)), read(self._keys.raised)],
            )
            responses = answer.says.get("responses", [])
            if answer.says.get("succeeded"):
                for name, response in zip(wishes, responses, strict=True):
                    told = (answer.revision, by)
                    self._note(session, name, response["response_txn"], told)
                return {name: self._held[name].epoch for name in wishes if name in self._held}
            require_alive(session, responses[0])
            self._raised = read_raised(responses[1])
        raise CoordinatorUnavailableError("the epochs of this cluster in etcd change all the time")

    def _taking(self, session: Session, name: TransferName, wish: Wish, raised: int) -> Any:
        told = ToldLease(
            member=self._member,
            session=name_of(session),
            raised=raised,
            why=wish.why,
            since=rfc3339(self._clock.now()),
        )
        key = self._keys.lease(name)
        return nested(
            [created_at(key, 0)],
            [put(key, format_lease(told), lease_of(session)), delete(self._keys.handover(name))],
            [read(key)],
        )

    def _note(self, session: Session, name: TransferName, said: Any, told: tuple[int, int]) -> None:
        """Note whether ``name`` was taken now, by revision and ``raised``, or before without our hearing of it."""
        self._going.discard(name)
        if said.get("succeeded"):
            self._held[name] = Hold(created=told[0], epoch=epoch_of(*told))
            return
        self._held.pop(name, None)
        for entry in entries(said["responses"][0]["response_range"], ""):
            lease = parse_lease(entry.value)
            if lease is not None and lease.session == name_of(session):
                self._held[name] = Hold(created=entry.created, epoch=lease.epoch(entry.created))

    def _raise_above(self, above: Epoch) -> None:
        """See that whatever is taken from now on has an epoch above ``above``.

        A key that is damaged is written anew, and begins at the first: where storage remembers a higher epoch, whoever
        takes the lease finds that out, and comes back with it.
        """
        for _ in range(_TRIES):
            damaged = self._raised.damaged
            if not damaged and epoch_of(self._revision + 1, self._raised.by) > above:
                return
            key = self._keys.raised
            by = max(raised_above(above), FIRST)
            if damaged:
                logger.warning("a key in etcd was damaged, and is written anew", key=key.decode())
            answer = self._transaction(
                [changed_at(key, self._raised.changed)], [put(key, str(by).encode())], [read(key)]
            )
            if answer.says.get("succeeded"):
                self._raised = Raised(by=by, changed=answer.revision)
            else:
                self._raised = read_raised(answer.says["responses"][0])

    def _give_back_some(self, session: Session, leases: Mapping[TransferName, Handover]) -> None:
        for _ in range(_TRIES):
            words = self._lease_of_words()
            steps = [
                nested(
                    [created_at(self._keys.lease(name), self._held[name].created)],
                    [
                        delete(self._keys.lease(name)),
                        put(self._keys.handover(name), format_words(handover), words),
                    ][: 2 if words else 1],
                    [],
                )
                for name, handover in leases.items()
                if name in self._held
            ]
            try:
                self._guarded(session, steps)
            except NotFoundError:  # that of the words
                self._words = None
            else:
                return
        raise CoordinatorUnavailableError("etcd forgets what is to be kept for minutes")

    def _lease_of_words(self) -> int:
        """Return the lease of etcd's with which words end; half of its time at the least is left.

        0: etcd has no space for it. What is given back without a word is free all the same.
        """
        now = self._clock.boottime()
        if self._words is None or now - self._words[1] > WORDS_S / 2:
            try:
                granted = self._ask("/lease/grant", {"TTL": WORDS_S, "ID": 0})
            except FullError:
                return 0
            self._words = (int(granted.says["ID"]), now)
        return self._words[0]

    def _let_go(self, unknown: Mapping[TransferName, int]) -> None:
        """Free the leases of our session that we do not know of: it would keep them from everybody while it lasts.

        They were taken by requests whose replies were lost, or that arrived late.
        """
        steps = [
            nested([created_at(key, created)], [delete(key)], [])
            for key, created in ((self._keys.lease(name), at) for name, at in unknown.items())
        ]
        for start in range(0, len(steps), AT_ONCE):
            self._transaction([], steps[start : start + AT_ONCE], [])

    def _tells(self, standing: Standing) -> bytes:
        told = ToldSession(member=self._member, ttl_s=self._ttl_s, standing=standing)
        return format_session(told)

    def _beat(self, name: str) -> Any:
        return put(self._keys.beat(name), format_beat(self._ttl_s), int(name, 16))

    def _session_key(self, session: Session) -> bytes:
        return self._keys.session(name_of(session))

    def _guarded(self, session: Session, steps: list[Any]) -> None:
        """Do ``steps`` together, if the session lives."""
        found = [read(self._session_key(session))]
        answer = self._transaction(lives(self._keys, session), steps or found, found)
        if not answer.says.get("succeeded"):
            raise lost(session)

    def _read_all(self) -> tuple[Any, list[Entry]]:
        (everything,) = self._read(read_range(self._keys.told))
        return everything, list(entries(everything, self._keys.prefix))

    def _read(self, *questions: Any) -> list[Any]:
        """Return the answers to ``questions`` about ranges, all of one moment."""
        answer = self._transaction([], [*questions], [])
        return [each["response_range"] for each in answer.says["responses"]]

    def _transaction(self, compare: list[Any], success: list[Any], failure: list[Any]) -> Answer:
        return self._ask("/kv/txn", transaction(compare, success, failure))

    def _ask(self, path: str, question: Any) -> Answer:
        answer = self._calls.ask(path, question)
        self._revision = answer.revision
        return answer
