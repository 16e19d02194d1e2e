"""What browsers are given besides what is made for them: styles and scripts."""

from importlib.resources import files


def read_page_part(name: str) -> bytes:
    """Return the file ``name`` of this folder."""
    return (files("mftgit.pages") / name).read_bytes()
