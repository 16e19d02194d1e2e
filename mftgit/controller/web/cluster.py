"""The cluster: every member with its revision and state, and the roll-out, which those who may publish steer here."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from mftgit.adapters.clock import Clock
from mftgit.adapters.http_server.doors import NotServedError
from mftgit.adapters.process_lock import is_running
from mftgit.controller.recovery.seal import is_recoverable
from mftgit.controller.rollout.steer import ABORT, PAUSE, RESUME, Word, promote, steer, there
from mftgit.controller.views.cluster_status import (
    ClusterStatus,
    mark_of_cluster,
    status_of_cluster,
    what_runs,
)
from mftgit.controller.web.doors import (
    AnyDoor,
    ApiDoor,
    Asked,
    FormDoor,
    GoTo,
    Page,
    PageDoor,
    Topic,
)
from mftgit.controller.web.parts import WebParts
from mftgit.errors import ConfigError
from mftgit.model.access import OperatorRole
from mftgit.model.rollout.orders import NothingToDoError
from mftgit.model.rollout.told import describe, tell_unseen

_T = TypeVar("_T")
_KEPT_S = 3.0

_REVISION = {
    "type": "object",
    "properties": {
        "revision": {
            "type": "string",
            "minLength": 7,
            "maxLength": 40,
            "description": "Refused where that is not the newest revision; at least seven digits",
        },
        "now": {
            "type": "boolean",
            "description": "Do not wait for a change window either; for `promote` alone",
        },
    },
    "unevaluatedProperties": False,
}
_DONE = {
    "pause": "No further member begins.",
    "resume": "The roll-out goes on.",
    "promote": "Every member takes the revision now.",
    "abort": "No further member takes the revision.",
}


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return what there is to see and to do of the cluster."""
    kept = _Kept(parts.clock)

    def found() -> ClusterStatus:
        return status_of_cluster(
            parts.registry,
            parts.bootstrap,
            parts.folder.read_status(),
            running=is_running(parts.folder.root),
            now=parts.clock.now().timestamp(),
            recovery_key=is_recoverable(parts.folder),
        )

    def mark() -> str:
        return mark_of_cluster(
            parts.registry, parts.folder.read_status(), now=parts.clock.now().timestamp()
        )

    def page(_asked: Asked) -> Page:
        cluster = kept.get(mark(), found).as_json()
        unseen = tell_unseen((cluster["rollout"] or {}).get("unseen", ()))
        values = {"cluster": cluster, "unseen": unseen}
        return Page(template="cluster.html", title="Cluster", values=values, live="cluster")

    return [
        ApiDoor(
            method="GET",
            path="/api/v1/cluster",
            role=OperatorRole.READ,
            summary="How the cluster is: what `mftgit status --json` prints on the controller.",
            answer="output-status",
            handle=lambda _: found().as_json(),
        ),
        ApiDoor(
            method="GET",
            path="/api/v1/rollout",
            role=OperatorRole.READ,
            summary="How the roll-out of the newest revision is: what `mftgit rollout status --json` prints.",
            answer="output-rollout-status",
            handle=lambda _: describe(
                _served(lambda: there(parts.registry.rollout())),
                what_runs(parts.registry.members()),
            ),
        ),
        PageDoor(path="/cluster", handle=page),
        PageDoor(path="/", handle=lambda _: GoTo(path="/cluster")),
        Topic(name="cluster", mark=mark),
        *_steering(parts),
    ]


class _Kept:
    """The status that was read last: many who look at the page at the same time cost as much as one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last: tuple[str, float, ClusterStatus] | None = None

    def get(self, mark: str, read: Callable[[], ClusterStatus]) -> ClusterStatus:
        """Return the status of ``mark``, read anew after a few seconds in any case."""
        with self._lock:
            now_s = self._clock.boottime()
            last = self._last
            if last is None or last[0] != mark or now_s - last[1] > _KEPT_S:
                last = self._last = (mark, now_s, read())
            return last[2]


def _steering(parts: WebParts) -> list[AnyDoor]:
    made: list[AnyDoor] = []
    for verb in _DONE:
        call = ApiDoor(
            method="POST",
            path=f"/api/v1/rollout/{verb}",
            role=OperatorRole.PUBLISH,
            summary=f"What `mftgit rollout {verb}` does.",
            answer="output-rollout-status",
            body=_REVISION,
            handle=partial(_steer, parts, verb),
        )
        form = FormDoor(path=f"/cluster/rollout/{verb}", call=call, body=_meant, to=_back(verb))
        made += [call, form]
    return made


def _steer(parts: WebParts, verb: str, asked: Asked) -> dict[str, Any]:
    rev, now = asked.body.get("revision"), asked.body.get("now", False)
    words: dict[str, Word] = {
        "pause": PAUSE,
        "resume": RESUME,
        "abort": ABORT,
        "promote": promote(regardless=now),
    }
    by = str(asked.who)
    return describe(
        _served(lambda: steer(parts.registry, parts.events, words[verb], rev=rev, by=by))
    )


def _served(call: Callable[[], _T]) -> _T:
    """Return what ``call`` does; what does not go with the state is told as that."""
    try:
        return call()
    except (NothingToDoError, ConfigError) as error:
        raise NotServedError(409, str(error)) from error


def _meant(asked: Asked) -> dict[str, Any]:
    """Name the revision that the page showed: a newer one may have come since."""
    return {"revision": asked.text("revision"), "now": asked.text("now") == "yes"}


def _back(verb: str) -> Callable[[Asked, Any], GoTo]:
    return lambda _asked, _answer: GoTo(path="/cluster", said=_DONE[verb])
