"""Proposals that are made in the controller itself: by the web, for who has no clone at hand.

A proposal is a commit of the operator's by the controller's hand, put into a quarantine and judged by the gate as if it
had been pushed to ``change/NAME``. Main is never touched. The commit is not signed: whose key would it be?
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from mftgit.adapters.git.admission import Admission, Door, Pusher
from mftgit.adapters.git.edit import Edit, EditError, Files, add_edit
from mftgit.adapters.git.pack import PackError
from mftgit.adapters.git.past import read_past
from mftgit.controller.committer import cluster_of, committer
from mftgit.errors import ConfigError, MftgitError, TransientError
from mftgit.model.access import Principal
from mftgit.model.documents.places import CLUSTER_FILE
from mftgit.model.names import CHANGES, MAIN, MemberName, Revision
from mftgit.model.printable import printable
from mftgit.model.revisions.proposal import free_name, no_name, read_message, revert_message, taken
from mftgit.model.revisions.push import RefUpdate, Verdict, damaged, is_change, unreadable
from mftgit.model.revisions.three_way import merge_trees
from mftgit.model.rules.tree import Entry, Tree
from mftgit.model.trust.policy_version import check_policy_step, set_version
from mftgit.model.trust.trust import POLICY_FILES, read_policy

_MAX_TOLD = 20


class ProposalRefusedError(MftgitError):
    """The proposal was not made; ``verdict`` says why, as git would tell who pushes."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__("\n".join((verdict.reason or "", *verdict.explanation)))
        self.verdict = verdict


class ConflictError(ConfigError):
    """Both sides changed the same lines of ``paths``; nothing was made."""

    def __init__(self, message: str, paths: Sequence[str]) -> None:
        super().__init__(message)
        self.paths = tuple(paths)


class Proposals:
    """Makes proposals; any thread may call."""

    def __init__(self, door: Door, *, controller: MemberName, now: Callable[[], datetime]) -> None:
        """Bring commits in by ``door``, which is that of pushes too."""
        self._door = door
        self._store = door.store
        self._controller = controller
        self._now = now

    def propose(
        self, name: str, base: Revision, files: Files, message: str, who: Principal
    ) -> Revision:
        """Make the proposal ``name`` of ``files`` on top of ``base``, or let it grow where it stands at ``base``.

        Raises:
            ProposalRefusedError: the gate does not take it, or there is another one of that name.
            ConfigError: message, base or paths are none, or nothing would change.
        """
        old = self._look_at(name, base)
        return self._commit(name, old, [base], files, message, who)

    def revert(
        self, revision: Revision, who: Principal, *, name: str | None = None
    ) -> tuple[str, Revision]:
        """Propose to take ``revision`` of main back, with all that it brought to its first parent; return its name too.

        Where signatures are required and who may sign changes, ``trust.version`` rises all the same.

        Raises:
            ConflictError: what it changed was changed again since.
            ProposalRefusedError: the gate does not take it.
            ConfigError: it is not of main, the first of all, or taken back already.
        """
        tip = self._main()
        if not self._has(revision, tip):
            raise ConfigError(
                f"main has no revision {revision}: only what is published is taken back"
            )
        past = read_past(self._store, revision)
        if not past.parents:
            raise ConfigError(f"{revision[:12]} is the first revision: nothing is before it")
        ours = self._store.tree(tip)
        merged = merge_trees(self._store.tree(revision), ours, self._store.tree(past.parents[0]))
        if merged.conflicts:
            raise ConflictError(
                f"{revision[:12]} cannot be taken back by itself: what it changed was changed again since, in "
                f"{_told(merged.conflicts)}; take the later revisions back first, or mend it by hand in a clone: "
                f"mftgit revert {revision[:12]}",
                merged.conflicts,
            )
        if not merged.files:
            raise ConfigError(f"{revision[:12]} is taken back already: nothing would change")
        files = self._number_policy(tip, ours, merged.files)
        others = {ref.removeprefix(CHANGES) for ref in self._store.names(CHANGES)}
        name = name or free_name(f"revert-{revision[:12]}", others)
        return name, self.propose(name, tip, files, revert_message(past.subject, revision), who)

    def bring_up(self, name: str, who: Principal, *, tip: Revision | None = None) -> Revision:
        """Let the proposal ``name`` grow by a merge of what was published since it began.

        With ``tip``, only where it stands there.

        Raises:
            ConflictError: both changed the same lines.
            ProposalRefusedError: the gate does not take it.
            ConfigError: there is no such proposal, or it has everything.
        """
        main, tip = self._main(), tip or self.tip(name)
        if self._has(main, tip):
            raise ConfigError(f"change/{name} has everything that is published")
        before = self._store.tree(self.fork(tip))
        merged = merge_trees(before, self._store.tree(tip), self._store.tree(main))
        if merged.conflicts:
            raise ConflictError(
                f"main and change/{name} changed the same lines, in {_told(merged.conflicts)}; mend it in a clone: "
                f"git fetch origin && git switch --detach origin/change/{name} && git merge origin/main, edit, "
                f"git commit --all, git push origin HEAD:refs/heads/change/{name}",
                merged.conflicts,
            )
        return self._commit(
            name, tip, [tip, main], merged.files, f"Merge main into change/{name}", who
        )

    def tip(self, name: str) -> Revision:
        """Return where the proposal ``name`` stands.

        Raises:
            ConfigError: there is none.
        """
        ref = f"{CHANGES}{name}"
        tip = self._store.head(ref) if is_change(ref) else None
        if tip is None:
            raise ConfigError(f"there is no proposal {printable(name)[:120]}")
        return tip

    def fork(self, tip: Revision) -> Revision:
        """Return the newest revision of main that ``tip`` has behind it.

        Raises:
            ConfigError: main is not behind it at all.
        """
        main = self._main()
        if self._has(tip, main):
            return tip
        own = self._store.history(main, tip)
        ends = {each for parents in own.values() for each in parents} - own.keys()
        shared = [each for each in sorted(ends) if self._has(each, main)]
        for each in shared:
            if all(self._has(other, each) for other in shared):
                return each
        raise ConfigError(f"{tip[:12]} grew from no single revision of main")

    def _main(self) -> Revision:
        tip = self._store.head(MAIN)
        if tip is None:
            raise ConfigError("nothing is published yet: push a first revision to main")
        return tip

    def _has(self, revision: Revision, tip: Revision) -> bool:
        return self._store.is_ancestor(revision, tip)

    def _look_at(self, name: str, base: Revision) -> Revision | None:
        """See that a proposal of this name can begin with ``base``, or stands there; return where it stands."""
        ref = f"{CHANGES}{name}"
        if not is_change(ref):
            raise ProposalRefusedError(no_name(name))
        current = self._store.head(ref)
        if current is None and not self._has(base, self._main()):
            raise ConfigError(f"{base} is no revision of main: begin with one that is published")
        if current is not None and current != base:
            raise ProposalRefusedError(taken(name, current, base))
        return current

    def _commit(
        self,
        name: str,
        old: Revision | None,
        parents: Sequence[Revision],
        files: Files,
        message: str,
        who: Principal,
    ) -> Revision:
        """Bring the commit in, or tell why not.

        Where the ref moves while this goes on, the gate tells that.
        """
        ref, limits, cluster = f"{CHANGES}{name}", self._door.limits(), self._cluster_name()
        edit = Edit(
            parents=parents,
            files=files,
            message=_message(message),
            author=f"{who.name} <{who.name}@{cluster}.invalid>",
            committer=committer(self._controller, cluster),
            now=self._now(),
        )
        admission = Admission(self._door, Pusher(who=who.name, role=who.role), limits=limits)
        try:
            with self._store.quarantine() as quarantine:
                new = add_edit(self._store, quarantine, edit, limits)
                (verdict,) = admission.admit(quarantine, [RefUpdate(ref=ref, old=old, new=new)])
        except PackError as error:
            raise ProposalRefusedError(unreadable(str(error))) from error
        except (EditError, TransientError, OSError):
            raise
        except Exception as error:
            if self._door.damage() is None:
                raise
            raise ProposalRefusedError(damaged()) from error
        if not verdict.accepted:
            raise ProposalRefusedError(verdict)
        return new

    def _cluster_name(self) -> str:
        return cluster_of(self._store, self._main())

    def _number_policy(self, tip: Revision, ours: Tree, files: Files) -> Files:
        """Give the policy that comes back a number of its own, as long as it can be told where."""
        if not files.keys() & set(POLICY_FILES):
            return files
        before = read_policy(self._store.pick(tip, POLICY_FILES))
        after = read_policy(_changed(ours, files))
        cluster = files[CLUSTER_FILE] if CLUSTER_FILE in files else ours[CLUSTER_FILE].load()
        if cluster is None or check_policy_step(before, after) is None:
            return files
        try:
            return {**files, CLUSTER_FILE: set_version(cluster, before.version + 1).encode()}
        except ValueError as error:
            raise ConfigError(
                f"who may sign would change, and trust.version cannot be raised by itself: {error}"
            ) from error


def _message(text: str) -> str:
    try:
        return read_message(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _changed(ours: Tree, files: Files) -> Tree:
    """Return what a policy is read from, with ``files`` in force."""
    tree = {path: entry for path, entry in ours.items() if path in POLICY_FILES}
    for path in set(POLICY_FILES) & files.keys():
        content = files[path]
        tree.pop(path, None)
        if content is not None:
            load = partial(bytes, content)
            tree[path] = Entry(mode=0o100644, oid="", size_bytes=len(content), load=load)
    return tree


def _told(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _MAX_TOLD:,} more" if len(paths) > _MAX_TOLD else ""
    return ", ".join(map(printable, paths[:_MAX_TOLD])) + more
