"""Publish a forge's protected branch: look at it, let the gate judge what is new, and tell the forge what became of it.

What comes is a push like any other, by ``forge``: same limits, quarantine and gate. Where the forge is away, lies,
or has rewritten its branch, main stays where it is, and all runs on.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from loguru import logger

from mftgit import __version__
from mftgit.adapters.clock import Clock, rfc3339
from mftgit.adapters.git.admission import Admission, Door, Pusher
from mftgit.adapters.git.fetch import RemoteUnreachableError
from mftgit.adapters.git.mirror import Looked, look_at, without_token
from mftgit.adapters.registry.registry import Registry
from mftgit.controller.forge.settings import MirrorSettings, Standing
from mftgit.controller.forge.statuses import ForgeStatuses
from mftgit.errors import ConfigError, MftgitError, TransientError
from mftgit.model.access import OperatorRole
from mftgit.model.events.event import EventName, Fact
from mftgit.model.members.messages import MemberState
from mftgit.model.names import MAIN, Revision
from mftgit.model.revisions.forge_status import GATE, MEMBERS, CommitStatus, StatusState
from mftgit.model.revisions.mirror import WHO, HookRate, Mirror, Refused, is_from_forge, mirrored
from mftgit.model.revisions.push import NOT_CHECKED, Push, RefUpdate, Verdict, unreadable

_TICK_S = 1.0
_TROUBLE_S = 60.0
_END_S = 3.0
_APART_S = 0.5
"""Between two looks, however many webhooks there are."""

_MAX_BACKOFF_S = 3_600.0
_PASSING = ("busy", "not written", "fetch first", "not settled yet", NOT_CHECKED)
"""How verdicts begin that say nothing of what was brought."""


class Mirroring:
    """The thread that looks at the forge; without settings it does nothing but look for them."""

    def __init__(
        self,
        settings: MirrorSettings,
        door: Door,
        registry: Registry,
        *,
        record: Callable[[EventName, Mapping[str, Fact]], None],
        is_closed: Callable[[], bool],
        clock: Clock,
    ) -> None:
        """Bring revisions in by ``door``, whose gate takes them as pushes; nothing is asked once it ``is_closed``."""
        self._settings = settings
        self._door = door
        self._registry = registry
        self._record = record
        self._is_closed = is_closed
        self._clock = clock
        self._statuses = ForgeStatuses(failed=self._status_failed)
        self._rate = HookRate()
        self._hooked = threading.Event()
        self._stopping = threading.Event()
        self._due_s = 0.0
        self._failures = 0
        self._before: Mirror | None = None
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a forge that hangs is not waited for."""
        self._stopping.set()
        self._hooked.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def has_room(self) -> bool:
        """Tell whether one more webhook is looked at now; must not wait."""
        return self._rate.takes(self._clock.boottime())

    def refusal(self, push: Push) -> Verdict | None:
        """Return why ``push`` is not taken while a forge is mirrored; None where none is."""
        try:
            mirror = self._settings.mirror()
        except ConfigError as error:
            return Verdict(
                reason="the controller does not know its forge", explanation=(str(error),)
            )
        return None if mirror is None else mirrored(push, mirror)

    def hook(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Take a webhook for a hint; tell whether it is the forge's own."""
        secret = self._settings.secret(self._settings.hook_file)
        if secret is None or not is_from_forge(headers, body, secret.encode()):
            return False
        self._hooked.set()
        return True

    def _run(self) -> None:
        failed = ""
        while not self._stopping.is_set():
            try:
                self.step()
            except MftgitError as error:
                if str(error) != failed:
                    logger.bind(reason=str(error)).error("no forge is looked at")
                failed = str(error)
            except Exception:
                logger.exception("the forge could not be looked at; it is tried again")
                self._stopping.wait(_TROUBLE_S)
            self._stopping.wait(_APART_S)
            self._hooked.wait(_TICK_S)

    def step(self) -> None:
        """Look if it is time, and tell the forge what there is to tell."""
        mirror = None if self._is_closed() else self._settings.mirror()
        if mirror is None:
            self._before, self._due_s = None, 0.0
            return
        now_s = self._clock.boottime()
        if mirror != self._before:
            self._before, self._due_s, self._failures = mirror, now_s, 0
        if self._hooked.is_set() or now_s >= self._due_s:
            self._hooked.clear()
            self.look(mirror)
            self._due_s = now_s + min(_MAX_BACKOFF_S, mirror.poll_s * 2.0 ** min(self._failures, 6))
        self._tell_members()
        self._statuses.send(mirror, self._settings.secret(self._settings.token_file), now_s)

    def look(self, mirror: Mirror) -> None:
        """Look at the branch once; what is new of it is published or refused."""
        before = self._settings.standing()
        at = rfc3339(self._clock.now())
        try:
            after = self._look(mirror, before)
        except MftgitError as error:
            # What answers wrongly is not asked as often as what is away: each time may cost a whole download.
            passing = isinstance(error, RemoteUnreachableError | ConfigError)
            self._failures = 0 if passing else self._failures + 1
            problem = self._without_token(str(error))
            if before.problem is None:
                self._record(EventName.FORGE_UNREACHABLE, {"url": mirror.url, "reason": problem})
            logger.warning("the forge cannot be looked at; main stays as it is", reason=problem)
            self._settings.found(replace(before, looked_at=at, problem=problem))
            return
        self._failures = 0
        if before.problem is not None:
            self._record(EventName.FORGE_REACHED, {"url": mirror.url})
        self._settings.found(replace(after, looked_at=at, reached_at=at, problem=None))

    def _without_token(self, text: str) -> str:
        try:
            return without_token(text, self._settings.secret(self._settings.token_file))
        except ConfigError:  # it cannot be read, so that it was shown to nobody
            return text

    def _look(self, mirror: Mirror, before: Standing) -> Standing:
        settings, store = self._settings, self._door.store
        main = store.head(MAIN)
        limits = self._door.limits()
        refused = before.refused
        known = refused is not None and (refused.main, refused.version) == (main, __version__)
        with look_at(
            store,
            mirror,
            limits=limits,
            token=None if mirror.is_ssh else settings.secret(settings.token_file),
            key=settings.key_file if mirror.is_ssh else None,
            unwanted=refused.tip if refused is not None and known else None,
        ) as looked:
            if looked.tip == main:
                self._told_published(looked.tip)
                return replace(before, tip=looked.tip, refused=None)
            if refused is not None and known and looked.tip == refused.tip:
                return replace(before, tip=looked.tip)
            admission = Admission(
                self._door, Pusher(who=WHO, role=OperatorRole.PUBLISH), limits=limits
            )
            update = RefUpdate(ref=MAIN, old=main, new=looked.tip)
            verdict = _admit(admission, looked, update)
        return replace(
            before, tip=looked.tip, refused=self._became(mirror, looked.tip, main, verdict)
        )

    def _became(
        self, mirror: Mirror, tip: Revision, main: Revision | None, verdict: Verdict
    ) -> Refused | None:
        if verdict.reason is None:
            self._told_published(tip)
            return None
        if verdict.reason.startswith(_PASSING):
            raise TransientError(f"{tip}: {verdict.reason}")
        self._statuses.tell(
            CommitStatus(
                revision=tip,
                context=GATE,
                state=StatusState.FAILURE,
                description=f"refused: {verdict.reason}",
            )
        )
        facts: dict[str, Fact] = {
            "url": mirror.url,
            "branch": mirror.branch,
            "tip": tip,
            "published": main,
            "reason": verdict.reason,
            "explanation": list(verdict.explanation),
        }
        self._record(EventName.FORGE_REFUSED, facts)
        logger.bind(reason=verdict.reason, tip=tip).error(
            "the forge's branch is not published; main stays as it is"
        )
        return Refused(tip=tip, main=main, version=__version__, reason=verdict.reason)

    def _told_published(self, tip: Revision) -> None:
        self._statuses.tell(
            CommitStatus(
                revision=tip,
                context=GATE,
                state=StatusState.SUCCESS,
                description="published to the members",
            )
        )

    def _tell_members(self) -> None:
        """Tell how far the published revision is, where it is the forge's own tip."""
        tip = self._settings.standing().tip
        if tip is None or tip != self._door.store.head(MAIN):
            return
        members = [each for each in self._registry.members() if each.public_key is not None]
        run = sum(
            each.status is not None
            and each.status.active_revision == tip
            and each.status.state is MemberState.ACTIVE
            for each in members
        )
        progress = self._registry.rollout()
        halted = progress.halt if progress is not None and progress.oid == tip else None
        if halted is not None:
            state, text = StatusState.FAILURE, f"the roll-out is halted: {halted.reason}"
        elif run == len(members):
            state, text = StatusState.SUCCESS, f"all {run} members run it"
        else:
            state, text = StatusState.PENDING, "the members take it"
        self._statuses.tell(
            CommitStatus(revision=tip, context=MEMBERS, state=state, description=text)
        )

    def _status_failed(self, status: CommitStatus, why: str) -> None:
        facts: dict[str, Fact] = {
            "tip": status.revision,
            "context": status.context,
            "state": status.state.value,
            "reason": why,
        }
        self._record(EventName.FORGE_STATUS_FAILED, facts)
        logger.warning("the forge was not told of a status", reason=why)


def _admit(admission: Admission, looked: Looked, update: RefUpdate) -> Verdict:
    if looked.wrong is not None:
        (verdict,) = admission.refuse([update], unreadable(str(looked.wrong)))
    else:
        (verdict,) = admission.admit(looked.quarantine, [update])
    return verdict
