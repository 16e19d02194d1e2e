"""A controller that was replaced serves nobody; a restored one publishes nothing over what members have.

Where two were made anew at once neither knows better, and neither publishes anything any more.
"""

from collections.abc import Callable, Collection, Mapping

from loguru import logger

from mftgit.adapters.git.store import GitStore
from mftgit.adapters.registry.members import MemberRecord
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls import pki
from mftgit.model.events.event import EventName, Fact
from mftgit.model.members.incarnation import Shown, disputes, read_header, replaces
from mftgit.model.names import MAIN, MemberName, Revision
from mftgit.model.revisions.push import Push, Verdict


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
        self.disputed_by: MemberName | None = None

    def is_news(self, header: str | None) -> bool:
        """Tell whether what a member shows is worth a look; must not wait."""
        return header is not None and self.replaced_by is None

    def hear(self, header: str | None, member: MemberName) -> None:
        """Look at what a member shows: only the authority's word counts, not the member's."""
        if header is None or self.replaced_by is not None:
            return
        head, shown = self._registry.head(), read_header(header)
        own = Shown(incarnation=head.incarnation, warrant=head.warrant) if head else Shown()
        found = replaces(
            shown,
            own=own.incarnation,
            cluster_id=self._cluster_id,
            is_signed=self._is_signed,
        )
        if found is None:
            if shown is not None and self.disputed_by is None:
                self._doubt(shown, own, member)
            return
        self._registry.replaced(found)
        self.replaced_by = found
        self._record(EventName.CONTROLLER_REPLACED, {"incarnation": found, "told_by": member})
        logger.critical(
            "another controller has taken the place of this one, which serves nobody any more"
        )

    def _doubt(self, shown: Shown, own: Shown, member: MemberName) -> None:
        """Tell, once in the life of the process, that a member follows another controller of this one's number."""
        seal = pki.AuthoritySeal(pem=self._authorities())
        if not disputes(shown, own, cluster_id=self._cluster_id, seal=seal):
            return
        self.disputed_by = member
        facts: dict[str, Fact] = {"incarnation": own.incarnation, "told_by": member}
        self._record(EventName.CONTROLLER_DISPUTED, facts)
        logger.critical(
            "another controller was made anew beside this one; nothing is published here any more",
            told_by=member,
        )

    def refusal(self) -> Verdict | None:
        """Return why nothing is taken in; None while this is the controller."""
        if self.disputed_by is not None:
            return Verdict(
                reason="there is another controller",
                explanation=(
                    f"{self.disputed_by} follows one that was made anew as this one was, at the same time or before",
                    "switch both off, and make one more from the member that is ahead: all of them follow that",
                    "mftgit controller restore DIR --from-member NODE_DIR (docs/how-to/recover.md)",
                ),
            )
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
        return pki.is_signed_by(self._authorities(), word, signature)

    def _authorities(self) -> bytes:
        files = (self._folder.ca_key, self._folder.ca_file)
        pem = b"".join(path.read_bytes() for path in files if path.exists())
        return pki.certificates_of(pem)


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
