"""Typed values as what JSON can write, and back: by the types of a dataclass's fields, and by nothing else."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from mftgit.model.secret_value import SecretValue

_T = TypeVar("_T")


def to_plain(value: Any) -> Any:
    """Return ``value`` as dicts, lists, texts, numbers and None.

    Secrets are revealed: what it returns is for no file and no log.
    """
    match value:
        case SecretValue():
            plain: Any = value.reveal()
        case Enum():
            plain = value.value
        case datetime():
            plain = value.isoformat()
        case Mapping():
            plain = {to_plain(key): to_plain(each) for key, each in value.items()}
        case frozenset():
            plain = sorted(to_plain(each) for each in value)
        case tuple():
            plain = [to_plain(each) for each in value]
        case _ if is_dataclass(value):
            plain = {each.name: to_plain(getattr(value, each.name)) for each in fields(value)}
        case _:
            plain = value
    return plain


def from_plain(kind: type[_T], value: Any) -> _T:
    """Return the value of ``kind`` that `to_plain` gave ``value`` for; unknown fields are passed over.

    Raises:
        ValueError: it is not of that shape; no message holds any of it.
    """
    try:
        made: _T = _typed(kind, value)
    except (TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(f"not a {kind.__name__}") from None
    return made


def _typed(kind: Any, value: Any) -> Any:
    if isinstance(kind, NewType):
        return _typed(kind.__supertype__, value)
    origin = get_origin(kind)
    if origin in {Union, UnionType}:
        return _either(kind, value)
    if origin is not None:
        return _collection(origin, get_args(kind), value)
    return _fields(kind, value) if is_dataclass(kind) else _single(kind, value)


def _single(kind: Any, value: Any) -> Any:
    if kind is SecretValue:
        return _secret(value)
    if kind is datetime:
        return datetime.fromisoformat(value)
    if issubclass(kind, Enum):
        return _member(kind, value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"not a {kind.__name__}")
    return value


def _either(kind: Any, value: Any) -> Any:
    """Return what may be None; there are no other unions."""
    if value is None:
        return None
    (other,) = (each for each in get_args(kind) if each is not NoneType)
    return _typed(other, value)


def _collection(origin: Any, of: tuple[Any, ...], value: Any) -> Any:
    if issubclass(origin, Mapping):
        return {_typed(of[0], key): _typed(of[1], each) for key, each in value.items()}
    if not isinstance(value, list):
        raise ValueError("not a list")  # noqa: TRY004  the content is wrong
    return origin(_typed(of[0], each) for each in value)


def _fields(kind: Any, value: Any) -> Any:
    known = _hints(kind)
    return kind(
        **{name: _typed(known[name], each) for name, each in value.items() if name in known}
    )


def _secret(value: Any) -> SecretValue:
    try:
        return SecretValue(value)
    except ValueError:
        raise ValueError("not a secret") from None


def _member(kind: type[Enum], value: Any) -> Enum:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"not a {kind.__name__}") from None


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return get_type_hints(kind)
