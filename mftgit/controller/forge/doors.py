"""The door for the webhooks of a forge whose branch is mirrored; each is a hint, and never the truth."""

from collections.abc import Sequence

from mftgit.adapters.http_server.doors import Door, Request, Response
from mftgit.controller.forge.mirror import Mirroring
from mftgit.controller.members.asked import as_json
from mftgit.controller.members.doors import STRANGER_S
from mftgit.model.access import Access
from mftgit.model.revisions.mirror import MAX_HOOK_BYTES


def forge_doors(mirroring: Mirroring) -> Sequence[Door]:
    """Return the door behind which ``mirroring`` listens."""

    def spare(_request: Request) -> Response | None:
        if mirroring.has_room():
            return None
        return as_json({"error": "too many webhooks; the branch is looked at anyway"}, status=429)

    def hear(request: Request) -> Response:
        if mirroring.hook(request.headers, request.body.read()):
            return as_json({"heard": True}, status=202)
        return as_json({"error": "no webhook of the forge's that is mirrored here"}, status=403)

    return [
        Door(
            method="POST",
            path="/api/forge",
            access=Access.ANYONE,
            handle=hear,
            at_once=spare,
            max_body_bytes=MAX_HOOK_BYTES,
            max_body_s=STRANGER_S,
        )
    ]
