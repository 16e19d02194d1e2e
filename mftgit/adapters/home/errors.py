"""What an error of the operating system means to an account; no message tells the machine's own paths."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from mftgit.adapters.home.contract import HomeError, Refusal

# What each errno means for a client; one that is not named is a failure.
_MEANING = {
    errno.ENOENT: Refusal.MISSING,
    errno.ENOTDIR: Refusal.NOT_FOLDER,
    errno.ELOOP: Refusal.NOT_FILE,
    errno.ENXIO: Refusal.NOT_FILE,
    errno.EEXIST: Refusal.EXISTS,
    errno.ENOTEMPTY: Refusal.NOT_EMPTY,
    errno.EISDIR: Refusal.IS_FOLDER,
    errno.EACCES: Refusal.DENIED,
    errno.EPERM: Refusal.DENIED,
    errno.EROFS: Refusal.DENIED,
    errno.ENOSPC: Refusal.FULL,
    errno.EDQUOT: Refusal.FULL,
    errno.EFBIG: Refusal.TOO_LARGE,
    errno.ENAMETOOLONG: Refusal.BAD_NAME,
    errno.EILSEQ: Refusal.BAD_NAME,
    errno.EXDEV: Refusal.ACROSS,
    errno.EBUSY: Refusal.BUSY,
    errno.ESTALE: Refusal.BUSY,  # another machine has put something else there
    errno.EMFILE: Refusal.BUSY,
    errno.ENFILE: Refusal.BUSY,
    errno.EOPNOTSUPP: Refusal.UNSUPPORTED,
}


def meaning(error: OSError, path: str) -> HomeError:
    """Return what ``error`` is for the client that asked for ``path``, the account's own."""
    number = error.errno or 0
    said = os.strerror(number) if number else "it failed"
    return HomeError(_MEANING.get(number, Refusal.FAILED), f"{path!r}: {said}")


@contextmanager
def telling(path: str) -> Iterator[None]:
    """Turn an `OSError` of the body into the `HomeError` that it means."""
    try:
        yield
    except OSError as error:
        raise meaning(error, path) from error
