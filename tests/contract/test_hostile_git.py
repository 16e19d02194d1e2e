"""Git requests that no honest client sends, to a controller that runs as a process: what they cost, and whom."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import pytest
from git_cli import git, git_ok
from git_raw import Raw, blob, commit, head, line, oid, pack, pack_of, push_body
from outside import Answer, Outside, outside

from mftgit.model.members.token import parse_token
from mftgit.model.names import MAIN

pytestmark = [pytest.mark.needs("git"), pytest.mark.long]

UPLOAD, RECEIVE = "git-upload-pack", "git-receive-pack"
CAPS = b" multi_ack_detailed side-band-64k thin-pack ofs-delta no-done"
OTHER = "1" * 40
MIB = 1 << 20
SMALL_MIB = 64
"""What a request of some megabytes may take: several copies on its way, and what the allocator keeps."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("hostile")) as running:
        work = running.cluster.clone()
        running.cluster.push(work, {"notes.md": "so that nothing is done for the first time\n"})
        yield running


@pytest.fixture
def tip(served: Outside) -> Iterator[str]:
    """Give main's tip; after the test it is still there, and nothing else is."""
    before = git_ok(served.repository, "for-each-ref", "refs/heads")
    yield git_ok(served.repository, "rev-parse", MAIN)
    assert git_ok(served.repository, "for-each-ref", "refs/heads") == before
    checked = git(served.repository, "fsck", "--strict", "--full", "--unreachable", "--no-reflogs")
    assert (checked.code, checked.out, checked.err) == (0, "", "")
    assert not list(served.repository.glob("objects/incoming-*"))


# Packs that grow when they are unpacked


def entry(kind: int, content: bytes, *, claims: int | None = None, base: bytes = b"") -> bytes:
    """Return an object of a pack, which may claim to have another size than it has."""
    size = len(content) if claims is None else claims
    return head(kind, size) + base + zlib.compress(content, 9)


def number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def delta(base: Raw, *steps: bytes, makes: int, source: int | None = None) -> bytes:
    """Return a delta to ``base`` that claims to make so many bytes."""
    size = len(base[1]) if source is None else source
    content = b"".join([number(size), number(makes), *steps])
    return entry(7, content, base=bytes.fromhex(oid(base)))


def copied(size: int) -> bytes:
    """Return the instructions that copy the first ``size`` bytes of the base, 64 KiB at a time."""
    return b"\x80" + b"".join(b"\x8c" + n.to_bytes(2, "little") for n in range(1, size >> 16))


def chain(links: int, size: int) -> bytes:
    """Return a pack of blobs that are deltas of each other, each a byte longer than the one before."""
    blobs = [blob(bytes(size) + b"x" * more) for more in range(links)]
    steps = [
        delta(base, copied(size), bytes([len(made[1]) - size]), made[1][size:], makes=len(made[1]))
        for base, made in pairwise(blobs)
    ]
    return pack_of(entry(3, blobs[0][1]), *steps)


SEED = blob(bytes(1 << 16))
FULL = b"\x80" * 200  # 64 KiB of the base each
PACKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "an object that inflates to far more than it claims": (
        lambda: pack_of(entry(3, bytes(300 * MIB), claims=500)),
        "declared size is wrong",
    ),
    "an object that claims what it has, which is too much": (
        lambda: pack(blob(bytes(300 * MIB))),
        "at most",
    ),
    "an object that claims 2^60 bytes": (
        lambda: pack_of(entry(3, b"x", claims=1 << 60)),
        "at most",
    ),
    "objects that are too much together": (
        lambda: pack_of(*[entry(3, bytes(16 * MIB))] * 40),
        "inflates to at least",
    ),
    "a delta that claims little and makes much": (
        lambda: pack_of(entry(3, SEED[1]), delta(SEED, FULL, makes=100)),
        "broken",
    ),
    "a delta that claims much and makes little": (
        lambda: pack_of(entry(3, SEED[1]), delta(SEED, b"\x80", makes=31 * MIB)),
        "broken",
    ),
    "a delta that claims 2^50 bytes": (
        lambda: pack_of(entry(3, SEED[1]), delta(SEED, FULL, makes=1 << 50)),
        "at most",
    ),
    "a delta of a base of another size": (
        lambda: pack_of(entry(3, SEED[1]), delta(SEED, FULL, makes=200 << 16, source=1 << 40)),
        "broken",
    ),
    "a delta that copies from behind its base": (
        lambda: pack_of(entry(3, SEED[1]), delta(SEED, b"\x8f\xff\xff\xff\x7f", makes=1 << 16)),
        "broken",
    ),
    "a delta of itself": (
        lambda: pack_of(entry(7, b"\1\1\1x", base=bytes.fromhex(oid(blob(b"x"))))),
        "broken",
    ),
    "2^32-1 objects": (
        lambda: b"PACK" + (2).to_bytes(4) + b"\xff" * 4 + bytes(100),
        "4,294,967,295 objects, at most",
    ),
    "a chain of large deltas": (lambda: chain(28, 16 * MIB), f"object {OTHER} is missing"),
    "many small objects": (
        lambda: pack(*(blob(b"%d" % n) for n in range(30_000))),
        f"object {OTHER} is missing",
    ),
}


@pytest.mark.parametrize("case", PACKS)
def test_a_pack_that_grows_costs_little_and_keeps_nobody_waiting(
    served: Outside, tip: str, case: str
) -> None:
    make, message = PACKS[case]
    body = push_body((tip, OTHER, MAIN), content=make())
    with served.unharmed(mib=4 * SMALL_MIB):
        answer = served.post(RECEIVE, body)
    assert answer.status == 200
    assert f"ng {MAIN}" in answer.text
    assert message in answer.text


# Bodies that are compressed


@pytest.mark.parametrize("service", [UPLOAD, RECEIVE])
@pytest.mark.parametrize(
    ("encoding", "times", "status"),
    [
        ("gzip", 1, 413),
        ("x-gzip", 1, 413),
        ("gzip", 2, 400),
        ("gzip, gzip", 2, 415),
        ("br", 0, 415),
    ],
)
def test_a_bomb_of_gzip_costs_little(
    served: Outside, tip: str, service: str, encoding: str, times: int, status: int
) -> None:
    assert tip
    body = bytes(300 * MIB if times else 10)
    for _ in range(times):
        body = gzip.compress(body, 9)
    with served.unharmed(mib=SMALL_MIB):
        answer = served.post(service, body, Content_Encoding=encoding)
    assert answer.status == status, answer


def test_a_body_above_the_limit_is_refused(served: Outside, tip: str) -> None:
    assert tip
    with served.unharmed(mib=SMALL_MIB):
        assert _refused_or_cut(served, RECEIVE, bytes(130 * MIB))
        assert _refused_or_cut(served, UPLOAD, bytes(2 * MIB))


def _refused_or_cut(served: Outside, service: str, body: bytes) -> bool:
    try:
        return served.post(service, body).status == 413
    except OSError:  # it need not read on for as long as the client sends
        return True


# Lines of the protocol

LINES = [b"0001", b"0002", b"0003", b"0004", b"-001", b"+004", b"0x0a", b" 004", b"0_10", b"fffg",
         b"ffff", b"ffffx", b"FFFF" + b"x" * 99, b"\0\0\0\0", b"00"]  # fmt: skip


@pytest.mark.parametrize("service", [UPLOAD, RECEIVE])
@pytest.mark.parametrize("length", LINES)
@pytest.mark.parametrize("first", [True, False])
def test_a_line_of_a_false_length_is_the_client_s_fault(
    served: Outside, tip: str, service: str, length: bytes, *, first: bool
) -> None:
    said = {
        UPLOAD: line(b"want " + tip.encode() + CAPS + b"\n"),
        RECEIVE: line(f"{tip} {OTHER} {MAIN}\0 report-status".encode()),
    }
    answer = served.post(service, (b"" if first else said[service]) + length)
    assert answer.status in {200, 400}
    assert b"PACK" not in answer.body
    assert f"ok {MAIN}" not in answer.text
    if answer.status == 200:  # it is the end of what was asked, and nothing was
        assert length in {b"0001", b"0004"}


NAMES = {
    "64 KiB long": b"refs/heads/change/" + b"x" * 65_000,
    "300 bytes long": b"refs/heads/change/" + b"x" * 300,
    "deep": b"refs/heads/change/" + b"a/" * 30_000 + b"a",
    "control characters": b"refs/heads/change/\x1b[2J\x07",
    "a newline": b"refs/heads/change/a\nb",
    "dots": b"refs/heads/change/../../../../x",
    "dot": b"refs/heads/change/./a",
    "hidden": b"refs/heads/change/.a",
    "a double slash": b"refs/heads/change//a",
    "a slash at the end": b"refs/heads/change/a/",
    "a lock": b"refs/heads/change/a.lock",
    "a folder that is a lock": b"refs/heads/change/a.lock/b",
    "main's lock": b"refs/heads/main.lock",
    "at brace": b"refs/heads/change/a@{1}",
    "a wildcard": b"refs/heads/change/*",
    "a colon": b"refs/heads/change/a:b",
    "a tilde": b"refs/heads/change/a~1",
    "a backslash": b"refs/heads/change/a\\b",
    "a dash": b"refs/heads/change/-a",
    "no UTF-8": b"refs/heads/change/\xff\xfe",
    "nothing": b"",
    "no ref": b"HEAD",
    "absolute": b"/etc/passwd",
    "upwards": b"refs/../config",
    "the folder": b"refs/heads/change",
    "main as a folder": b"refs/heads/main/a",
    "other bookkeeping": b"refs/mftgit/fetched",
    "of a member": b"refs/members/controller/active",
}


@pytest.mark.parametrize("case", NAMES)
def test_a_ref_of_an_absurd_name_is_not_made(served: Outside, tip: str, case: str) -> None:
    root = git_ok(served.repository, "rev-parse", f"{MAIN}^{{tree}}")
    made = commit(root, tip)
    command = f"{'0' * 40} {oid(made)} ".encode() + NAMES[case]
    first = command if len(command) > 60_000 else command + b"\0 report-status side-band-64k"
    events = len(served.cluster.events())
    answer = served.post(RECEIVE, line(first) + b"0000" + pack(made))
    assert answer.status in {200, 400}
    assert "\nok " not in answer.text
    assert " ok refs" not in answer.text
    told = served.cluster.events()[events:]
    assert len(json.dumps(told)) < 10_000  # a refusal fills no disk


def test_a_nul_in_a_ref_s_name_ends_it(served: Outside, tip: str) -> None:
    body = line(f"{tip} {OTHER} {MAIN}\0 report-status\0{MAIN}".encode()) + b"0000" + pack()
    answer = served.post(RECEIVE, body)
    assert answer.status == 400 or f"ng {MAIN}" in answer.text


def commands(count: int, names: bytes) -> bytes:
    first, *rest = [f"{'0' * 40} {OTHER} ".encode() + names % n for n in range(count)]
    return b"".join([line(first + b"\0 report-status side-band-64k"), *map(line, rest)]) + b"0000"


@pytest.mark.parametrize(
    ("count", "names", "status"),
    [
        (100_000, b"refs/heads/%d", 400),
        (1_000, b"refs/heads/%d" + b"x" * 30_000, 400),
        (999, b"refs/heads/change/%d", 200),
    ],
)
def test_a_push_of_many_refs_costs_little(
    served: Outside, tip: str, count: int, names: bytes, status: int
) -> None:
    assert tip
    with served.unharmed(mib=2 * SMALL_MIB):
        answer = served.post(RECEIVE, commands(count, names) + pack())
    assert answer.status == status
    assert "\nok " not in answer.text


def asking(lines: int, text: bytes, tip: str) -> bytes:
    """Return the body of a fetch with ``text`` in so many lines, each with another number."""
    want = line(b"want " + tip.encode() + CAPS + b"\n")
    ends = b"0000" if text.startswith(b"have") else b""
    return want + ends + b"".join(line(text % n) for n in range(lines)) + b"0000" + line(b"done\n")


@pytest.mark.parametrize(
    ("lines", "text", "status"),
    [
        (20_000, b"have %040x\n", 200),
        (1_000_000, b"have %040x\n", 413),
        (20_000, b"want %040x\n", 400),
        (1_000_000, b"want %040x\n", 413),
        (18_000, b"shallow %040x\n", 200),
        (20_000, b"deepen %d\n", None),
        (20_000, b"have nonsense %d\n", None),
    ],
)
def test_a_fetch_of_many_lines_costs_little(
    served: Outside, tip: str, lines: int, text: bytes, status: int | None
) -> None:
    body = asking(lines, text, tip)
    with served.unharmed(mib=2 * SMALL_MIB):
        answer = served.post(UPLOAD, gzip.compress(body), Content_Encoding="gzip")
    assert answer.status in ({200, 400} if status is None else {status})


# The API


def test_who_was_invited_joins_with_text_only(served: Outside) -> None:
    invited = parse_token(served.cluster.invite("node-9"))
    good = {"member": "node-9", "secret": invited.secret, "public_key": "0" * 64}
    half = "\ud800"
    for wrong in ({"secret": half}, {"public_key": half * 64}, {"public_key": "g" * 64},
                  {"member": half}, {"member": "node-9\0"}):  # fmt: skip
        answer = served.ask("POST", "/api/join", body=json.dumps(good | wrong).encode())
        assert answer.status == 400, answer
    assert served.ask("POST", "/api/join", body=json.dumps(good).encode()).status == 200


def nested(mark: str, count: int) -> bytes:
    return (mark * count).encode()


JSON = {
    "lists in lists": nested("[", 100_000),
    "mappings in mappings": nested('{"a":', 100_000),
    "closed lists": b"[" * 100_000 + b"]" * 100_000,
    "a number of a million digits": b'{"member": ' + b"9" * 1_000_000 + b"}",
    "a vast exponent": b'{"member": 1e999999999, "secret": 1, "public_key": 1}',
    "no number": b'{"member": NaN, "secret": Infinity, "public_key": -Infinity}',
    "half a character": b'{"member": "\\ud800", "secret": "s", "public_key": "' + b"0" * 64 + b'"}',
    "half a secret": b'{"member": "a", "secret": "\\udfff", "public_key": "' + b"0" * 64 + b'"}',
    "half a key": b'{"member": "a", "secret": "s", "public_key": "' + b"\\ud800" * 64 + b'"}',
    "a zero": b'{"member": "a\\u0000b", "secret": "\\u0000", "public_key": "' + b"0" * 64 + b'"}',
    "a long name": b'{"member": "' + b"x" * 1_000_000 + b'", "secret": "", "public_key": "'
    + b"0" * 64 + b'"}',
    "many keys": b"{" + b",".join(b'"%d": 1' % n for n in range(80_000)) + b"}",
    "not UTF-8": b'{"member": "\xff\xfe"}',
    "UTF-16": '{"member": 1}'.encode("utf-16"),
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("case", JSON)
def test_a_json_body_that_nobody_means_is_refused_and_costs_little(
    served: Outside, case: str
) -> None:
    ask = partial(served.ask, "POST", "/api/join", body=JSON[case])
    with served.unharmed(mib=SMALL_MIB):
        answers: list[Answer] = [ask() for _ in range(3)]
    assert {each.status for each in answers} == {400}, answers[0]
    assert all(json.loads(each.body)["error"] for each in answers)
