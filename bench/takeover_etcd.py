"""From the SIGKILL of a transfer's owner to the next member's first file, where owners are named by etcd."""

from pathlib import Path

from bench import takeover
from bench.support import Table


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`."""
    return takeover.measure_with_etcd(work, quick=quick)
