"""The controller's composition root: the hosted repository, its gate, and the doors around them."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, cast

from loguru import logger

from mftgit.adapters.ban_records import BanRecords
from mftgit.adapters.clock import Clock, SystemClock, rfc3339
from mftgit.adapters.event_store import EventStore
from mftgit.adapters.git_damage import mend_head
from mftgit.adapters.git_http import MAX_QUESTION_BYTES, GitHttp, GitRequest, GitResponse
from mftgit.adapters.git_objects import StoreError
from mftgit.adapters.git_store import GitStore
from mftgit.adapters.http_doors import Door, Pool, Request, Response
from mftgit.adapters.http_server import HttpServer
from mftgit.adapters.issuer_record import IssuerRecord
from mftgit.adapters.operator_codes import OperatorCodes
from mftgit.adapters.order_records import OrderRecords
from mftgit.adapters.registry import Registry
from mftgit.adapters.review_log import KeptReviews
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.adapters.volume_records import VolumeRecords
from mftgit.adapters.web_sessions import WebSessions
from mftgit.controller.access import Doorkeeper
from mftgit.controller.bans import Bans
from mftgit.controller.certificate import ServerCertificate
from mftgit.controller.codes import Codes
from mftgit.controller.collect import BadReportError, Collect, own_name
from mftgit.controller.definitions import Definitions
from mftgit.controller.editing import Editing
from mftgit.controller.fence import Fence, Settling
from mftgit.controller.history import History
from mftgit.controller.keys import MemberKeys
from mftgit.controller.limits import PublishedLimits
from mftgit.controller.member_refs import MemberRefs
from mftgit.controller.mirror import Mirroring
from mftgit.controller.mirror_settings import MirrorSettings
from mftgit.controller.notify import Notifier
from mftgit.controller.orders import Orders
from mftgit.controller.overview import look_over
from mftgit.controller.presence import Presence
from mftgit.controller.proposals import Proposals
from mftgit.controller.publish import Publish
from mftgit.controller.receive import Receive
from mftgit.controller.recovery import Recovery
from mftgit.controller.reported import Reported
from mftgit.controller.review_gate import ReviewGate
from mftgit.controller.reviews import Reviews
from mftgit.controller.rollout import Leader
from mftgit.controller.upkeep import Housekeeping
from mftgit.controller.upstream import LocalUpstream, repository_broken
from mftgit.controller.visits import Visits
from mftgit.controller.volumes import Volumes
from mftgit.controller.vouching import Vouching
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.sessions import Sessions
from mftgit.controller.web.site import WebSite
from mftgit.errors import ConfigError, MftgitError, RemovedError
from mftgit.model.access import Access, Kind, OperatorRole, Principal
from mftgit.model.changes import MemberChange, member_changes
from mftgit.model.events import Event, EventName, Fact
from mftgit.model.incarnation import HEADER
from mftgit.model.messages import CONFLICT, MAX_REPORT_BYTES, Head, Hint, MemberStatus
from mftgit.model.mirror import MAX_HOOK_BYTES
from mftgit.model.names import MemberName, Revision
from mftgit.model.overview import Overview
from mftgit.model.places import CLUSTER_FILE
from mftgit.model.push import Push, Verdict
from mftgit.model.validate import Validator

MAX_JOIN_BYTES = 1 << 20
MAX_KEY_BYTES = 4 << 10
MAX_SESSIONS_BYTES = 2 << 20

_REPOSITORY = "/config.git"
_STRANGER_S = 10.0  # somebody unknown must not hold a connection for long
_BOUNDED_BY = (
    f"; gate.limits in the published {CLUSTER_FILE} says so (max_pack_bytes, max_request_s)"
)


class Controller:
    """A running controller; its own member is separate and uses ``upstream`` and ``store``."""

    def __init__(
        self,
        folder: StateFolder,
        bootstrap: Bootstrap,
        *,
        events: EventStore,
        validator: Validator,
    ) -> None:
        """Open everything and bind the port; nothing is served before ``start``.

        Raises:
            ConfigError: the folder is not a controller's.
            MftgitError: the port is in use, or the repository cannot be opened.
        """
        if not bootstrap.listen:
            raise ConfigError(f"{folder.bootstrap_file} names no address to listen on")
        clock = SystemClock()
        self._folder = folder
        self._events = events
        self.store = _open_repository(folder)
        swept = self.store.sweep()
        if swept:
            logger.warning("leftovers of a crash were removed", files=list(swept))
        self._certificate = ServerCertificate(folder, bootstrap, self.store, now=clock.now)
        self._registry = Registry(folder.registry, now=clock.now)
        self._ban_records = BanRecords(folder.registry, now=clock.now)
        self._bans = Bans(self._ban_records, wake=self._hint_at_bans)
        self._reported_now = Reported(self._registry, me=bootstrap.name, clock=clock)
        self.visits = Visits(ask=self._ask_for_sessions, clock=clock)
        self.volumes = Volumes(VolumeRecords(folder.volumes), events, clock=clock)
        self._order_records = OrderRecords(folder.registry, now=clock.now)
        self.orders = Orders(
            self._order_records,
            record=self._record_fact,
            wake=self._hint_at_orders,
            is_member=lambda name: bool(self._registry.public_keys(name)),
        )
        self._leader = Leader(
            self._registry, events, self.store, validator, clock=clock, wake=self._wake
        )
        self._presence = Presence(
            self._registry,
            now=clock.now,
            listens=self._leader.listens,
            cut_off=self._leader.cut_off,
        )
        me = self._me = bootstrap.name
        self._member_refs = MemberRefs(self._registry, self.store)
        self.upstream = LocalUpstream(
            self._registry,
            self.store,
            head_for=self._own_head,
            heard=lambda: self._heard(me),
            report=self._report,
            reported=lambda mine: self._reported(mine, rfc3339(clock.now())),
            bans=self._bans.news,
            orders=lambda after: self.orders.news(me, after),
            sessions=lambda told: self.visits.take(me, told),
        )
        self._housekeeping = Housekeeping(self.store, clock=clock)
        self._notifier = Notifier(self._presence, is_member=self._is_member)
        keys = MemberKeys(self._registry, self._record_fact)
        self._collect = Collect(
            self._registry,
            events,
            keys,
            report=self._report,
            kept=self._reported,
            cluster_id=bootstrap.cluster_id,
            controller=me,
        )
        self._limits = PublishedLimits(self.store)
        self._limits()
        self._keep_for_loss(bootstrap, clock)
        self._open_gate(folder, validator, clock)
        self._codes = Codes(OperatorCodes(folder.registry), folder.age_key, clock=clock)
        self._vouching = Vouching(
            IssuerRecord(folder.registry), self._registry, folder.age_key, clock=clock
        )
        self._sessions = Sessions(
            WebSessions(folder.registry),
            self._registry,
            self._codes,
            clock=clock,
            issuer_mark=self._vouching.mark,
        )
        self.history = History(self.store, validator, self._running)
        doorkeeper = Doorkeeper(
            self._registry,
            keys,
            cluster_id=bootstrap.cluster_id,
            record=self._record_fact,
            clock=clock,
            visitor=self._sessions.visitor,
            codes=self._codes,
        )
        self.web_parts = WebParts(
            folder=folder,
            bootstrap=bootstrap,
            registry=self._registry,
            events=events,
            store=self.store,
            validator=validator,
            clock=clock,
            sessions=self._sessions,
            log_in=doorkeeper.enter,
            codes=self._codes,
            vouching=self._vouching,
            proposals=self.proposals,
            reviews=self.reviews,
            history=self.history,
            editing=Editing(self.store, validator),
            orders=self.orders,
            reported=self._reported_now,
            definitions=Definitions(self.store, validator),
            volumes=self.volumes,
            bans=self._ban_records,
            visits=self.visits,
        )
        self._web = WebSite(self.web_parts)
        self._server = HttpServer(
            [*self._doors(), *self._web.doors],
            doorkeeper=doorkeeper,
            listen=bootstrap.listen,
            certificate=folder.tls_certificate,
            key=folder.tls_key,
        )

    def _open_gate(self, folder: StateFolder, validator: Validator, clock: Clock) -> None:
        """Put together what decides about pushes, and what moves main by the same rules."""
        self._publish = Publish(
            self._record, [self._limits.published, self._certificate.published, self._raise_head]
        )
        self._review_gate = ReviewGate(
            self.store,
            KeptReviews(self.store, now=clock.now),
            operators=self._operators,
            broken=self._registry.note_glass,
            compare=partial(_compare, self.store, validator),
            record=self._record,
        )
        receive = Receive(validator, self._record, self._publish, self._review_gate)
        self._gate = self._make_gate(receive)
        self._git = GitHttp(
            self.store,
            gate=lambda push: self._mirroring.refusal(push) or self._gate(push),
            settled=receive.settle,
            limits=self._limits,
        )
        self._mirroring = Mirroring(
            MirrorSettings(folder),
            replace(self._git.door, gate=self._gate),
            self._registry,
            record=self._record_fact,
            is_closed=lambda: self._fence.replaced_by is not None,
            clock=clock,
        )
        self.proposals = Proposals(self._git.door, controller=self._me, now=clock.now)
        self.reviews = Reviews(
            self._git.door, self._review_gate, controller=self._me, now=clock.now
        )

    def _keep_for_loss(self, bootstrap: Bootstrap, clock: Clock) -> None:
        """Put together what lets another controller take this one's place, and what notices that one has."""
        self._recovery = Recovery(
            self._folder,
            bootstrap,
            self._registry,
            self._events,
            clock=clock,
            renewed=lambda: self._notifier.notify(hint=Hint.RECOVERY),
        )
        self._fence = Fence(
            self._folder,
            self._registry,
            cluster_id=bootstrap.cluster_id,
            record=self._record_fact,
        )

    def _make_gate(self, receive: Receive) -> Callable[[Push], Verdict]:
        """Return what decides about pushes, whoever brings them; the forge's have no other one."""
        settling = Settling(self._registry, self.store)
        return lambda push: self._fence.refusal() or settling.refusal(push) or receive.decide(push)

    def start(self) -> None:
        """Serve. Damage is looked for, and a publication that a crash kept from being told is told first."""
        self._git.damage.look()
        self._leader.resume()
        self.catch_up()
        self._begin_reviews()
        self._publish.start()
        self._presence.start()
        self._member_refs.start()
        self._bans.start()
        self.orders.start()
        self.volumes.start()
        self._leader.start()
        self._server.start()
        self._web.start()
        self._certificate.start(self._server.reload_certificate)
        self._housekeeping.start()
        self._mirroring.start()
        self._recovery.start()

    def stop(self) -> None:
        """Stop serving and close everything."""
        self._notifier.close()
        self._web.stop()
        self._mirroring.stop()
        self._recovery.stop()
        self._certificate.stop()
        self._server.stop()
        self._housekeeping.stop()
        self._presence.stop()
        self._member_refs.stop()
        self._bans.stop()
        self.orders.stop()
        self.volumes.stop()
        self._leader.stop()
        self._publish.stop()
        self.upstream.close()
        self._sessions.close()
        self._codes.close()
        self._vouching.close()
        self.history.close()
        self._registry.close()
        self._ban_records.close()
        self._order_records.close()
        self.store.close()

    def _doors(self) -> list[Door]:
        known, members, anyone = Access.KNOWN, Access.MEMBERS, Access.ANYONE
        git = [
            Door(method="GET", path="/info/refs", access=known),
            Door(
                method="POST",
                path="/git-upload-pack",
                access=known,
                max_body_bytes=MAX_QUESTION_BYTES,
            ),
            Door(
                method="POST",
                path="/git-receive-pack",
                access=known,
                role=OperatorRole.PROPOSE,
                max_body_bytes=lambda: self._limits.last.body_bytes,
                max_body_s=lambda: self._limits.last.max_request_s,
                bounded_by=_BOUNDED_BY,
            ),
        ]
        return [
            *(
                replace(
                    door,
                    path=_REPOSITORY + door.path,
                    handle=self._serve_git,
                    at_once=self._fetched_before,
                    pool=Pool.GIT,
                )
                for door in git
            ),
            Door(
                method="GET",
                path="/healthz",
                access=anyone,
                handle=self._healthy,
                at_once=self._healthy,
                polled=True,
            ),
            Door(method="GET", path="/readyz", access=anyone, handle=self._ready, polled=True),
            Door(method="GET", path="/api/authority", access=anyone, handle=self._authority),
            Door(
                method="POST",
                path="/api/join",
                access=anyone,
                handle=self._join,
                max_body_bytes=MAX_JOIN_BYTES,
                max_body_s=_STRANGER_S,
            ),
            Door(
                method="GET",
                path="/api/head",
                access=known,
                handle=self._head,
                at_once=self._head_at_once,
                polled=True,
            ),
            Door(
                method="GET",
                path="/api/head/events",
                access=known,
                stream=lambda request: self._notifier.subscribe(_known(request)),
            ),
            Door(
                method="POST",
                path="/api/forge",
                access=anyone,
                handle=self._hear_forge,
                at_once=self._spare_forge,
                max_body_bytes=MAX_HOOK_BYTES,
                max_body_s=_STRANGER_S,
            ),
            Door(
                method="GET",
                path="/api/recovery",
                access=members,
                handle=self._tell_recovery,
                polled=True,
            ),
            Door(method="GET", path="/api/bans", access=known, handle=self._tell_bans, polled=True),
            Door(
                method="GET",
                path="/api/orders",
                access=members,
                handle=self._tell_orders,
                polled=True,
            ),
            Door(
                method="GET",
                path="/api/members/{member}/keys/{key}",
                access=anyone,
                handle=lambda request: _json(self._collect.knows(request.params)),
            ),
            Door(
                method="POST",
                path="/api/members/{member}/events",
                access=members,
                handle=self._take_events,
                max_body_bytes=MAX_REPORT_BYTES,
            ),
            Door(
                method="POST",
                path="/api/members/{member}/status",
                access=members,
                handle=self._take_status,
                max_body_bytes=MAX_REPORT_BYTES,
            ),
            Door(
                method="POST",
                path="/api/members/{member}/sessions",
                access=members,
                handle=self._take_sessions,
                max_body_bytes=MAX_SESSIONS_BYTES,
                polled=True,
            ),
            Door(
                method="POST",
                path="/api/members/{member}/key",
                access=members,
                handle=self._take_key,
                max_body_bytes=MAX_KEY_BYTES,
            ),
        ]

    # What is behind the doors

    def _serve_git(self, request: Request) -> Response:
        return _from_git(self._git.handle(_to_git(request)))

    def _fetched_before(self, request: Request) -> Response | None:
        answer = self._git.at_once(_to_git(request))
        return None if answer is None else _from_git(answer)

    def _healthy(self, _request: Request) -> Response:
        return _json({"healthy": True})

    def _ready(self, _request: Request) -> Response:
        """Tell whether revisions can be had here: the repository and the records can be read, and agree."""
        try:
            tip, head = self.store.head(), self._registry.head()
        except MftgitError as error:
            logger.warning("not ready", reason=str(error))
            return _json({"ready": False}, status=503)
        whole = self._git.damage.known is None or self._git.damage.look() is None
        ready = whole and tip is not None and head is not None and head.oid == tip
        ready = ready and self._fence.replaced_by is None
        return _json({"ready": ready}, status=200 if ready else 503)

    def _authority(self, _request: Request) -> Response:
        return Response(
            headers={"Content-Type": "application/x-pem-file"},
            body=self._folder.ca_file.read_bytes(),
        )

    def _join(self, request: Request) -> Response:
        return _json(self._collect.join(request.body.read()))

    def _head_at_once(self, request: Request) -> Response | None:
        shown = request.headers.get(HEADER.lower())
        return None if self._fence.is_news(shown) else self._head(request)

    def _own_head(self, head: Head) -> Head:
        if self._fence.replaced_by is not None:
            raise RemovedError("another controller has taken the place of this one")
        return self._leader.head_for(self._me, head)[0]

    def _tell_recovery(self, request: Request) -> Response:
        newest = self._recovery.after(_after(request))
        return Response(status=304) if newest is None else _json(newest.as_json())

    def _head(self, request: Request) -> Response:
        asks = _known(request)
        if asks.kind is Kind.MEMBER:
            self._fence.hear(request.headers.get(HEADER.lower()), MemberName(asks.name))
        if self._fence.replaced_by is not None:
            return _json(
                {"error": "another controller has taken the place of this one"}, status=503
            )
        head = self._registry.head()
        if head is None:
            return _json({"error": "nothing is published yet"}, status=503)
        who, tag = _known(request), head.tag
        if who.kind is Kind.MEMBER:
            member = MemberName(who.name)
            self._heard(member)
            head, tag = self._leader.head_for(member, head)
        if request.headers.get("if-none-match") == tag:
            return Response(status=304, headers={"ETag": tag})
        return _json(head.as_json(), headers={"ETag": tag, "Cache-Control": "no-cache"})

    def _tell_bans(self, request: Request) -> Response:
        return _json(self._bans.news(_after(request)).as_json())

    def _tell_orders(self, request: Request) -> Response:
        """Tell a member its own orders, and of no other's."""
        member = MemberName(_known(request).name)
        return _json(self.orders.news(member, _after(request)).as_json())

    def _spare_forge(self, _request: Request) -> Response | None:
        if self._mirroring.has_room():
            return None
        return _json({"error": "too many webhooks; the branch is looked at anyway"}, status=429)

    def _hear_forge(self, request: Request) -> Response:
        if self._mirroring.hook(request.headers, request.body.read()):
            return _json({"heard": True}, status=202)
        return _json({"error": "no webhook of the forge's that is mirrored here"}, status=403)

    def _take_events(self, request: Request) -> Response:
        member = _itself(request)
        self._heard(member)
        answer = self._collect.events(member, request.body.read())
        self._leader.poke()
        return _json(answer, status=CONFLICT if "error" in answer else 200)

    def _take_status(self, request: Request) -> Response:
        member = _itself(request)
        self._heard(member)
        return _json(self._collect.status(member, request.body.read()))

    def _take_sessions(self, request: Request) -> Response:
        member = _itself(request)
        self.visits.take(member, self._collect.sessions(request.body.read()))
        return _json({})

    def _take_key(self, request: Request) -> Response:
        return _json(self._collect.offer_key(_itself(request), request.body.read()))

    def overview(self, me: MemberStatus) -> Overview:
        """Return how the cluster is; ``me`` is how the controller's own member is just now."""
        return look_over(self._registry, me, SystemClock().now)

    # What happens besides

    def catch_up(self) -> None:
        """Tell where main stands, if it moved and that was not told: who moved it is not known any more."""
        tip, head = self.store.head(), self._registry.head()
        if tip is None:
            return
        if head is None or head.oid == tip:
            self._raise_head(tip)
        else:
            self._publish.tell(tip, who=None, previous=head.oid)

    def _begin_reviews(self) -> None:
        try:
            self._review_gate.begin()
        except MftgitError as error:
            logger.warning("the log of reviews was not looked at", reason=str(error))

    def _operators(self) -> Mapping[str, OperatorRole]:
        return {each.name: each.role for each in self._registry.operators()}

    def _raise_head(self, tip: Revision) -> None:
        self._git.forget_refs()  # who is told of it gets it, also where it was moved by hand
        self._leader.published(tip)
        self._registry.raise_head(tip)
        self.upstream.notify()
        self._notifier.notify()

    def _report(self, status: MemberStatus) -> None:
        self._registry.report(status)
        self._reported_now.take(status)
        self._member_refs.reported(status)
        self._leader.reported(status)

    def _reported(self, events: Sequence[Event], sent_at: str | None) -> None:
        """Take in what events of a member, which are kept, say of bans and orders."""
        self._bans.reported(events, sent_at)
        self.orders.reported(events)

    def _heard(self, member: MemberName) -> None:
        self._presence.heard(member)
        self._leader.heard(member)

    def _running(self) -> dict[str, Revision]:
        """Return which member runs which revision, as far as it has said."""
        return {
            each.name: each.status.active_revision
            for each in self._registry.members()
            if each.status is not None and each.status.active_revision is not None
        }

    def _wake(self, members: Collection[MemberName]) -> None:
        self._notifier.notify(members)
        if self._me in members:
            self.upstream.notify()

    def _hint_at_bans(self) -> None:
        self._notifier.notify(hint=Hint.BANS)
        self.upstream.notify(Hint.BANS)

    def _ask_for_sessions(self) -> None:
        self._notifier.notify(hint=Hint.SESSIONS)
        self.upstream.notify(Hint.SESSIONS)

    def _hint_at_orders(self, members: Collection[MemberName]) -> None:
        self._notifier.notify(members, hint=Hint.ORDERS)
        if self._me in members:
            self.upstream.notify(Hint.ORDERS)

    def _is_member(self, name: MemberName) -> bool:
        """Tell whether ``name`` may go on listening; on the loop."""
        try:
            return bool(self._registry.public_keys(name))
        except MftgitError:
            return True  # it is not for want of records that somebody is turned away

    def _record(
        self, event: EventName, revision: Revision | None, facts: Mapping[str, Fact]
    ) -> None:
        self._events.append(event, revision=revision, facts=facts)

    def _record_fact(self, event: EventName, facts: Mapping[str, Fact]) -> None:
        self._events.append(event, facts=facts)


def _compare(
    store: GitStore, validator: Validator, before: Revision, after: Revision
) -> Sequence[MemberChange]:
    """Return what ``after`` changes on each member; nothing where one of them is not valid any more."""
    was, becomes = (validator.validate(store.tree(each)) for each in (before, after))
    return () if was.problems or becomes.problems else member_changes(was, becomes)


def _open_repository(folder: StateFolder) -> GitStore:
    try:
        if mend_head(folder.repository):
            logger.warning("HEAD of the repository did not name main; it was written anew")
        return GitStore(folder.repository)
    except (StoreError, OSError) as error:
        raise repository_broken(folder.repository) from error


def _to_git(request: Request) -> GitRequest:
    principal = _known(request)
    return GitRequest(
        method=request.method,
        path=request.path.removeprefix(_REPOSITORY),
        query=request.query,
        headers=request.headers,
        body=cast("BinaryIO", request.body),
        who=str(principal),
        kind=principal.kind,
        role=principal.role,
    )


def _from_git(answer: GitResponse) -> Response:
    return Response(status=answer.status, headers=answer.headers, body=answer.body)


def _known(request: Request) -> Principal:
    if request.principal is None:
        raise BadReportError("log in first")
    return request.principal


def _itself(request: Request) -> MemberName:
    """Return the member that the path names, when it is the one that asks."""
    member = own_name(request.params)
    if _known(request).name != member:
        raise BadReportError(f"{request.principal} may speak for itself only, not for {member}")
    return member


def _after(request: Request) -> int:
    """Return the number that the query names, 0 where it names none."""
    found = re.fullmatch(r"(?:after=(\d{1,18}))?", request.query)
    if found is None:
        raise BadReportError("the query is not after=NUMBER")
    return int(found[1] or 0)


def _json(
    value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
        body=json.dumps(value).encode(),
    )
