"""Send commits to whoever clones or fetches: git's upload-pack on dulwich, with what dulwich 1.2.21 lacks.

Against the stock handler: the advertisement does not walk the history; what is missing comes out of a memory
(git_brought), and packs are copied rather than deflated anew (git_send); a tip that was advertised a moment ago is
still served after the branch moved; a plain fetch in a shallow clone works.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from dulwich.objects import ObjectID
from dulwich.protocol import (
    CAPABILITY_FILTER,
    CAPABILITY_NO_DONE,
    CAPABILITY_OFS_DELTA,
    COMMAND_DEEPEN,
    COMMAND_SHALLOW,
    Protocol,
)
from dulwich.refs import Ref
from dulwich.repo import Repo
from dulwich.server import Backend, BackendRepo, UploadPackHandler, _ProtocolGraphWalker

from mftgit.adapters.git.brought import History
from mftgit.adapters.git.refs import Refs
from mftgit.adapters.git.send import write_pack
from mftgit.model.names import CHANGES, MAIN

_RECENT = 64
"""How many tips back a client may be that asked before main, or a proposal, moved."""


class OneRepo(Backend):
    """dulwich's way to find a repository: there is only one."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo

    def open_repository(self, path: str) -> BackendRepo:
        """Return the one repository, whatever ``path`` is."""
        del path
        return self._repo


class UploadPack(UploadPackHandler):
    """One request for the advertisement, or one for a pack."""

    def __init__(
        self, repo: Repo, proto: Protocol, *, refs: Refs, history: History, advertise: bool
    ) -> None:
        """Answer as ``refs`` say, wherever they have moved meanwhile."""
        super().__init__(OneRepo(repo), ["/"], proto, stateless_rpc=True, advertise_refs=advertise)
        self._refs = refs
        self._history = history

    def capabilities(self) -> list[bytes]:
        """Return what is offered; without partial clones, which dulwich offers and then fails."""
        return [name for name in super().capabilities() if name != CAPABILITY_FILTER]

    def set_client_capabilities(self, caps: Iterable[bytes]) -> None:
        """Take what the client can do; git asks for a filter even where none is offered."""
        super().set_client_capabilities(
            [name for name in caps if name.partition(b"=")[0] != CAPABILITY_FILTER]
        )

    def handle(self) -> None:
        """Answer the request."""
        walker = _Walker(
            self, self.repo.object_store, self.repo.get_peeled, lambda: dict(self._refs.symbolic)
        )
        if self.advertise_refs:
            walker.determine_wants(self._refs.public)
            return
        wants = walker.determine_wants(self._with_recent(self._refs.public))
        if wants:
            self._send(walker, wants)

    def _send(self, walker: "_Walker", wants: Sequence[ObjectID]) -> None:
        self._processing_have_lines = True
        store = self.repo.object_store
        haves = store.find_common_revisions(walker)  # answers ACK and NAK on the way
        if walker.deepened:
            haves = []  # what the client has does not say what it lacks
        if not walker.handle_done(not self.has_capability(CAPABILITY_NO_DONE), self._done_received):
            return
        missing = self._history.missing(store, wants=wants, haves=haves, shallow=walker.shallow)
        self._start_pack_send_phase()
        write_pack(
            self.write_pack_data,
            store,
            missing,
            ofs_delta=self.has_capability(CAPABILITY_OFS_DELTA),
        )
        self.proto.write_pkt_line(None)

    def _with_recent(self, refs: Mapping[Ref, ObjectID]) -> dict[Ref, ObjectID]:
        """Return ``refs`` and, under made-up names, where main and proposals were before: their last first parents."""
        proposals = (name for name in refs if name.startswith(CHANGES.encode()))
        seen: dict[ObjectID, None] = {}
        for name in (each for each in (Ref(MAIN.encode()), *proposals) if each in refs):
            seen |= dict.fromkeys(list(islice(self._first_parents(refs[name], seen), _RECENT)))
        return {**refs, **{Ref(b"recent/%d" % i): oid for i, oid in enumerate(seen)}}

    def _first_parents(
        self, tip: ObjectID | None, without: Container[ObjectID]
    ) -> Iterator[ObjectID]:
        while tip is not None and tip not in without:
            yield tip
            tip = next(iter(self._history.parents(self.repo.object_store, tip)), None)


class _Walker(_ProtocolGraphWalker):
    """The conversation about wants and haves."""

    deepened = False

    def _handle_shallow_request(self, wants: Sequence[ObjectID]) -> None:
        """Take the ``shallow`` lines, and go on without ``deepen``, as a plain fetch in a shallow clone does.

        The stock method takes the end of such a request for an error.
        """
        while True:
            command, value = self.read_proto_line((COMMAND_DEEPEN, COMMAND_SHALLOW, None))
            if command is None:
                self.shallow.update(self.client_shallow)
                return
            if command == COMMAND_DEEPEN and isinstance(value, int):
                self.unread_proto_line(command, value)
                self.deepened = True
                super()._handle_shallow_request(wants)
                return
            if isinstance(value, bytes):
                self.client_shallow.add(ObjectID(value))
