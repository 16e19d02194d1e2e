"""Change the content of files on their way, by the steps of their transfer, a piece at a time."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from mftgit.adapters.content.gzip import gunzip, gzip
from mftgit.adapters.content.steps import UnfitError
from mftgit.adapters.content.unzip import unzip_one
from mftgit.adapters.content.zip import zip_one
from mftgit.adapters.endpoint.contract import FileEntry
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.outbound.copying.content_keys import ContentKeysError, OpenKeys, open_keys
from mftgit.member.outbound.places.ahead import CHUNK_BYTES
from mftgit.model.configuration.config import Transfer
from mftgit.model.transfers.content import KEYS, Gunzip, Gzip, PgpStep, Step, Unzip, Zip, renamed

_LARGE_BYTES: Final = 1 << 30
"""From here on an archive is made so that its file may outgrow the 2 GiB that old programs read."""


class ContentError(MftgitError):
    """A step of the transfer cannot take the content that the file has; the message says which, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What a step is given to know: the file as it is at the source, and what it is called by now."""

    name: str
    entry: FileEntry
    is_first: bool


class Changing:
    """The steps of one transfer; it is true where there are any. Once `ready`, several threads may change files."""

    def __init__(self, transfer: Transfer, secrets: SecretsHere) -> None:
        self._transfer = transfer
        self._steps = transfer.content
        self._secrets = secrets
        self._keys: dict[int, OpenKeys] = {}

    def __bool__(self) -> bool:
        return bool(self._steps)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Have the keys of the steps at hand, and tried.

        Raises:
            ContentKeysError: one cannot be used on this member.
            PgpError: gpg fails.
        """
        with ExitStack() as stack:
            for place, step in enumerate(self._steps):
                if isinstance(step, PgpStep):
                    self._keys[place] = stack.enter_context(self._opened(place, step))
            try:
                yield
            finally:
                self._keys.clear()

    @contextmanager
    def _opened(self, place: int, step: PgpStep) -> Iterator[OpenKeys]:
        with ExitStack() as stack:
            try:
                keys = stack.enter_context(open_keys(step, self._secrets))
            except ConfigError as error:
                raise ContentKeysError(
                    f"{self._called(place)} of content in transfers/{self._transfer.name}.yaml: {error}"
                ) from error
            yield keys

    def _called(self, place: int) -> str:
        return f"step {place + 1} ({KEYS[type(self._steps[place])]})"

    @contextmanager
    def of(self, chunks: Iterator[bytes], path: str, entry: FileEntry) -> Iterator[Iterator[bytes]]:
        """Give what becomes of ``chunks``, the file ``path`` below the source, in chunks of one size but the last.

        Where a step finds fault, `ContentError` is raised instead of further chunks, at the latest at their end.
        """
        name = PurePosixPath(path).name
        with ExitStack() as stack:
            for place in range(len(self._steps)):
                given = _Given(
                    name=renamed(name, self._steps[:place]), entry=entry, is_first=place == 0
                )
                telling = self._telling(self._step(place, chunks, given), self._called(place), path)
                stack.callback(telling.close)
                chunks = telling
            yield _gathered(chunks)

    def _step(self, place: int, chunks: Iterator[bytes], given: _Given) -> Iterator[bytes]:
        step = self._steps[place]
        if isinstance(step, PgpStep):
            return self._keys[place].change(step, chunks)
        return _STEPS[type(step)](step, chunks, given)

    def whole(self, data: bytes, path: str, entry: FileEntry, *, most_bytes: int) -> bytes | None:
        """Return what becomes of ``data``; None where that is more than ``most_bytes``.

        Raises:
            ContentError: a step finds fault.
        """
        made: list[bytes] = []
        size = 0
        with self.of(iter([data] if data else []), path, entry) as chunks:
            for chunk in chunks:
                size += len(chunk)
                if size > most_bytes:
                    return None
                made.append(chunk)
        return b"".join(made)

    def _telling(
        self, chunks: Iterator[bytes], step: str, path: str
    ) -> Generator[bytes, None, None]:
        try:
            yield from chunks
        except UnfitError as error:
            told = ContentError(
                f"{path} cannot be delivered: {step} of content in "
                f"transfers/{self._transfer.name}.yaml says: {error}"
            )
            told.location = self._transfer.source.location  # and not where it was being written
            raise told from error


def _gathered(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Give the same bytes in chunks of `CHUNK_BYTES`, as endpoints take them best."""
    waiting, size = [], 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= CHUNK_BYTES:
            whole = b"".join(waiting)
            cut = size - size % CHUNK_BYTES
            yield from (whole[at : at + CHUNK_BYTES] for at in range(0, cut, CHUNK_BYTES))
            waiting, size = [whole[cut:]], size - cut
    if size:
        yield b"".join(waiting)


def _zip(_: Zip, chunks: Iterator[bytes], given: _Given) -> Iterator[bytes]:
    is_large = not given.is_first or given.entry.size_bytes >= _LARGE_BYTES
    return zip_one(chunks, name=given.name, mtime_ns=given.entry.mtime_ns, is_large=is_large)


_STEPS: Final[Mapping[type[Step], Callable[[Any, Iterator[bytes], _Given], Iterator[bytes]]]] = {
    Gzip: lambda step, chunks, _: gzip(chunks, level=step.level),
    Gunzip: lambda step, chunks, _: gunzip(chunks, most_bytes=step.most_bytes),
    Zip: _zip,
    Unzip: lambda step, chunks, _: unzip_one(chunks, most_bytes=step.most_bytes),
}
