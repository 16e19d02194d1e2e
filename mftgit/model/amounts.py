"""Sizes, rates and spans of time as people read them: three digits that count, in powers of 1,000."""

from typing import Final

_PREFIXES: Final = ("", "k", "M", "G", "T", "P", "E")
_STEP: Final = 1000
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def format_bytes(size_bytes: float) -> str:
    """Return ``17 B``, ``1.23 kB``, ``45.6 MB`` or ``789 GB``; what is beyond exabytes stays in these."""
    value, place = float(size_bytes), 0
    # 999.5 would be written as 1000 of its unit.
    while round(value) >= _STEP and place < len(_PREFIXES) - 1:
        value, place = value / _STEP, place + 1
    digits = 0 if place == 0 or value >= 99.95 else 1 if value >= 9.995 else 2  # noqa: PLR2004  three digits
    return f"{value:.{digits}f} {_PREFIXES[place]}B"


def format_rate(bytes_per_s: float | None) -> str:
    """Return ``1.23 MB/s``; ``-`` where it is not known."""
    return "-" if bytes_per_s is None else f"{format_bytes(bytes_per_s)}/s"


def format_span(seconds: float | None) -> str:
    """Return ``0.25 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min`` or ``4 d 3 h``; ``-`` where it is not known."""
    if seconds is None:
        return "-"
    if seconds < 10:  # noqa: PLR2004  seconds with a fraction that tells something
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
