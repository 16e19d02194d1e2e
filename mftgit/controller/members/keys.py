"""The keys of members: a next one is offered beside the present one, and its first use ends that.

``mftgit.member.rotate`` is the other side, and has the table of what is known where.
"""

from collections.abc import Callable, Mapping

from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.tls import pki
from mftgit.model.events.event import EventName, Fact
from mftgit.model.names import MemberName

Record = Callable[[EventName, Mapping[str, Fact]], object]


class MemberKeys:
    """Changes the keys in the registry, and tells of it."""

    def __init__(self, registry: Registry, record: Record) -> None:
        """Write to ``registry``; ``record`` what has changed."""
        self._registry = registry
        self._record = record

    def offer(self, member: MemberName, key: str) -> None:
        """Let ``key``, which ``member`` has shown to have, open the doors beside the present one."""
        if self._registry.offer_key(member, key):
            self._record(
                EventName.MEMBER_KEY_OFFERED,
                {"of": member, "fingerprint": pki.identity_fingerprint(key)},
            )

    def rotate(self, member: MemberName, key: str) -> None:
        """End the key before ``key``, if that is the next one of ``member``."""
        ended = self._registry.promote_key(member, key)
        if ended is not None:
            self._record(
                EventName.MEMBER_KEY_ROTATED,
                {
                    "of": member,
                    "fingerprint": pki.identity_fingerprint(key),
                    "ended": pki.identity_fingerprint(ended),
                },
            )


class LocalKeyLine:
    """What `mftgit.member.rotate.KeyLine` promises, for the controller's own member, whose key opens no door for it."""

    def __init__(self, keys: MemberKeys, member: MemberName) -> None:
        """Change the keys of ``member`` with ``keys``."""
        self._keys = keys
        self._member = member

    def offer(self, key: bytes) -> None:
        """See `KeyLine.offer`."""
        self._keys.offer(self._member, pki.public_identity(key))

    def confirm(self, key: bytes) -> None:
        """See `KeyLine.confirm`."""
        self._keys.rotate(self._member, pki.public_identity(key))
