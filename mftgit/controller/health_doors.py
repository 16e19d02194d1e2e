"""The doors for anybody: whether the controller lives and is ready, and who issued its certificate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from mftgit.adapters.git.damage import Damage
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.http_server.doors import Door, Request, Response
from mftgit.adapters.registry.registry import Registry
from mftgit.controller.members.asked import as_json
from mftgit.controller.recovery.fence import Fence
from mftgit.errors import MftgitError
from mftgit.model.access import Access


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthDoors:
    """What is behind them."""

    store: GitStore
    registry: Registry
    damage: Damage
    fence: Fence
    ca_file: Path

    def doors(self) -> Sequence[Door]:
        """Return them all."""
        anyone = Access.ANYONE
        return [
            Door(
                method="GET",
                path="/healthz",
                access=anyone,
                handle=_live,
                at_once=_live,
                polled=True,
            ),
            Door(method="GET", path="/readyz", access=anyone, handle=self._ready, polled=True),
            Door(method="GET", path="/api/authority", access=anyone, handle=self._authority),
        ]

    def _ready(self, _request: Request) -> Response:
        """Tell whether revisions can be had here: the repository and the records can be read, and agree."""
        try:
            tip, head = self.store.head(), self.registry.head()
        except MftgitError as error:
            logger.warning("not ready", reason=str(error))
            return as_json({"ready": False}, status=503)
        whole = self.damage.known is None or self.damage.look() is None
        ready = whole and tip is not None and head is not None and head.oid == tip
        ready = ready and self.fence.replaced_by is None
        return as_json({"ready": ready}, status=200 if ready else 503)

    def _authority(self, _request: Request) -> Response:
        return Response(
            headers={"Content-Type": "application/x-pem-file"},
            body=self.ca_file.read_bytes(),
        )


def _live(_request: Request) -> Response:
    return as_json({"healthy": True})
