"""Look for the files in a folder of a server, and in those below it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from loguru import logger

from mftgit.adapters.endpoint.contract import FileMissingError
from mftgit.adapters.endpoint.paths import RESERVED, parts_inside

F = TypeVar("F")

DEEPEST: Final = 32
"""So many folders deep it is looked at the most: a server may make up folders without end."""


def walk(
    folder: str,
    names: Callable[[str], Iterable[tuple[str, F]]],
    *,
    deepest: int | None,
    is_file: Callable[[F], bool],
    is_folder: Callable[[F], bool],
    server: str,
    is_reserved: Callable[[str], bool] = lambda name: name.startswith(RESERVED),
) -> Iterator[tuple[str, F]]:
    """Give each file below ``folder`` and what is told of it, breadth first, at most ``deepest`` folders deep.

    ``names`` gives what is in one folder; one below that vanishes meanwhile is passed over. What is reserved is passed
    over too. That a folder is more than `DEEPEST` deep is told in the log, with the name of the ``server``.

    Raises:
        FileMissingError: ``folder`` is not there.
    """
    top = parts_inside(folder)
    waiting: deque[tuple[str, ...]] = deque([()])
    while waiting:
        below = waiting.popleft()
        try:
            for name, found in names("/".join((*top, *below))):
                path = "/".join((*below, name))
                if is_reserved(name):
                    continue
                if is_file(found):
                    yield path, found
                elif is_folder(found) and (deepest is None or len(below) < deepest):
                    if len(below) < DEEPEST:
                        waiting.append((*below, name))
                    else:
                        logger.warning(
                            "{server}: {path!r} is more than {depth} folders deep: not listed",
                            server=server,
                            path=path,
                            depth=DEEPEST,
                        )
        except FileMissingError:
            if not below:
                raise
