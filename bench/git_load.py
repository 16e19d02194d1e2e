"""The controller's git side beside `git http-backend` behind nginx.

One repository, two servers, the same requests in turns, TLS on both sides. Needs nginx, fcgiwrap and wrk.
"""

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shutil import rmtree
from urllib.parse import urlsplit

from bench import memory, validate
from bench.git_servers import NEEDED, Both, Server, both, changed, git, head_tag, program
from bench.members import CONTROLLER, Cluster
from bench.support import Table, median_and_p99, ms, pause, percentile, say, stopwatch
from mftgit.adapters.clock import SystemClock
from mftgit.cli.demo.processes import Processes
from mftgit.model.events.event import EventName
from mftgit.model.names import MemberName

_UPLOAD = "/config.git/git-upload-pack"
_INFO = "/config.git/info/refs"
_HEAD = "/api/head"
_EVENTS = "/api/head/events"
_MANY = 100  # clients, whose handshakes take a part of the time
_KIND = {"Content-Type": "application/x-git-upload-pack-request"}
_CAPS = b" multi_ack_detailed no-done side-band-64k thin-pack ofs-delta agent=git/2.39.5\n"
_LS_REFS = (
    b"0014command=ls-refs\n0015agent=git/2.39.5\n0016object-format=sha10001"
    b"0009peel\n000csymrefs\n001bref-prefix refs/heads/\n0000"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured."""

    rounds: int = 3
    seconds: int = 4
    pairs: int = 9
    commits: int = 1000
    share: int = 1
    waiters: tuple[int, ...] = (500, 1000, 2000)
    clients: tuple[int, ...] = (1, 50, 500)
    wakes: int = 5
    requests: int = 100_000


QUICK = Scale(
    rounds=1,
    seconds=1,
    pairs=2,
    commits=50,
    share=10,
    waiters=(20,),
    clients=(1, 20),
    wakes=2,
    requests=2000,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request as wrk sends it."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What wrk found."""

    per_s: float
    p50_s: float
    p99_s: float
    failed: int


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`; one controller and one http-backend for everything."""
    for name in NEEDED:
        program(name)
    scale = QUICK if quick else Scale()
    (work / "logs").mkdir()
    processes = Processes(work / "logs")
    with processes.guarded():
        cluster = Cluster(work, processes, _documents(scale))
        with both(cluster, work, commits=scale.commits) as servers:
            bench = _Bench(work, servers, scale)
            woken = bench.wakes()  # first, so that what connections take is not there already
            tables = [bench.singles(), bench.polls(), bench.herd(), woken, bench.long()]
    return tables


def _documents(scale: Scale) -> dict[str, str]:
    made = validate.documents(
        locations=400 // scale.share, transfers=550 // scale.share, members=50
    )
    return {path: content.decode() for path, content in made.items()}


class _Bench:
    """The measurements, which share two clones and the servers."""

    def __init__(self, work: Path, servers: Both, scale: Scale) -> None:
        self._work = work
        self._both = servers
        self._scale = scale
        self._clone = work / "pusher"
        git(work, "clone", "--quiet", servers.theirs.url, str(self._clone), server=servers.theirs)
        self._commits = 0
        self._turns = 0

    # One client

    def singles(self) -> Table:
        """Time stock git: push, fetch of one commit, clone."""
        found: dict[str, dict[str, list[float]]] = {}

        def note(what: str, server: Server, taken_s: float) -> None:
            found.setdefault(what, {}).setdefault(server.name, []).append(taken_s)

        for server in self._servers():
            git(
                self._work,
                "clone",
                "--quiet",
                "--bare",
                server.url,
                f"{server.name}.git",
                server=server,
            )
        for number in range(self._scale.pairs):
            self._commit()
            for server in self._servers():
                note(
                    "push of one document",
                    server,
                    self._timed(
                        "push", "--quiet", server.url, "HEAD:main", at=self._clone, server=server
                    ),
                )
            for server in self._servers():
                fetch = ("fetch", "--quiet", server.url, "main:main")
                note(
                    "fetch of one commit",
                    server,
                    self._timed(*fetch, at=self._work / f"{server.name}.git", server=server),
                )
            for server in self._servers():
                note("clone", server, self._timed_clone(server))
            for server in self._servers():
                note("clone, asked for before", server, self._timed_clone(server))
            say(f"one client: {number + 1} of {self._scale.pairs}")
        rows = [_compared(what, by["mftgit"], by["http-backend"]) for what, by in found.items()]
        return Table(
            title="One client: stock git, one command at a time",
            columns=(
                "what",
                "mftgit p50",
                "p99",
                "http-backend p50",
                "p99",
                "mftgit / http-backend",
                "range",
                "difference",
            ),
            rows=rows,
            notes=(
                f"{self._scale.commits} commits of {len(_documents(self._scale))} documents; clones are bare",
                f"{self._scale.pairs} rounds in turns; ratio and difference are medians within a round",
                "git starts, does TLS, and ends within the time",
                "mftgit checks a password at each request and validates each push, http-backend does neither",
                "every round has a new commit, so that nothing but 'asked for before' was answered before",
            ),
            raw=found,
        )

    def _timed_clone(self, server: Server) -> float:
        target = self._work / "cloned.git"
        taken_s = self._timed(
            "clone", "--quiet", "--bare", server.url, str(target), at=self._work, server=server
        )
        rmtree(target)
        return taken_s

    def _timed(self, *words: str, at: Path, server: Server) -> float:
        with stopwatch() as taken:
            git(at, *words, server=server)
        return taken[0]

    # Many clients

    def polls(self) -> Table:
        """Load both with the question whether there is news."""
        asked: dict[str, Callable[[], tuple[Server, list[Ask], int]]] = {
            "mftgit, GET /api/head, 304": lambda: (self._both.ours, [self._head()], 1),
            "mftgit, GET info/refs": lambda: (self._both.ours, [self._info(self._both.ours)], 1),
            "http-backend, git's protocol 2": lambda: (self._both.theirs, _ls_refs(), 2),
            "http-backend, protocol 0": lambda: (
                self._both.theirs,
                [self._info(self._both.theirs)],
                1,
            ),
        }
        return self._load(
            "No news: polls",
            asked,
            self._scale.clients,
            "http-backend, git's protocol 2",
            notes=(
                "a poll of git's protocol 2, as stock git sends it, is two requests; the latency is that of one",
                "a member's proof, an Ed25519 signature, is verified at each of mftgit's requests",
            ),
        )

    def herd(self) -> Table:
        """Load both with members that all have the same commit, and with clones."""
        tip, old = git(self._clone, "rev-parse", "HEAD", "HEAD~1").split()
        want = _line(b"want " + tip + _CAPS) + b"0000"
        fetch = want + _line(b"have " + old + b"\n") + _line(b"done\n")
        clone = want + _line(b"done\n")

        def asks(server: Server, body: bytes) -> Callable[[], tuple[Server, list[Ask], int]]:
            return lambda: (server, [self._fetch(server, body)], 1)

        tables = [
            self._load(
                title,
                {
                    server.name: asks(server, body)
                    for server in (self._both.ours, self._both.theirs)
                },
                clients,
                "http-backend",
            )
            for title, body, clients in (
                ("fetch", fetch, self._scale.clients),
                ("clone", clone, (1, 8)),
            )
        ]
        rows = [(table.title, *row) for table in tables for row in table.rows]
        return Table(
            title="A herd: the same fetch, the same clone",
            columns=("what", *tables[0].columns),
            rows=rows,
            notes=("the POST alone, as a member sends it after GET info/refs",),
            raw=[table.raw for table in tables],
        )

    def _load(
        self,
        title: str,
        asked: dict[str, Callable[[], tuple[Server, list[Ask], int]]],
        clients: Sequence[int],
        base: str,
        notes: tuple[str, ...] = (),
    ) -> Table:
        rows, raw = [], {}
        for count in clients:
            found: dict[str, list[Rate]] = {name: [] for name in asked}
            for number in range(self._scale.rounds):
                for name in asked if number % 2 else reversed(list(asked)):
                    server, asks, requests = asked[name]()
                    rate = self._wrk(server, asks, count)
                    found[name].append(
                        Rate(
                            per_s=rate.per_s / requests,
                            p50_s=rate.p50_s,
                            p99_s=rate.p99_s,
                            failed=rate.failed,
                        )
                    )
            say(f"{title}: {count} clients")
            rows += [_rated(count, name, rates, found[base]) for name, rates in found.items()]
            raw[count] = {name: [asdict(rate) for rate in rates] for name, rates in found.items()}
        return Table(
            title=title,
            columns=(
                "clients",
                "server",
                "per second",
                "p50",
                "p99",
                "failed",
                f"/ {base}",
                "range",
            ),
            rows=rows,
            notes=notes,
            raw=raw,
        )

    def _wrk(self, server: Server, asks: list[Ask], clients: int) -> Rate:
        script = self._work / "asks.lua"
        script.write_text(_lua(asks), encoding="latin-1")
        command = [
            program("wrk"),
            "-t",
            "1",
            "-c",
            str(clients),
            "-d",
            f"{self._scale.seconds * (2 if clients > _MANY else 1)}s",
            "--timeout",
            "30s",
            "-s",
            str(script),
            server.base,
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True, encoding="utf-8"
        )
        told = re.search(r"^FOUND (.*)$", done.stdout, re.MULTILINE)
        if told is None:
            raise RuntimeError(f"wrk said:\n{done.stdout}{done.stderr}")
        count, took_us, p50_us, p99_us, failed = map(float, told[1].split())
        return Rate(
            per_s=(count - failed) / took_us * 1e6,
            p50_s=p50_us / 1e6,
            p99_s=p99_us / 1e6,
            failed=int(failed),
        )

    def _head(self) -> Ask:
        known = {"If-None-Match": head_tag(self._both)}
        return Ask(method="GET", path=_HEAD, headers={**self._both.proof("GET", _HEAD), **known})

    def _info(self, server: Server) -> Ask:
        proof = self._both.proof("GET", _INFO) if server is self._both.ours else {}
        return Ask(method="GET", path=f"{_INFO}?service=git-upload-pack", headers=proof)

    def _fetch(self, server: Server, body: bytes) -> Ask:
        proof = self._both.proof("POST", _UPLOAD) if server is self._both.ours else {}
        return Ask(method="POST", path=_UPLOAD, headers={**_KIND, **proof}, body=body)

    # Waiting members

    def wakes(self) -> Table:
        """Let members wait, push, and see when each is woken."""
        rows, raw = [], {}
        pid = memory.find_members(self._work)[MemberName(CONTROLLER)]
        for count in self._scale.waiters:
            before = memory.resident(pid).rss
            with self._waiting(count) as next_times:
                each = (memory.resident(pid).rss - before) * 1024 / count
                after: list[list[float]] = []
                since_push: list[list[float]] = []
                for number in range(self._scale.wakes):
                    self._commit()
                    pause(1.0)
                    with self._both.cluster.log(CONTROLLER) as log:
                        began = SystemClock().now()
                        times = next_times(
                            lambda: git(
                                self._clone,
                                "push",
                                "--quiet",
                                self._both.ours.url,
                                "HEAD:main",
                                server=self._both.ours,
                            )
                        )
                        published = log.at(
                            EventName.REVISION_PUBLISHED,
                            git(self._clone, "rev-parse", "HEAD").decode().strip(),
                            by=CONTROLLER,
                        )
                    if published is None:
                        raise RuntimeError("no revision was published")
                    after.append([at - published.timestamp() for at in times])
                    since_push.append([at - began.timestamp() for at in times])
                    last = ms(max(after[-1]))
                    say(
                        f"{count} wait: push {number + 1} of {self._scale.wakes} woke the last after {last}"
                    )
            rows.append(
                (
                    f"{count}",
                    f"{self._scale.wakes}",
                    ms(statistics.median(statistics.median(times) for times in after)),
                    ms(statistics.median(percentile(times, 0.99) for times in after)),
                    ms(max(max(times) for times in after)),
                    ms(statistics.median(percentile(times, 0.99) for times in since_push)),
                    f"{each:.0f} KiB",
                )
            )
            raw[count] = {"after_published_s": after, "since_push_s": since_push, "each_kib": each}
        return Table(
            title="Waking members that wait at /api/head/events",
            columns=(
                "waiting",
                "pushes",
                "published -> woken p50",
                "p99",
                "highest",
                "git push begins -> woken p99",
                "memory each",
            ),
            rows=rows,
            notes=(
                "medians of the pushes; published: the controller's RevisionPublished event",
                "the waiting clients are one process of Python on this machine, whose own work is in the times",
                "memory: what the controller's resident memory grew by, divided",
            ),
            raw=raw,
        )

    @contextmanager
    def _waiting(self, count: int) -> Iterator[Callable[[Callable[[], object]], list[float]]]:
        proof = self._both.proof("GET", _EVENTS)["Authorization"]
        plan = {
            "ca_file": str(self._both.ours.ca_file),
            "port": urlsplit(self._both.ours.url).port,
            "waiters": count,
            "request": f"GET {_EVENTS} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {proof}\r\n\r\n",
        }
        command = [sys.executable, str(Path(__file__).with_name("waiters.py"))]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        ) as process:
            given, told = process.stdin, process.stdout
            if given is None or told is None:
                raise RuntimeError("no pipes")

            def tell(text: str) -> None:
                given.write(text + "\n")
                given.flush()

            tell(json.dumps(plan))
            if told.readline() != "ready\n":
                raise RuntimeError("the waiters did not get ready")

            def next_times(push: Callable[[], object]) -> list[float]:
                tell("")
                push()
                return [float(at) for at in json.loads(told.readline())]

            yield next_times
            given.close()

    # For long

    def long(self) -> Table:
        """See whether memory grows over many requests."""
        pid = memory.find_members(self._work)[MemberName(CONTROLLER)]
        tip, old = git(self._clone, "rev-parse", "HEAD", "HEAD~1").split()
        body = (
            _line(b"want " + tip + _CAPS)
            + b"0000"
            + _line(b"have " + old + b"\n")
            + _line(b"done\n")
        )
        done, looks = 0.0, [(0.0, memory.resident(pid).rss)]
        while done < self._scale.requests:
            asks = [self._head(), self._info(self._both.ours), self._fetch(self._both.ours, body)]
            rate = self._wrk(self._both.ours, asks, 50)
            done += rate.per_s * self._scale.seconds
            looks.append((done, memory.resident(pid).rss))
            say(f"{done:,.0f} requests, {looks[-1][1]:.0f} MiB")
        chosen = [looks[0], looks[1], looks[len(looks) // 2], looks[-1]]
        return Table(
            title="Memory of the controller over many requests",
            columns=("requests", "resident"),
            rows=[(f"{count:,.0f}", f"{rss:.1f} MiB") for count, rss in chosen],
            notes=(
                "50 clients; a third each of GET /api/head, GET info/refs and the POST of a fetch",
            ),
            raw=looks,
        )

    def _servers(self) -> tuple[Server, Server]:
        """Return both, each first in every other turn."""
        self._turns += 1
        pair = (self._both.ours, self._both.theirs)
        return pair if (self._turns // 4) % 2 else (pair[1], pair[0])

    def _commit(self) -> None:
        self._commits += 1
        path = self._clone / "transfers" / "transfer-7.yaml"
        path.write_bytes(changed(path.read_bytes(), 100_000 + self._commits))
        git(self._clone, "commit", "--quiet", "--all", "--message", f"Change {self._commits}")


def _ls_refs() -> list[Ask]:
    spoken = {"Git-Protocol": "version=2"}
    return [
        Ask(method="GET", path=f"{_INFO}?service=git-upload-pack", headers=spoken),
        Ask(method="POST", path=_UPLOAD, headers={**_KIND, **spoken}, body=_LS_REFS),
    ]


def _lua(asks: list[Ask]) -> str:
    made = ", ".join(
        f"wrk.format({_quoted(ask.method)}, {_quoted(ask.path)}, {{{headers}}}, {_quoted(ask.body.decode('latin-1'))})"
        for ask in asks
        for headers in [
            ", ".join(
                f"[{_quoted(name)}] = {_quoted(value)}" for name, value in ask.headers.items()
            )
        ]
    )
    return f"""
local asks, at = nil, 0
init = function() asks = {{ {made} }} end
request = function() at = at % #asks + 1; return asks[at] end
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("FOUND %d %d %d %d %d", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), failed))
end
"""


def _quoted(text: str) -> str:
    return (
        '"' + "".join(f"\\{ord(char):03d}" if not char.isalnum() else char for char in text) + '"'
    )


def _line(text: bytes) -> bytes:
    return b"%04x%b" % (len(text) + 4, text)


def _compared(what: str, ours: list[float], theirs: list[float]) -> tuple[str, ...]:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    more = [one - other for one, other in zip(ours, theirs, strict=True)]
    return (
        what,
        *median_and_p99(ours),
        *median_and_p99(theirs),
        f"{statistics.median(ratios):.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        ms(statistics.median(more)),
    )


def _rated(clients: int, name: str, rates: list[Rate], base: list[Rate]) -> tuple[str, ...]:
    ratios = [one.per_s / max(other.per_s, 0.1) for one, other in zip(rates, base, strict=True)]
    return (
        f"{clients}",
        name,
        f"{statistics.median(rate.per_s for rate in rates):,.0f}",
        ms(statistics.median(rate.p50_s for rate in rates)),
        ms(statistics.median(rate.p99_s for rate in rates)),
        f"{sum(rate.failed for rate in rates)}",
        f"{statistics.median(ratios):.1f}",
        f"{min(ratios):.1f} to {max(ratios):.1f}",
    )
