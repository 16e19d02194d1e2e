"""The state folder of a member that has confirmed a revision, made without a controller."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from mftgit.adapters.active_copy import ActiveCopy
from mftgit.adapters.process_lock import ProcessLock
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.cli.main import mftgit
from mftgit.member.kept import write_record
from mftgit.model.configuration.config import Role
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.members.record import Record, Stage
from mftgit.model.names import MemberName, Revision
from mftgit.model.revisions.tree_id import object_id, tree_id
from mftgit.model.rules.tree import Entry
from mftgit.model.transfers.status import TransferStatus

NODE = MemberName("node-1")


def make_folder(root: Path, *, name: MemberName = NODE) -> StateFolder:
    """Make a member that has confirmed nothing, with its files in ``files`` beside it."""
    made = StateFolder(root / name)
    made.root.mkdir()
    made.secrets.mkdir(mode=0o700)
    made.write_bootstrap(
        Bootstrap(
            name=name,
            role=Role.NODE,
            cluster_id="c",
            controller_url="https://127.0.0.1:1",
            files_root=str(root / "files"),
        )
    )
    return made


def confirm(folder: StateFolder, documents: Mapping[str, str | bytes]) -> Revision:
    """Let the member have confirmed a revision of ``documents``."""
    tree = {}
    for path, text in documents.items():
        content = text if isinstance(text, bytes) else text.encode()
        tree[path] = Entry(
            mode=0o100644,
            oid=object_id("blob", content),
            size_bytes=len(content),
            load=partial(bytes, content),
        )
    top = tree_id({path: entry.oid for path, entry in tree.items()})
    commit = f"tree {top}\nauthor a <a@b.invalid> 0 +0000\ncommitter a <a@b.invalid> 0 +0000\n\nx\n"
    revision = Revision(object_id("commit", commit.encode()))
    ActiveCopy(folder.root).put_right(tree, commit=commit.encode(), stamp="now")
    write_record(
        folder.record,
        Record(stage=Stage.CONFIRMED, active=revision, lkg=revision, anchor=revision),
    )
    return revision


def leave_status(
    folder: StateFolder,
    *transfers: TransferStatus,
    members: Mapping[str, Mapping[str, Any]] | None = None,
    **next_firings: str,
) -> None:
    """Leave what a running member does; ``members`` are those that it sees."""
    status = MemberStatus(
        name=folder.read_bootstrap().name,
        role=Role.NODE,
        state=MemberState.ACTIVE,
        active_revision=None,
        attempted_revision=None,
        reason=None,
        renewed_at="2026-11-23T08:00:03.000Z",
        transfers=transfers,
    )
    body = {
        "cluster": "c",
        "revision": None,
        "member": status.as_json(last_seen_s=0.0),
        "next_firings": next_firings,
        "members": members or {},
    }
    folder.status.write_text(json.dumps(body), encoding="utf-8")


@contextmanager
def running(folder: StateFolder) -> Iterator[None]:
    """Hold the folder as a running member does. Whoever wakes that sends SIGHUP to this process."""
    lock = ProcessLock(folder.root)
    try:
        yield
    finally:
        lock.release()


def say(folder: StateFolder, *words: str) -> Result:
    """Call a verb on the member; raises what it raises."""
    done = CliRunner().invoke(mftgit, [*words, "--dir", str(folder.root)], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done


def say_json(folder: StateFolder, *words: str) -> Any:
    """Call a verb and return the JSON that it prints."""
    return json.loads(say(folder, *words, "--json").stdout)
