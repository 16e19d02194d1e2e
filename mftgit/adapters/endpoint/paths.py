"""The paths that every endpoint takes: relative, with ``/``, and never out of the location."""

from functools import lru_cache

from mftgit.adapters.endpoint.contract import EndpointRefusedError

RESERVED = ".mftgit"
"""Names that start so are the cluster's own and are never listed as files."""


@lru_cache(maxsize=4096)  # a file's paths are asked for again at each step
def parts_inside(path: str) -> tuple[str, ...]:
    """Split ``path`` at ``/``, without empty parts and ``.``.

    Raises:
        EndpointRefusedError: it is absolute, holds ``..`` or a NUL, or cannot be written as bytes.
    """
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise EndpointRefusedError(
            f"path {path!r} leaves its location: use a path below it, without '..' and NUL"
        )
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise EndpointRefusedError(
            f"path {path!r} has a character that no name can hold"
        ) from error
    return parts


def folder_and_name(path: str) -> tuple[tuple[str, ...], str]:
    """Split ``path`` into the parts of its folder and its last part; errors are those of `parts_inside`."""
    parts = parts_inside(path)
    if not parts:
        raise EndpointRefusedError(
            f"path {path!r} is the location itself: name a file or folder below it"
        )
    return parts[:-1], parts[-1]


def require_length(what: str, size_bytes: int, offset: int) -> None:
    """Raise `EndpointRefusedError` where ``what`` has fewer bytes than ``offset``, where it is to be gone on with."""
    if size_bytes < offset:
        raise EndpointRefusedError(
            f"{what} has {size_bytes} bytes, and was to be gone on with at {offset}: see what cuts files short there"
        )
