"""What the ``source`` of a transfer may say besides where it is: patterns, markers, and the order of files."""

from dataclasses import dataclass
from enum import Enum, unique
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Regex:
    """A regular expression of RE2 as an item of ``include`` or ``exclude``; a glob is a plain text there."""

    regex: str

    def __str__(self) -> str:
        return f"regex {self.regex}"


Pattern = str | Regex


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """A file is taken only when its marker is there: its name and ``suffix``, or that in the place of its ending."""

    suffix: str
    replaces: bool = False

    def is_marker(self, path: str) -> bool:
        """Tell whether ``path`` is called like a marker, and is never sent therefore."""
        return path.endswith(self.suffix)

    def of(self, path: str) -> str:
        """Return the path of the marker that stands for the file ``path``."""
        if not self.replaces:
            return path + self.suffix
        whole = PurePosixPath(path)
        return str(whole.with_name(whole.stem + self.suffix))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """Beside a file there is its digest, under its name and ``suffix``; with ``required`` it is taken only then."""

    suffix: str = ".sha256"
    required: bool = True

    def is_checksum(self, path: str) -> bool:
        """Tell whether ``path`` is called like a checksum file, and is never sent therefore."""
        return path.endswith(self.suffix)

    def of(self, path: str) -> str:
        """Return the path of the checksum file of the file ``path``."""
        return path + self.suffix


@unique
class Order(Enum):
    """By what the files of one run are ordered; equal ones go by their path."""

    NAME = "name"
    TIME = "time"
    SIZE = "size"
