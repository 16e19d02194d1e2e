"""Parts of a cluster in network namespaces of their own, joined by a router on which any way can be cut, also one way.

Needs root. Nothing is seen of it outside: no name below /run, no interface on this machine, no rule of its own; what is
left of a test that was killed ends with it. Whatever a thread starts or opens while it is `Part.inside` belongs there.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NET: Final = 0x40000000  # CLONE_NEWNET; os.setns is there from Python 3.12 on


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A network namespace with one address; ``pid`` is of a process that only holds it."""

    name: str
    address: str
    pid: int

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Have this thread be there, and whatever processes, threads and sockets it makes meanwhile."""
        with open_namespace("thread-self") as here, open_namespace(str(self.pid)) as there:
            _enter(there)
            try:
                yield
            finally:
                _enter(here)


class Network:
    """A router; each part is one hop away from it, and two from each other."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._router = Part(name="router", address="", pid=stack.enter_context(_holder()))
        self._parts = 0
        self._cut: set[tuple[str, str]] = set()
        with self._router.inside():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")

    def part(self, name: str) -> Part:
        """Make a namespace that reaches all others."""
        self._parts += 1
        number = self._parts
        made = Part(
            name=name, address=f"10.77.{number}.2", pid=self._stack.enter_context(_holder())
        )
        _ip(
            self._router,
            f"link add to-{number} type veth peer name way netns {made.pid}",
            f"address add 10.77.{number}.1/24 dev to-{number}",
            f"link set to-{number} up",
        )
        _ip(
            made,
            "link set lo up",
            f"address add {made.address}/24 dev way",
            "link set way up",
            f"route add default via 10.77.{number}.1",
        )
        return made

    def cut(self, one: Part, *others: Part) -> None:
        """Let nothing through between ``one`` and each of the others, and tell nobody."""
        for other in others:
            self.cut_one_way(one, other)
            self.cut_one_way(other, one)

    def cut_one_way(self, source: Part, target: Part) -> None:
        """Let nothing through from ``source`` to ``target``; what goes the other way arrives."""
        way = (source.address, target.address)
        if way not in self._cut:
            self._cut.add(way)
            _ip(self._router, "rule add pref 10 from {} to {} blackhole".format(*way))

    def mend(self) -> None:
        """Let everything through again."""
        rules = ["rule del pref 10 from {} to {} blackhole".format(*way) for way in self._cut]
        if rules:
            _ip(self._router, *rules)
        self._cut.clear()


@contextmanager
def network() -> Iterator[Network]:
    """Give a network without parts; all that was made in it ends with the block."""
    with ExitStack() as stack:
        yield Network(stack)


@contextmanager
def open_namespace(process: str) -> Iterator[int]:
    """Give a descriptor of the network namespace of a process below /proc."""
    descriptor = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _NET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def _holder() -> Iterator[int]:
    """Make a namespace; its process ends with the block, and with this process."""
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), "no network namespace can be made: are you root?"
        try:
            yield process.pid
        finally:
            process.kill()


def _ip(where: Part, *lines: str) -> None:
    with where.inside():
        subprocess.run(
            ["ip", "-batch", "-"],
            input="\n".join(lines),
            text=True,
            encoding="utf-8",
            check=True,
        )
