"""Where the bars of a chart are drawn, in the units of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mftgit.model.amounts import format_bytes
from mftgit.model.monitoring.volume import Bar

WIDTH: Final = 720
HEIGHT: Final = 120
_GAP: Final = 0.2
_LEAST: Final = 1.5  # so that a little is not taken for nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One bar: a rectangle, and what it says."""

    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart of one thing; ``top`` is what a bar of full height means."""

    title: str
    top: str
    first: str
    last: str
    bars: tuple[Drawn, ...]


def draw_volume(bars: Sequence[Bar]) -> Chart:
    """Draw how many bytes were moved."""
    return _draw(
        "Volume",
        bars,
        [each.amount.size_bytes for each in bars],
        [f"{format_bytes(each.amount.size_bytes)} in {each.amount.files} files" for each in bars],
        format_bytes(max((each.amount.size_bytes for each in bars), default=0)),
    )


def draw_failures(bars: Sequence[Bar]) -> Chart:
    """Draw how often something failed."""
    values = [each.amount.failures for each in bars]
    return _draw(
        "Failures",
        bars,
        values,
        [f"{value} failed" for value in values],
        str(max(values, default=0)),
    )


def _draw(
    title: str, bars: Sequence[Bar], values: Sequence[int], words: Sequence[str], top: str
) -> Chart:
    most, width = max(values, default=0) or 1, WIDTH / max(1, len(bars))
    drawn = []
    for at, (bar, value, said) in enumerate(zip(bars, values, words, strict=True)):
        height = max(_LEAST, value / most * HEIGHT) if value else 0.0
        drawn.append(
            Drawn(
                x=round(at * width + width * _GAP / 2, 2),
                y=round(HEIGHT - height, 2),
                width=round(width * (1 - _GAP), 2),
                height=round(height, 2),
                words=f"{bar.since}: {said}",
            )
        )
    return Chart(
        title=title,
        top=top,
        first=bars[0].since if bars else "",
        last=bars[-1].since if bars else "",
        bars=tuple(drawn),
    )
