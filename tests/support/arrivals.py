"""What was put out for transfers, and what of it arrived: lost, repeated or torn."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Arrivals:
    """What was put out, and what arrived: ``got`` has (transfer, name, digest), in order."""

    sent: dict[tuple[str, str], str] = field(default_factory=dict)
    got: list[tuple[str, str, str]] = field(default_factory=list)

    def forget(self) -> None:
        """Begin anew, as after files were repeated on purpose."""
        self.sent.clear()
        self.got.clear()

    def counted(self) -> Counter[tuple[str, str]]:
        return Counter((transfer, name) for transfer, name, _ in self.got)

    def lost(self) -> list[tuple[str, str]]:
        return sorted(self.sent.keys() - self.counted().keys())

    def repeated(self) -> dict[tuple[str, str], int]:
        return {file: count for file, count in self.counted().items() if count > 1}

    def torn(self) -> list[tuple[str, str]]:
        """Return what arrived with another content than it was put out with, or was never put out."""
        return [
            (transfer, name)
            for transfer, name, digest in self.got
            if self.sent.get((transfer, name)) != digest
        ]
