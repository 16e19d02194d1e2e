"""Look at a forge's branch: its tip, and what is new of it in a quarantine."""

import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dulwich.objects import ObjectID

from mftgit.adapters.git.fetch import Request, download
from mftgit.adapters.git.pack import PackError
from mftgit.adapters.git.quarantine import Quarantine
from mftgit.adapters.git.ssh import SshServer
from mftgit.adapters.git.store import GitStore
from mftgit.model.names import MAIN, Revision
from mftgit.model.revisions.limits import Limits
from mftgit.model.revisions.mirror import Mirror

_TIMEOUT_S = 300.0
_SILENT_S = 30.0
_REFS_BYTES = 32 << 20
"""What a server may say of its refs, besides the pack: some hundred thousand of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """The ``tip``, and in ``quarantine`` what is new of it; ``wrong`` says why that was not taken in."""

    tip: Revision
    quarantine: Quarantine
    wrong: PackError | None


@contextmanager
def look_at(
    store: GitStore,
    mirror: Mirror,
    *,
    limits: Limits,
    token: str | None = None,
    key: Path | None = None,
    unwanted: Revision | None = None,
) -> Iterator[Looked]:
    """Ask for the branch of ``mirror``; what is new lies in a quarantine of ``store`` for the time of the block.

    Of the tip that is ``unwanted`` nothing is sent. The token goes into a header, and the ``key`` is a file for ssh.

    Raises:
        RemoteUnreachableError, RemoteUntrustedError, RemoteRefusedError, RemoteBrokenError: see `GitStore.fetch`.
    """
    with (
        _authority(mirror) as ca_file,
        store.repo() as repo,
        store.quarantine() as quarantine,
    ):
        main = store.head(MAIN)
        request = Request(
            url=mirror.url,
            ca_file=ca_file,
            headers=lambda _method, _path: _headers(token),
            ref=mirror.ref,
            max_bytes=limits.max_pack_bytes + _REFS_BYTES,
            timeout_s=_TIMEOUT_S,
            silent_s=_SILENT_S,
            unwanted=None if unwanted is None else ObjectID(unwanted.encode()),
            ssh=None
            if key is None or mirror.host_key is None
            else SshServer(url=mirror.url, key=key, host_key=mirror.host_key),
        )
        known = [] if main is None else [ObjectID(main.encode())]
        wrong = None
        with download(request, repo.object_store, known) as found:
            tip = Revision(found.tip.decode("ascii", "replace"))
            if found.pack is not None:
                try:
                    quarantine.take(found.pack, limits)
                except PackError as error:
                    wrong = error
        yield Looked(tip=tip, quarantine=quarantine, wrong=wrong)


def _headers(token: str | None) -> Mapping[str, str]:
    """Return how git shows a token: GitHub, GitLab, Gitea and Forgejo take any name with it."""
    if token is None:
        return {}
    return {"Authorization": f"Basic {b64encode(f'x-access-token:{token}'.encode()).decode()}"}


def without_token(text: str, token: str | None) -> str:
    """Return ``text`` of a server, which may have said back what it was shown, without that."""
    shown = (each.rpartition(" ")[2] for each in _headers(token).values())
    for each in (token, *shown) if token else ():
        text = text.replace(each, "…")
    return text


@contextmanager
def _authority(mirror: Mirror) -> Iterator[Path | None]:
    if mirror.ca is None:
        yield None
        return
    with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".pem") as file:
        file.write(mirror.ca)
        file.flush()
        yield Path(file.name)
