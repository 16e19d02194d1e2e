"""A controller that was replaced serves nobody; a restored one publishes nothing over what members have."""

from collections.abc import Callable, Collection, Mapping

from loguru import logger

from mftgit.adapters import pki
from mftgit.adapters.git_store import GitStore
from mftgit.adapters.registry import MemberRecord, Registry
from mftgit.adapters.state_folder import StateFolder
from mftgit.model.events import EventName, Fact
from mftgit.model.incarnation import read_header, replaces
from mftgit.model.names import MAIN, MemberName, Revision
from mftgit.model.push import Push, Verdict


class Fence:
    """Learns from members that another controller has taken this one's place; from then on it is closed for good."""

    def __init__(
        self,
        folder: StateFolder,
        registry: Registry,
        *,
        cluster_id: str,
        record: Callable[[EventName, Mapping[str, Fact]], None],
    ) -> None:
        """Read what was learnt before."""
        self._folder = folder
        self._registry = registry
        self._cluster_id = cluster_id
        self._record = record
        self.replaced_by = registry.replaced_by()

    def is_news(self, header: str | None) -> bool:
        """Tell whether what a member shows is worth a look; must not wait."""
        return header is not None and self.replaced_by is None

    def hear(self, header: str | None, member: MemberName) -> None:
        """Look at what a member shows: only the authority's word counts, not the member's."""
        if header is None or self.replaced_by is not None:
            return
        head = self._registry.head()
        found = replaces(
            read_header(header),
            own=head.incarnation if head else 0,
            cluster_id=self._cluster_id,
            is_signed=self._is_signed,
        )
        if found is None:
            return
        self._registry.replaced(found)
        self.replaced_by = found
        self._record(EventName.CONTROLLER_REPLACED, {"incarnation": found, "told_by": member})
        logger.critical(
            "another controller has taken the place of this one, which serves nobody any more"
        )

    def refusal(self) -> Verdict | None:
        """Return why nothing is taken in; None while this is the controller."""
        if self.replaced_by is None:
            return None
        return Verdict(
            reason="this controller was replaced",
            explanation=(
                f"the controller was made anew from a member (incarnation {self.replaced_by}); members follow that one",
                "push there; what was published here after that is nowhere else: keep it in a clone",
                "switch this one off",
            ),
        )

    def _is_signed(self, word: bytes, signature: str) -> bool:
        pem = b"".join(
            path.read_bytes()
            for path in (self._folder.ca_key, self._folder.ca_file)
            if path.exists()
        )
        return pki.is_signed_by(pki.certificates_of(pem), word, signature)


class Settling:
    """Keeps main where it is until every member has told a restored controller what it runs."""

    def __init__(self, registry: Registry, store: GitStore) -> None:
        self._registry = registry
        self._store = store

    def refusal(self, push: Push) -> Verdict | None:
        """Return why ``push`` cannot be published yet; None where it can."""
        if push.update.ref != MAIN or push.update.new is None or not self._registry.settles():
            return None
        members = [each for each in self._registry.members() if each.public_key is not None]
        brought = {revision for revision, _ in push.commits()} if push.is_fast_forward else set()
        ahead = self._ahead(members, brought)
        if ahead:
            return _is_behind(ahead)
        unheard = [each.name for each in members if each.status is None]
        if unheard:
            return _not_heard(unheard)
        if not self._ahead(members, ()):
            self._registry.settle()
        return None

    def _ahead(
        self, members: Collection[MemberRecord], brought: Collection[Revision]
    ) -> Mapping[MemberName, Revision]:
        """Return which members run what neither this repository nor the push has."""
        main = self._store.head(MAIN)
        return {
            each.name: each.status.active_revision
            for each in members
            if each.status is not None
            and each.status.active_revision is not None
            and each.status.active_revision not in brought
            and not self._has(each.status.active_revision, main)
        }

    def _has(self, revision: Revision, main: Revision | None) -> bool:
        return main is not None and self._store.is_ancestor(revision, main)


def _is_behind(ahead: Mapping[MemberName, Revision]) -> Verdict:
    told = ", ".join(f"{name} runs {revision[:12]}" for name, revision in sorted(ahead.items())[:5])
    newest = next(iter(ahead.values()))
    return Verdict(
        reason="not settled yet: members have a newer revision",
        explanation=(
            f"this controller was made anew from a member, and others are ahead of it: {told}",
            f"publish what they run first, from a clone that has it: git push origin {newest[:12]}:main",
            "where no clone has it: reanchor or remove these members, then mftgit controller settle",
        ),
    )


def _not_heard(names: Collection[MemberName]) -> Verdict:
    return Verdict(
        reason="not settled yet: members were not heard of",
        explanation=(
            f"this controller was made anew from a member; {', '.join(sorted(names)[:10])} may have a newer revision",
            "wait for them; or, where they are gone or known to have none, on the controller: mftgit controller settle",
        ),
    )
