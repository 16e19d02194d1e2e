"""Clients that push onto the tip as they see it, over and over: by hand over kept connections, and by stock git."""

import http.client
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from enum import Enum, unique
from pathlib import Path

from git_raw import blob, commit, oid, pack, push_body, tree
from outside import FIRST, PATIENCE_S, Outside

from mftgit.model.names import MAIN

_MEMBERS = tree(("100644", b"controller.yaml", oid(blob(FIRST["members/controller.yaml"]))))
_ADVERTISED = re.compile(rb"([0-9a-f]{40}) " + MAIN.encode())
_STALE = (f"ng {MAIN} fetch first", "(fetch first)", "(non-fast-forward)")
_BROKEN = (OSError, http.client.HTTPException)
_CUT_OFF = ("unable to access", "RPC failed", "hung up", "early EOF")  # how git says it


@unique
class Outcome(Enum):
    """What a pusher was told."""

    ACKNOWLEDGED = "acknowledged"
    STALE = "refused as stale"
    CUT = "the connection broke"
    OTHER = "anything else"


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One push: of which commit, what became of it, and between which moments."""

    oid: str
    outcome: Outcome
    told: str
    began: float
    ended: float

    @property
    def was_judged(self) -> bool:
        """Tell whether the controller decided; stock git finds by itself that it is late, if it looks late enough."""
        return self.outcome is Outcome.ACKNOWLEDGED or "remote: " in self.told


class Turns:
    """Hands out so many turns to many threads, and keeps what became of them."""

    def __init__(self, count: int) -> None:
        """Hand out ``count`` turns."""
        self._numbers = iter(range(count))
        self._lock = threading.Lock()
        self.tries: list[Try] = []

    def next(self) -> int | None:
        """Return the number of the next turn, None when all are taken."""
        with self._lock:
            return next(self._numbers, None)

    def only(self, outcome: Outcome) -> list[Try]:
        """Return the tries that came out so."""
        return [each for each in self.tries if each.outcome is outcome]


def race(
    outside: Outside,
    works: list[Path],
    *,
    pushes: int,
    by_hand: int,
    meanwhile: Callable[[Turns], None] = lambda _: None,
) -> Turns:
    """Let ``by_hand`` handmade clients, and one git in each clone of ``works``, push ``pushes`` times together."""
    turns = Turns(pushes)
    with ThreadPoolExecutor(by_hand + len(works)) as pool:
        running = [pool.submit(_by_hand, outside, turns) for _ in range(by_hand)]
        running += [pool.submit(_by_git, outside, work, turns) for work in works]
        meanwhile(turns)
        for each in running:
            each.result()
    return turns


def _by_hand(outside: Outside, turns: Turns) -> None:
    with closing(outside.client()) as client:
        while (number := turns.next()) is not None:
            tip = _tip(outside, client)
            new, body = _change(tip, f"by hand {number}\n".encode())
            began = time.monotonic()
            try:
                answer = outside.ask(
                    "POST",
                    "/config.git/git-receive-pack",
                    body=body,
                    headers={"Content-Type": "application/x-git-receive-pack-request"},
                    client=client,
                )
            except _BROKEN as error:
                client.close()
                turns.tries.append(_try(new, Outcome.CUT, repr(error), began))
                continue
            went_well = answer.status == 200 and f"ok {MAIN}" in answer.text
            told = f"remote: {answer.status} {answer.text}"
            turns.tries.append(_try(new, _outcome(told, went_well=went_well), told, began))


def _by_git(outside: Outside, work: Path, turns: Turns) -> None:
    cluster = outside.cluster
    while (number := turns.next()) is not None:
        _until(lambda: cluster.git("fetch", "--quiet", "origin", cwd=work).returncode == 0)
        cluster.git("reset", "--quiet", "--hard", "origin/main", cwd=work)
        (work / "notes.md").write_text(f"by git {number}\n", encoding="utf-8")
        cluster.git("add", "--all", cwd=work)
        cluster.git("commit", "--quiet", "--message", f"by git {number}", cwd=work)
        new = cluster.git("rev-parse", "HEAD", cwd=work).stdout.strip()
        began = time.monotonic()
        done = cluster.git("push", "origin", "HEAD:main", cwd=work)
        outcome = _outcome(done.stderr, went_well=done.returncode == 0)
        turns.tries.append(_try(new, outcome, done.stderr, began))


def _tip(outside: Outside, client: http.client.HTTPSConnection) -> str:
    path = "/config.git/info/refs?service=git-receive-pack"
    while True:
        try:
            answer = outside.ask("GET", path, client=client)
        except _BROKEN:  # it is being started again
            client.close()
            threading.Event().wait(0.05)
        else:
            found = _ADVERTISED.search(answer.body)
            assert found is not None, answer
            return found[1].decode()


def _change(tip: str, text: bytes) -> tuple[str, bytes]:
    """Return the id of a commit onto ``tip``, and the body of its push."""
    note = blob(text)
    root = tree(
        ("100644", b"cluster.yaml", oid(blob(FIRST["cluster.yaml"]))),
        ("40000", b"members", oid(_MEMBERS)),
        ("100644", b"notes.md", oid(note)),
    )
    last = commit(oid(root), tip)
    return oid(last), push_body((tip, oid(last), MAIN), content=pack(note, root, last))


def _outcome(told: str, *, went_well: bool) -> Outcome:
    if went_well:
        return Outcome.ACKNOWLEDGED
    if any(words in told for words in _STALE):
        return Outcome.STALE
    return Outcome.CUT if any(words in told for words in _CUT_OFF) else Outcome.OTHER


def _try(new: str, outcome: Outcome, told: str, began: float) -> Try:
    return Try(oid=new, outcome=outcome, told=told, began=began, ended=time.monotonic())


def _until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < end
        threading.Event().wait(0.05)
