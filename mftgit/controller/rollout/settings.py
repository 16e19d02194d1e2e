"""What the revision that was rolled out before says of roll-outs: cohorts, change windows and labels of members."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mftgit.adapters.clock import Clock, find_zone
from mftgit.adapters.git.store import GitStore
from mftgit.errors import MftgitError
from mftgit.model.documents.places import CLUSTER_FILE
from mftgit.model.names import MemberName, Revision
from mftgit.model.rollout.cohorts import Rollout
from mftgit.model.rollout.windows import Closed, Windows, window_opens
from mftgit.model.rules.parts import declared_cluster, declared_members
from mftgit.model.rules.validate import Validator

_SEARCH_EVERY_S = 60.0  # for when windows open that do not within a year


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a revision says of roll-outs; ``unreadable`` tells why that is not known, so that nobody begins."""

    revision: Revision
    rollout: Rollout | None = field(default_factory=Rollout)
    unreadable: str | None = None
    windows: Windows = field(default_factory=Windows)
    labels: Mapping[MemberName, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """When the windows of ``revision`` open, as it was found before ``until_s``."""

    revision: Revision
    until_s: float
    closed: Closed


class ReadSettings:
    """Reads the settings of revisions out of ``store``, and remembers the last ones; for one thread at a time."""

    def __init__(self, store: GitStore, validator: Validator, *, clock: Clock) -> None:
        self._store = store
        self._validator = validator
        self._clock = clock
        self._found: Settings | None = None
        self._known: _Known | None = None

    def why_closed(self, settings: Settings) -> str | None:
        """Return why nobody begins by ``settings``; it is asked every second, and searched for seldom."""
        if settings.unreadable is not None:
            return settings.unreadable
        now_s, known = self._clock.boottime(), self._known
        if known is not None and (
            known.revision != settings.revision
            or (known.closed.opens_at is None and now_s >= known.until_s)
        ):
            known = None
        before = None if known is None else known.closed
        closed = window_opens(settings.windows, self._clock.now(), find_zone, known=before)
        if closed is not None and closed != before:
            until_s = now_s + _SEARCH_EVERY_S
            self._known = _Known(revision=settings.revision, until_s=until_s, closed=closed)
        return None if closed is None else str(closed)

    def of(self, revision: Revision) -> Settings:
        """Return what ``revision`` says."""
        if self._found is None or self._found.revision != revision:
            found = self._read(revision)
            if found.unreadable is not None:
                return found
            self._found = found
        return self._found

    def _read(self, revision: Revision) -> Settings:
        try:
            tree = self._store.tree(revision)
            asked = {path: tree[path] for path in tree if _is_asked(path)}
            parts = self._validator.read(asked)
        except MftgitError as error:  # as in a repository that was put back without it
            return _unreadable(revision, str(error))
        cluster = declared_cluster(parts)
        if cluster is None:  # it passed a gate, but not that of this version
            return _unreadable(revision, f"{CLUSTER_FILE} is not valid in this version")
        return Settings(
            revision=revision,
            rollout=cluster.rollout,
            windows=cluster.windows,
            labels={name: each.labels for name, each in declared_members(parts).items()},
        )


def _is_asked(path: str) -> bool:
    return path == CLUSTER_FILE or path.startswith("members/")


def _unreadable(revision: Revision, reason: str) -> Settings:
    text = f"the settings of revision {revision[:12]}, which was rolled out before, cannot be read"
    return Settings(
        revision=revision, unreadable=f"{text}: {reason}; `mftgit rollout promote` goes on"
    )
