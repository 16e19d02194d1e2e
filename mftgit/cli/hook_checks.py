"""What each git hook asks: the gate's own rules, about what git hands down."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import BinaryIO

import click

from mftgit.adapters.git.local_repository import LocalRepository
from mftgit.adapters.git.objects import StoreError
from mftgit.cli.rules import make_validator
from mftgit.cli.validate import tell_problems
from mftgit.controller.gate.receive import Receive
from mftgit.errors import ConfigError
from mftgit.model.access import OperatorRole
from mftgit.model.documents.places import CLUSTER_FILE
from mftgit.model.events.event import EventName, Fact
from mftgit.model.names import CHANGES, MAIN, Revision, parse_revision
from mftgit.model.printable import printable
from mftgit.model.revisions.limits import Limits, read_limits
from mftgit.model.revisions.push import Push, RefUpdate, Verdict

Check = Callable[[LocalRepository, tuple[str, ...], BinaryIO], bool]
"""Told the repository, the hook's arguments and what git writes to it; returns whether git may go on."""

_MAX_LINES = 1_000  # of refs in one push, as at the controller's door
_MAX_LINE_BYTES = 10_000
_ZERO = "0" * 40


def pre_commit(repository: LocalRepository, _words: tuple[str, ...], _lines: BinaryIO) -> bool:
    """Validate what would be committed: the index, whatever lies in the work tree."""
    problems = make_validator().validate(repository.index_tree()).problems
    if not problems:
        return True
    tell_problems("what would be committed", problems, err=True)
    click.echo(
        "mend it, git add it and commit again; git commit --no-verify keeps unfinished work on your machine",
        err=True,
    )
    return False


def pre_push(repository: LocalRepository, words: tuple[str, ...], lines: BinaryIO) -> bool:
    """Judge every ref that would become main or a proposal; which proposals there are is for the server to know."""
    updates = [
        _update(ref, old, new)
        for _local, new, ref, old in _fields(lines, 4)
        if ref == MAIN or ref.startswith(CHANGES)
    ]
    # The other side is asked by git itself, so what it said is where the refs stand.
    mains = [update.old for update in updates if update.ref == MAIN]
    published = mains[0] if mains else repository.head(f"refs/remotes/{words[0]}/main")
    return _judge(
        replace(
            _push(repository, update, current=update.old, published=published), changes=frozenset()
        )
        for update in updates
    )


def judge_next(repository: LocalRepository, published: Revision, new: Revision) -> Verdict:
    """Return what the gate would say of a push that takes main from ``published`` to ``new``."""
    update = RefUpdate(ref=MAIN, old=published, new=new)
    push = _push(repository, update, current=published, published=published)
    return _decide(Receive(make_validator(), _record_nothing, _publish_nothing), push)


def pre_receive(repository: LocalRepository, _words: tuple[str, ...], lines: BinaryIO) -> bool:
    """Judge every ref of a push whose objects are still in git's quarantine."""
    updates = [_update(ref, old, new) for old, new, ref in _fields(lines, 3)]
    return _judge([_received(repository, update) for update in updates])


def update(repository: LocalRepository, words: tuple[str, ...], _lines: BinaryIO) -> bool:
    """Judge one ref just before it moves."""
    if len(words) != 3:  # noqa: PLR2004  as githooks(5) has it
        raise ConfigError(f"expected REF OLD NEW, as git calls the hook update; found {words}")
    ref, old, new = words
    return _judge([_received(repository, _update(ref, old, new))])


CHECKS: Mapping[str, Check] = {
    "pre-commit": pre_commit,
    "pre-push": pre_push,
    "pre-receive": pre_receive,
    "update": update,
}
"""Every hook by the name that git has for it."""


def _judge(pushes: Iterable[Push]) -> bool:
    """Let the gate decide, tell everything that it has against ``pushes``, and return whether that is nothing."""
    gate = Receive(make_validator(), _record_nothing, _publish_nothing)
    accepted = True
    for push in pushes:
        verdict = _decide(gate, push)
        if verdict.reason is not None:
            accepted = False
            for text in (*verdict.explanation, f"{push.update.ref} refused: {verdict.reason}"):
                click.echo(printable(text, keep="\n"), err=True)
    return accepted


def _decide(gate: Receive, push: Push) -> Verdict:
    try:
        return gate.decide(push)
    except StoreError as error:  # the tree is too large or broken
        return Verdict(reason="cannot be read", explanation=(str(error),))


def _record_nothing(
    _name: EventName, _revision: Revision | None, _facts: Mapping[str, Fact]
) -> None:
    """Write no event: these repositories have no event log."""


def _publish_nothing(_push: Push, _revision: Revision) -> None:
    """Leave it to git to move the ref."""


def _received(repository: LocalRepository, update: RefUpdate) -> Push:
    main = repository.head(MAIN)
    return _push(repository, update, current=repository.head(update.ref), published=main)


def _push(
    repository: LocalRepository,
    update: RefUpdate,
    *,
    current: Revision | None,
    published: Revision | None,
) -> Push:
    """Find out what the gate needs to know; that no object is missing was seen to by git before it called.

    Who may push at all is for the server to say that git serves the repository by: here everybody may what it lets in.
    """
    new = update.new
    root = repository.trust_root() if update.ref == MAIN and update.old is None else None
    base = update.old or root
    is_commit = new is not None and repository.is_commit(new)
    limits = _limits_of(repository, published)
    return Push(
        who="git",
        role=OperatorRole.PUBLISH,
        update=update,
        current=current,
        changes=repository.names(CHANGES),
        root=root,
        limits=limits,
        fault=None,
        is_commit=is_commit,
        is_fast_forward=new is not None
        and is_commit
        and (base is None or repository.is_ancestor(base, new)),
        tree=lambda: {} if new is None else repository.tree(new, limits),
        published=lambda: {} if base is None else repository.tree(base),
        before=lambda: () if base is None else repository.tree(base),
        commits=lambda: iter(()) if base is None or new is None else repository.commits(base, new),
    )


def _limits_of(repository: LocalRepository, published: Revision | None) -> Limits:
    """Return what the published revision sets, as far as it is here; the hook has nothing older to go by."""
    content = published and repository.file(published, CLUSTER_FILE)
    return (read_limits(content) if content else None) or Limits()


def _fields(lines: BinaryIO, count: int) -> Iterator[list[str]]:
    """Give the fields of each line that git writes to a hook."""
    read = iter(lambda: lines.readline(_MAX_LINE_BYTES), b"")
    for number, line in enumerate(islice(read, _MAX_LINES + 1)):
        fields = line.decode("utf-8", "surrogateescape").rstrip("\n").split(" ")
        if number == _MAX_LINES or len(fields) != count:
            raise ConfigError(
                f"line {number + 1} of what git says: expected at most {_MAX_LINES} lines of {count} words, "
                f"as in githooks(5); found {line[:200]!r}"
            )
        yield fields


def _update(ref: str, old: str, new: str) -> RefUpdate:
    return RefUpdate(ref=ref, old=_revision(old), new=_revision(new))


def _revision(text: str) -> Revision | None:
    try:
        return None if text == _ZERO else parse_revision(text)
    except ValueError as error:
        raise ConfigError(f"{error}; repositories with SHA-256 names are not supported") from error
