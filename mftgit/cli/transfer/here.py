"""What the member in a state folder says of its transfers, and what its active revision says of them."""

import json
from dataclasses import dataclass, field
from typing import Any

from mftgit.adapters.active_copy import CopyError, read_copy
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.process_lock import is_running
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.cli.rules import make_validator
from mftgit.cli.transfer.patience import Patience
from mftgit.errors import ConfigError, TransientError
from mftgit.member.kept import read_record
from mftgit.model.configuration.config import Generation, Transfer
from mftgit.model.configuration.render import render
from mftgit.model.members.messages import MemberStatus, parse_member_status
from mftgit.model.names import MemberName, Revision, TransferName
from mftgit.model.ownership.standing import Standing
from mftgit.model.printable import printable
from mftgit.model.rules.parts import Parts
from mftgit.model.transfers.status import TransferStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What the member says: now, where it is ``running``, else what it said last; nothing, if it never ran."""

    bootstrap: Bootstrap
    running: bool
    member: MemberStatus | None
    next_firings: dict[str, str]
    members: dict[MemberName, Standing] = field(default_factory=dict)
    """Who lives, as the member saw it last, and how each stands."""

    @property
    def transfers(self) -> tuple[TransferStatus, ...]:
        """Return how its transfers are, in the order of their names."""
        return () if self.member is None else tuple(self.member.transfers)

    def find(self, name: TransferName) -> TransferStatus | None:
        """Return how one of them is; None where this member has none of that name."""
        return next((each for each in self.transfers if each.name == name), None)

    def tell(self, status: TransferStatus) -> dict[str, Any]:
        """Return the shape of one transfer that ``transfer list --json`` documents."""
        next_at = self.next_firings.get(status.name) if self.running else None
        return {**status.as_json(), "next_at": next_at}


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """The revision that the member confirmed, as its copy in ``active`` has it; no secret is decrypted."""

    revision: Revision
    generation: Generation
    parts: Parts

    def transfer(self, name: TransferName) -> Transfer:
        """Return a transfer that runs on this member.

        Raises:
            ConfigError: none of that name does.
        """
        found = self.generation.transfers.get(name)
        if found is not None:
            return found
        known = ", ".join(sorted(self.generation.transfers)) or "none"
        where = f"on {self.generation.member.name} under revision {self.revision[:12]}"
        if name in self.generation.disabled:
            raise ConfigError(f"the transfer {name} is disabled: it does not run {where}")
        if name in self.generation.declared:
            raise ConfigError(
                f"the transfer {name} does not run {where}: its active_on names other members; here run: {known}"
            )
        raise ConfigError(f"there is no transfer {name} {where}; here run: {known}")


def read_here(folder: StateFolder) -> Here:
    """Return what the member in ``folder`` says of itself; raises ConfigError where there is none."""
    bootstrap = folder.read_bootstrap()
    left: Any
    try:
        left = json.loads(folder.status.read_bytes())
        member = parse_member_status(left["member"])
    except (OSError, ValueError, KeyError, TypeError):
        left, member = {}, None
    firings = left.get("next_firings")
    return Here(
        bootstrap=bootstrap,
        running=is_running(folder.root),
        member=member,
        next_firings={str(name): str(at) for name, at in firings.items()}
        if isinstance(firings, dict)
        else {},
        members=_read_members(left.get("members")),
    )


def _read_members(value: Any) -> dict[MemberName, Standing]:
    """Return who lives; nobody where a version before this one has left the status."""
    told: dict[str, Any] = value if isinstance(value, dict) else {}
    return {
        MemberName(name): Standing(
            draining=each.get("draining") is True,
            aside=frozenset(TransferName(str(key)) for key in each.get("aside", ())),
        )
        for name, each in told.items()
        if isinstance(each, dict)
    }


def read_active(folder: StateFolder) -> Active:
    """Return what the member in ``folder`` has confirmed.

    Raises:
        ConfigError: it has confirmed nothing yet, or that does not fit what is installed here.
        TransientError: its copy is just being written, or was edited; the member puts it right within a minute.
    """
    bootstrap = folder.read_bootstrap()
    revision = read_record(folder.record).lkg
    if revision is None:
        raise ConfigError(
            f"{bootstrap.name} has confirmed no revision yet: start it (`mftgit run {folder.root}`), and see what "
            "`mftgit status` says"
        )
    try:
        tree = read_copy(folder.root, revision)
    except CopyError as error:
        raise TransientError(
            f"{error}: the running member puts it right within a minute; try again then"
        ) from error
    with Patience("reading the confirmed revision", clock=SystemClock()):
        validation = make_validator().validate(tree)
        generation = render(validation, bootstrap.name, bootstrap.role)
    return Active(revision=revision, generation=generation, parts=validation.parts)


def not_running(here: Here) -> str | None:
    """Return what is to be said where the member does not run."""
    if here.running:
        return None
    said = "this is what it said last" if here.member is not None else "it has never run"
    return f"member {printable(here.bootstrap.name)} does not run: {said}"
