"""What is wrong with a document by itself, beyond what its schema says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong, and which field of the document says so."""

    pointer: str
    rule: str
    message: str
    hint: str
