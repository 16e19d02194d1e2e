"""What browsers are given besides what is made for them: styles and scripts, and the templates of the Web Manager."""

from importlib.resources import files


def read_page_part(name: str) -> bytes:
    """Return the file ``name`` of this folder, as ``files.css`` or ``manager/manager.css``."""
    return files("mftgit.pages").joinpath(*name.split("/")).read_bytes()


def list_page_parts(folder: str) -> tuple[str, ...]:
    """Return the names of the files in ``folder``."""
    return tuple(sorted(each.name for each in files("mftgit.pages").joinpath(folder).iterdir()))
