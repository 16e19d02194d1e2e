"""Run as a program: sessions send files and are killed in the midst of it, over and over; says what they left.

They are killed so many times, and more often until a file was acknowledged and one broke off: how far a session comes
in its time, a busy machine decides.
"""

import itertools
import os
import random
import signal
import sys
import time
from pathlib import Path

from homes import GO_ON, NEW, HomeSite, send

from mftgit.adapters.home.contract import HomeError, Traits

PIECE = b"0123456789" * 1000
PIECES = 5


def send_on(site: HomeSite, acknowledged: int) -> None:
    """Send the same few files again and again, each time another letter; tell of each that was acknowledged."""
    home = site.open()
    os.write(acknowledged, b"!")
    for number in itertools.count():
        file = home.open_write(f"/{number % 4}", NEW, Traits())
        letter = b"%c" % (65 + number % 26)
        for at in range(PIECES):
            file.write(at * len(PIECE), PIECE.replace(b"0", letter))
        file.close()
        os.write(acknowledged, b"%d%c\n" % (number % 4, letter[0]))


def round_of(site: HomeSite, chance: random.Random) -> bytes:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        send_on(site, writing)
    os.close(writing)
    assert os.read(reading, 1) == b"!"  # it has begun
    time.sleep(chance.uniform(0.0005, 0.02))  # noqa: TID251
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as told:
        return told.read()


def check(site: HomeSite, told: bytes) -> int:
    """Whatever is seen is whole; what was acknowledged last is there, or what came after it. Return what broke off."""
    seen = site.seen()
    for name, content in seen.items():
        letter = content[:1]
        assert content == PIECE.replace(b"0", letter) * PIECES, (name, len(content))
    last = {line[:1].decode(): line[1:2] for line in told.splitlines() if len(line) == len(b"0A")}
    for name, letter in last.items():
        later = b"%c" % (65 + (letter[0] - 65 + 4) % 26)
        assert seen[name][:1] in {letter, later}, (name, letter, seen[name][:1])
    left = 0
    for name in set("0123") - set(seen):
        home = site.open()
        try:
            size_bytes = home.stat(f"/{name}").size_bytes
        except HomeError:
            continue
        send(home, f"/{name}", (PIECE * PIECES)[size_bytes:], GO_ON)
        left += 1
    for each in site.root.iterdir():
        if not each.name.startswith(".mftgit"):
            each.unlink()
    return left


if __name__ == "__main__":
    site = HomeSite(Path(sys.argv[1]))
    site.open()
    chance = random.Random(int(sys.argv[3]))
    acknowledged = left = 0
    least = int(sys.argv[2])
    for number in range(100 * least):
        if number >= least and acknowledged and left:
            break
        told = round_of(site, chance)
        acknowledged += told.count(b"\n")
        left += check(site, told)
    sys.stdout.write(f"{acknowledged} {left}\n")
