"""The doors for members: they join, ask what is news, and tell what happened and how they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mftgit.adapters.http_server.doors import Door, Request, Response
from mftgit.adapters.registry.registry import Registry
from mftgit.controller.members.asked import after, as_json, itself, known
from mftgit.controller.members.bans import Bans
from mftgit.controller.members.collect import Collect
from mftgit.controller.members.notify import Notifier
from mftgit.controller.members.orders import Orders
from mftgit.controller.members.uses import Uses
from mftgit.controller.members.visits import Visits
from mftgit.controller.recovery.fence import Fence
from mftgit.controller.recovery.seal import Recovery
from mftgit.controller.rollout.leader import Leader
from mftgit.model.access import Access, Kind
from mftgit.model.members.incarnation import HEADER
from mftgit.model.members.messages import CONFLICT, MAX_REPORT_BYTES
from mftgit.model.names import MemberName

STRANGER_S: Final = 10.0
"""How long somebody unknown may take to send a request, in seconds."""

_MAX_JOIN_BYTES: Final = 1 << 20
_MAX_KEY_BYTES: Final = 4 << 10
_MAX_SESSIONS_BYTES: Final = 2 << 20
_MAX_USES_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDoors:
    """What is behind them; ``heard`` is told of each member that speaks."""

    registry: Registry
    collect: Collect
    leader: Leader
    notifier: Notifier
    bans: Bans
    orders: Orders
    visits: Visits
    uses: Uses
    recovery: Recovery
    fence: Fence
    heard: Callable[[MemberName], None]

    def doors(self) -> Sequence[Door]:
        """Return them all."""
        return [*self._asked(), *self._told()]

    def _asked(self) -> Sequence[Door]:
        """Return those by which members ask."""
        known_to_us, members, anyone = Access.KNOWN, Access.MEMBERS, Access.ANYONE
        return [
            Door(
                method="GET",
                path="/api/head",
                access=known_to_us,
                handle=self._head,
                at_once=self._head_at_once,
                polled=True,
            ),
            Door(
                method="GET",
                path="/api/head/events",
                access=known_to_us,
                stream=lambda request: self.notifier.subscribe(known(request)),
            ),
            Door(
                method="GET",
                path="/api/recovery",
                access=members,
                handle=self._tell_recovery,
                polled=True,
            ),
            Door(
                method="GET",
                path="/api/bans",
                access=known_to_us,
                handle=lambda request: as_json(self.bans.news(after(request)).as_json()),
                polled=True,
            ),
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
                handle=lambda request: as_json(self.collect.knows(request.params)),
            ),
        ]

    def _told(self) -> Sequence[Door]:
        """Return those by which members tell."""
        return [
            Door(
                method="POST",
                path="/api/join",
                access=Access.ANYONE,
                handle=lambda request: as_json(self.collect.join(request.body.read())),
                max_body_bytes=_MAX_JOIN_BYTES,
                max_body_s=STRANGER_S,
            ),
            *(
                Door(
                    method="POST",
                    path=f"/api/members/{{member}}/{what}",
                    access=Access.MEMBERS,
                    handle=take,
                    max_body_bytes=most_bytes,
                    polled=polled,
                )
                for what, take, most_bytes, polled in (
                    ("events", self._take_events, MAX_REPORT_BYTES, False),
                    ("status", self._take_status, MAX_REPORT_BYTES, False),
                    ("sessions", self._take_sessions, _MAX_SESSIONS_BYTES, True),
                    ("uses", self._exchange_uses, _MAX_USES_BYTES, True),
                    ("key", self._take_key, _MAX_KEY_BYTES, False),
                )
            ),
        ]

    def _head_at_once(self, request: Request) -> Response | None:
        shown = request.headers.get(HEADER.lower())
        return None if self.fence.is_news(shown) else self._head(request)

    def _head(self, request: Request) -> Response:
        who = known(request)
        if who.kind is Kind.MEMBER:
            self.fence.hear(request.headers.get(HEADER.lower()), MemberName(who.name))
        if self.fence.replaced_by is not None:
            return as_json(
                {"error": "another controller has taken the place of this one"}, status=503
            )
        head = self.registry.head()
        if head is None:
            return as_json({"error": "nothing is published yet"}, status=503)
        tag = head.tag
        if who.kind is Kind.MEMBER:
            member = MemberName(who.name)
            self.heard(member)
            head, tag = self.leader.head_for(member, head)
        if request.headers.get("if-none-match") == tag:
            return Response(status=304, headers={"ETag": tag})
        return as_json(head.as_json(), headers={"ETag": tag, "Cache-Control": "no-cache"})

    def _tell_recovery(self, request: Request) -> Response:
        newest = self.recovery.after(after(request))
        return Response(status=304) if newest is None else as_json(newest.as_json())

    def _tell_orders(self, request: Request) -> Response:
        """Tell a member its own orders, and of no other's."""
        member = MemberName(known(request).name)
        return as_json(self.orders.news(member, after(request)).as_json())

    def _take_events(self, request: Request) -> Response:
        member = itself(request)
        self.heard(member)
        answer = self.collect.events(member, request.body.read())
        self.leader.poke()
        return as_json(answer, status=CONFLICT if "error" in answer else 200)

    def _take_status(self, request: Request) -> Response:
        member = itself(request)
        self.heard(member)
        return as_json(self.collect.status(member, request.body.read()))

    def _take_sessions(self, request: Request) -> Response:
        member = itself(request)
        self.visits.take(member, self.collect.sessions(request.body.read()))
        return as_json({})

    def _exchange_uses(self, request: Request) -> Response:
        member = itself(request)
        told = self.collect.uses(request.body.read())
        return as_json(self.uses.exchange(member, told).as_json())

    def _take_key(self, request: Request) -> Response:
        return as_json(self.collect.offer_key(itself(request), request.body.read()))
