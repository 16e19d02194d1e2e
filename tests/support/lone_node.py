"""The outbound side of a node that no controller answers: a test gives it what it is to run."""

from pathlib import Path
from typing import Any

from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.member.outbound.service import Outbound
from mftgit.model.configuration.config import Role
from mftgit.model.names import MemberName


def lone_node(root: Path, name: str, record: Any, **rest: Any) -> Outbound:
    """Return the outbound side of the node ``name``, whose state and files lie below ``root``; nothing runs yet."""
    parts: dict[str, Any] = {"is_ancestor": lambda _one, _other: True, **rest}
    return Outbound(
        folder=StateFolder(root / name),
        bootstrap=Bootstrap(
            name=MemberName(name),
            role=Role.NODE,
            cluster_id="c",
            controller_url="https://127.0.0.1:1",
            files_root=str(root),
        ),
        record=record,
        **parts,
    )
