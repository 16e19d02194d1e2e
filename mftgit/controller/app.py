"""The controller's composition root: the hosted repository, its gate, and the doors around them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from loguru import logger

from mftgit.adapters.clock import Clock, SystemClock, rfc3339
from mftgit.adapters.draft_files import DraftFiles
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.git.damage import mend_head
from mftgit.adapters.git.http import GitHttp
from mftgit.adapters.git.objects import StoreError
from mftgit.adapters.git.review_log import KeptReviews
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.http_server.doors import Door
from mftgit.adapters.http_server.server import HttpServer
from mftgit.adapters.registry.bans import BanRecords
from mftgit.adapters.registry.issuer import IssuerRecord
from mftgit.adapters.registry.operator_codes import OperatorCodes
from mftgit.adapters.registry.orders import OrderRecords
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.registry.web_sessions import WebSessions
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.adapters.volume_records import VolumeRecords
from mftgit.controller.certificate import ServerCertificate
from mftgit.controller.forge.doors import forge_doors
from mftgit.controller.forge.mirror import Mirroring
from mftgit.controller.forge.settings import MirrorSettings
from mftgit.controller.gate.doors import git_doors
from mftgit.controller.gate.limits import PublishedLimits
from mftgit.controller.gate.proposals import Proposals
from mftgit.controller.gate.publish import Publish
from mftgit.controller.gate.receive import Receive
from mftgit.controller.health_doors import HealthDoors
from mftgit.controller.members.bans import Bans
from mftgit.controller.members.collect import Collect
from mftgit.controller.members.doors import MemberDoors
from mftgit.controller.members.keys import MemberKeys
from mftgit.controller.members.notify import Notifier
from mftgit.controller.members.orders import Orders
from mftgit.controller.members.presence import Presence
from mftgit.controller.members.refs import MemberRefs
from mftgit.controller.members.reported import Reported
from mftgit.controller.members.upstream import LocalUpstream, repository_broken
from mftgit.controller.members.uses import Uses
from mftgit.controller.members.visits import Visits
from mftgit.controller.members.volumes import Volumes
from mftgit.controller.operators.access import Doorkeeper
from mftgit.controller.operators.codes import Codes
from mftgit.controller.operators.vouching import Vouching
from mftgit.controller.recovery.fence import Fence, Settling
from mftgit.controller.recovery.seal import Recovery
from mftgit.controller.review.gate import ReviewGate
from mftgit.controller.review.reviews import Reviews
from mftgit.controller.rollout.leader import Leader
from mftgit.controller.upkeep import Housekeeping
from mftgit.controller.views.definitions import Definitions
from mftgit.controller.views.editing import Editing
from mftgit.controller.views.history import History
from mftgit.controller.views.overview import look_over
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.sessions import Sessions
from mftgit.controller.web.site import WebSite
from mftgit.errors import ConfigError, MftgitError, RemovedError
from mftgit.model.access import OperatorRole
from mftgit.model.configuration.changes import MemberChange, member_changes
from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.members.messages import Head, Hint, MemberStatus
from mftgit.model.monitoring.overview import Overview
from mftgit.model.names import MemberName, Revision
from mftgit.model.revisions.push import Push, Verdict
from mftgit.model.rules.validate import Validator


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
        self._open_ears(clock)
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
            cut_off=self._cut_off,
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
            uses=lambda told: self._uses.exchange(me, told),
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
        self.history = History(self.store, validator, self._running)
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
            editing=Editing(
                self.store,
                validator,
                DraftFiles(folder.drafts),
                operators=self._operators().keys(),
            ),
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

    def _open_ears(self, clock: Clock) -> None:
        """Put together what keeps in mind, and nowhere else, what members say of those who are logged in."""
        self.visits = Visits(ask=self._ask_for_sessions, clock=clock)
        self._uses = Uses(wake=self._hint_at_uses, clock=clock)

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
            known_broken=self._registry.glass,
            compare=partial(_compare, self.store, validator),
            record=self._record,
            now=clock.now,
        )
        receive = Receive(validator, self._record, self._publish, self._review_gate)
        self._gate = self._make_gate(receive.decide)
        self._git = GitHttp(
            self.store,
            gate=lambda push: self._mirroring.refusal(push) or self._gate(push),
            settled=receive.settle,
            limits=self._limits,
            merge=lambda *asked: self.reviews.merge_pushed(*asked),  # noqa: PLW0108  made below
        )
        self._mirroring = Mirroring(
            MirrorSettings(folder),
            replace(self._git.door, gate=self._make_gate(receive.decide_mirrored)),
            self._registry,
            record=self._record_fact,
            is_closed=lambda: self._fence.replaced_by is not None,
            clock=clock,
        )
        self.proposals = Proposals(self._git.door, controller=self._me, now=clock.now)
        self.reviews = Reviews(
            self._git.door,
            self._review_gate,
            compare=lambda before, after: self.history.compare(before, after).members,
            controller=self._me,
            now=clock.now,
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

    def _make_gate(self, decide: Callable[[Push], Verdict]) -> Callable[[Push], Verdict]:
        """Return what decides about pushes, whoever brings them: first whether any are taken, then by ``decide``."""
        settling = Settling(self._registry, self.store)
        return lambda push: self._fence.refusal() or settling.refusal(push) or decide(push)

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
        self._uses.start()
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
        self._uses.stop()
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
        health = HealthDoors(
            store=self.store,
            registry=self._registry,
            damage=self._git.damage,
            fence=self._fence,
            ca_file=self._folder.ca_file,
        )
        members = MemberDoors(
            registry=self._registry,
            collect=self._collect,
            leader=self._leader,
            notifier=self._notifier,
            bans=self._bans,
            orders=self.orders,
            visits=self.visits,
            uses=self._uses,
            recovery=self._recovery,
            fence=self._fence,
            heard=self._heard,
        )
        return [
            *git_doors(self._git, self._limits),
            *health.doors(),
            *members.doors(),
            *forge_doors(self._mirroring),
        ]

    def overview(self, me: MemberStatus) -> Overview:
        """Return how the cluster is; ``me`` is how the controller's own member is just now."""
        return look_over(self._registry, me, SystemClock().now)

    def _own_head(self, head: Head) -> Head:
        if self._fence.replaced_by is not None:
            raise RemovedError("another controller has taken the place of this one")
        return self._leader.head_for(self._me, head)[0]

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

    def _cut_off(self, member: MemberName) -> None:
        self._leader.cut_off(member)
        self._uses.cut_off(member)

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

    def _hint_at_uses(self) -> None:
        self._notifier.notify(hint=Hint.USES)
        self.upstream.notify(Hint.USES)

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
