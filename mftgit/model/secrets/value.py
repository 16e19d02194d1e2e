"""The value of a secret: masked wherever it is shown, and bound to the place that it was encrypted for."""

import json
from typing import Any, Final, NoReturn, Self

MAX_VALUE_BYTES: Final = 64 * 1024

_MAX_ENVELOPE_BYTES: Final = 8 * MAX_VALUE_BYTES  # JSON writes a control character with six
_VERSION: Final = 1
_FIELD: Final = "value"


class SecretValue:
    """A password or a private key in memory. It compares by value, and only `reveal` tells it.

    No dataclass, so that nothing that goes through the fields of dataclasses comes upon it.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Hold ``text``.

        Raises:
            ValueError: it is empty, longer than `MAX_VALUE_BYTES`, or holds what UTF-8 cannot write.
        """
        wrong = _wrong_text(text)
        if wrong is not None:
            raise ValueError(wrong)
        self._text = text

    def reveal(self) -> str:
        """Return the value itself, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "SecretValue(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretValue) and self._text == other.reveal()

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not to be written anywhere")


def wrap(path: str, value: SecretValue) -> bytes:
    """Return what is encrypted for the document at ``path``: age itself binds a text to no place."""
    envelope = {"v": _VERSION, "path": path, "field": _FIELD, "value": value.reveal()}
    return json.dumps(envelope, ensure_ascii=False).encode()


def unwrap(path: str, content: bytes) -> SecretValue:
    """Return the value that was encrypted for the document at ``path``.

    Raises:
        ValueError: it was encrypted for another one, or by something else; no message holds any of it.
    """
    envelope = _parse(content)
    if envelope is None or envelope.get("v") != _VERSION:
        raise ValueError("it was not encrypted by `mftgit secret`")
    if (envelope.get("path"), envelope.get("field")) != (path, _FIELD):
        raise ValueError("it was encrypted for another document, and moved or copied here")
    text = envelope.get("value")
    if not isinstance(text, str):
        raise ValueError("it was not encrypted by `mftgit secret`")  # noqa: TRY004  the content is wrong
    return SecretValue(text)


def _parse(content: bytes) -> dict[str, Any] | None:
    """Return the envelope; None, and no error that would hold the content, where it is none."""
    if len(content) > _MAX_ENVELOPE_BYTES:
        return None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _wrong_text(text: str) -> str | None:
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        return "it is not text in UTF-8"
    if not text.strip():
        return "it is empty: a password or a private key was expected"
    if size_bytes > MAX_VALUE_BYTES:
        return f"it has {size_bytes:,} bytes; a secret has at most {MAX_VALUE_BYTES:,}"
    return None
