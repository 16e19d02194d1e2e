"""What many transfers cost that have nothing to do, where owners are named by etcd."""

from pathlib import Path

from bench import idle
from bench.support import Table


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`."""
    return idle.measure_with_etcd(work, quick=quick)
