"""Put small packs together: every push leaves one, and each costs open files and a look at every search.

dulwich 1.2.21 keeps every pack open that it has looked into, in each Repo that a thread has used: some hundred pushes
were enough for a process that may open 20,000 files.
"""

from collections.abc import Collection
from pathlib import Path

from dulwich.object_store import DiskObjectStore

from mftgit.adapters.git.objects import Sizes
from mftgit.adapters.git.quarantine import UNLIMITED, Quarantine, packed

MANY = 32
"""So many small packs are put together."""

_APART = (".keep", ".mtimes")  # gitformat-pack: to be left alone, and of what nothing refers to
_SMALL_BYTES = 8 << 20


def gather(store: DiskObjectStore, spare: Collection[Path]) -> tuple[Path, ...]:
    """Copy the objects of small packs into one, where there are many; return the files that are spare then.

    ``spare`` are those of the time before, which do not count. Whoever calls holds the repository's lock. A crash
    leaves objects in two packs, which harms nothing. The spare files may be removed in this order, and better a while
    later: other threads may be about to read them.
    """
    packs = _small(Path(store.pack_dir), spare)
    if len(packs) < MANY:
        return ()
    seen = {Path(f"{pack._basename}.pack"): pack for pack in store.packs}  # noqa: SLF001
    # Another program may be about to write an index.
    packs = [pack for pack in packs if pack in seen]
    oids = {oid for pack in packs for oid in seen[pack]}
    with Quarantine(store, Sizes()) as quarantine, packed(store, oids) as together:
        quarantine.take(together, UNLIMITED)
        made = quarantine.bring_in()
    return tuple(path for each in packs if each.name not in made for path in _files(each))


def _small(folder: Path, spare: Collection[Path]) -> list[Path]:
    """Return the packs that it is time to put together, the smallest first.

    Each but the first is at most twice as large as all before it, so that what was put together before is copied
    again only when there is as much to add.
    """
    packs = sorted(
        (pack.stat().st_size, pack)
        for pack in folder.glob("*.pack")
        if pack not in spare and not any(pack.with_suffix(kind).exists() for kind in _APART)
    )
    total_bytes = count = 0
    for place, (size_bytes, _) in enumerate(packs, 1):
        if size_bytes > _SMALL_BYTES:
            break
        if size_bytes <= 2 * total_bytes:
            count = place
        total_bytes += size_bytes
    return [pack for _, pack in packs[:count]]


def _files(pack: Path) -> list[Path]:
    """Return the files of a pack, the index first: by it the pack is seen."""
    index = pack.with_suffix(".idx")
    return [index, *(path for path in pack.parent.glob(f"{pack.stem}.*") if path != index)]
