"""What members keep for the case that the controller is lost: its keys and records, sealed for its administrator.

To the member it is a text that it cannot open. What is in it proves itself by the private key of the authority that
members trust: nobody else has that.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from mftgit.model.members.incarnation import parse_incarnation
from mftgit.model.names import MemberName, parse_name

MAX_SEALED_BYTES: Final = 900_000
"""Of a sealed bundle: a member's record is some 150 bytes, before they are packed."""

EVENTS_APART: Final = 1_000_000
"""How far above the controller's last known event a restored one goes on, so that no number is used twice."""

SEALED_MARK: Final = "-----BEGIN AGE ENCRYPTED FILE-----"
_VERSION: Final = 1
_MAX_NUMBER: Final = 1 << 53

CARRIED_FILES: Final = (
    "ca.key", "ca.pem", "ca-next.pem", "ca-old.pem", "member.key", "age.key", "mirror.json", "storage-id",
    "recovery-recipients",
)  # fmt: skip
"""Those of the controller's state folder that are small and cannot be made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBundle:
    """A sealed bundle as a member has it; of two the one with the higher number is the newer."""

    number: int
    sealed: str

    def as_json(self) -> dict[str, Any]:
        """Return what `parse_kept` reads."""
        return asdict(self)


def parse_kept(value: Any) -> KeptBundle:
    """Return the bundle that ``value`` holds; raises ValueError."""
    match value:
        case {"number": int(number), "sealed": str(sealed)}:
            if not 0 < number < _MAX_NUMBER or len(sealed) > MAX_SEALED_BYTES:
                raise ValueError(
                    f"a recovery bundle of {len(sealed)} bytes with the number {number}"
                )
            if not sealed.startswith(SEALED_MARK) or not sealed.isascii():
                raise ValueError("a recovery bundle that is not sealed")
            return KeptBundle(number=number, sealed=sealed)
        case _:
            raise ValueError("no recovery bundle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The controller ``name`` with its ``files`` (by name) and ``records`` (by table), as it was at ``made_at``.

    ``seq`` is its head's number, ``last_event`` the number of its own last event, ``listen`` where it served.
    """

    cluster_id: str
    name: MemberName
    url: str
    listen: tuple[str, int]
    made_at: str
    seq: int
    incarnation: int
    last_event: int
    files: Mapping[str, str] = field(repr=False)
    records: Mapping[str, list[dict[str, Any]]] = field(repr=False)

    def content(self) -> tuple[Any, ...]:
        """Return what makes another bundle necessary when it changes."""
        return (self.url, self.listen, self.incarnation, dict(self.files), dict(self.records))


def format_bundle(bundle: Bundle) -> bytes:
    """Return ``bundle`` as JSON."""
    return json.dumps({"version": _VERSION, **asdict(bundle)}).encode()


def parse_bundle(content: bytes) -> Bundle:
    """Return what `format_bundle` gave ``content`` for; raises ValueError."""
    value: Any = json.loads(content)
    try:
        if value["version"] != _VERSION:
            raise ValueError(f"a recovery bundle of version {value['version']}: use that of mftgit")
        host, port = value["listen"]
        files = {
            name: text
            for name, text in value["files"].items()
            if name in CARRIED_FILES and isinstance(text, str)
        }
        records = {
            str(table): [dict(row) for row in rows] for table, rows in value["records"].items()
        }
        return Bundle(
            cluster_id=str(value["cluster_id"]),
            name=MemberName(parse_name(value["name"])),
            url=str(value["url"]),
            listen=(str(host), int(port)),
            made_at=str(value["made_at"]),
            seq=int(value["seq"]),
            incarnation=parse_incarnation(value["incarnation"]),
            last_event=int(value["last_event"]),
            files=files,
            records=records,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a recovery bundle without {error}") from None
