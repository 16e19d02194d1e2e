"""Typed values as what JSON can write, and back: by the types of a dataclass's fields, and by nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

from mftgit.model.secrets.value import SecretValue

_T = TypeVar("_T")
_Way = Callable[[Any], Any]

_KIND = "type"


def to_plain(value: Any) -> Any:
    """Return ``value`` as dicts, lists, texts, numbers and None.

    Secrets are revealed: what it returns is for no file and no log.
    """
    kind: Any = type(value)
    return _out(kind)(value)


def from_plain(kind: type[_T], value: Any) -> _T:
    """Return the value of ``kind`` that `to_plain` gave ``value`` for; unknown fields are passed over.

    Raises:
        ValueError: it is not of that shape; no message holds any of it.
    """
    wanted: Any = kind
    try:
        made: _T = _in(wanted)(value)
    except (TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError(f"not a {kind.__name__}") from None
    return made


@cache
def _out(kind: type) -> _Way:
    """Return what makes values of ``kind`` plain."""
    if issubclass(kind, SecretValue):
        way: _Way = SecretValue.reveal
    elif issubclass(kind, Enum):
        way = _value_of
    elif issubclass(kind, datetime):
        way = datetime.isoformat
    elif issubclass(kind, Mapping):
        way = _mapping_out
    elif issubclass(kind, frozenset):
        way = _set_out
    elif issubclass(kind, tuple):
        way = _tuple_out
    elif is_dataclass(kind):
        way = _fields_out(kind)
    else:
        way = _same
    return way


def _value_of(value: Enum) -> Any:
    return value.value


def _mapping_out(value: Mapping[Any, Any]) -> Any:
    return {to_plain(key): to_plain(each) for key, each in value.items()}


def _set_out(value: frozenset[Any]) -> Any:
    return sorted(to_plain(each) for each in value)


def _tuple_out(value: tuple[Any, ...]) -> Any:
    return [to_plain(each) for each in value]


def _fields_out(kind: Any) -> _Way:
    names = tuple(each.name for each in fields(kind))
    told = {_KIND: kind.KIND} if hasattr(kind, "KIND") else {}
    return lambda value: told | {name: to_plain(getattr(value, name)) for name in names}


def _same(value: Any) -> Any:
    return value


@cache
def _in(kind: Any) -> _Way:
    """Return what makes a plain value one of ``kind``."""
    if isinstance(kind, NewType):
        return _in(kind.__supertype__)
    origin = get_origin(kind)
    if origin in {Union, UnionType}:
        return _either(kind)
    if origin is not None:
        return _collection(origin, get_args(kind))
    return _fields_in(kind) if is_dataclass(kind) else _single(kind)


def _single(kind: Any) -> _Way:
    if kind is SecretValue:
        return _secret
    if kind is datetime:
        return datetime.fromisoformat
    if issubclass(kind, Enum):
        return _member(kind)

    def single(value: Any) -> Any:
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise ValueError(f"not a {kind.__name__}")
        return value

    return single


def _either(kind: Any) -> _Way:
    """Return what makes what may be None, or one of several dataclasses that have a ``KIND``."""
    others = [each for each in get_args(kind) if each is not NoneType]
    if len(others) == 1:
        other = _in(others[0])
        return lambda value: None if value is None else other(value)
    ways = {each.KIND: _in(each) for each in others}
    return lambda value: ways[value[_KIND]](value)


def _collection(origin: Any, of: tuple[Any, ...]) -> _Way:
    if issubclass(origin, Mapping):
        key_in, each_in = _in(of[0]), _in(of[1])
        return lambda value: {key_in(key): each_in(each) for key, each in value.items()}
    one_in = _in(of[0])

    def collection(value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("not a list")  # noqa: TRY004  the content is wrong
        return origin(map(one_in, value))

    return collection


def _fields_in(kind: Any) -> _Way:
    hints = get_type_hints(kind)
    ways = {each.name: _in(hints[each.name]) for each in fields(kind)}

    def made(value: Any) -> Any:
        return kind(**{name: ways[name](each) for name, each in value.items() if name in ways})

    return made


def _secret(value: Any) -> SecretValue:
    try:
        return SecretValue(value)
    except ValueError:
        raise ValueError("not a secret") from None


def _member(kind: type[Enum]) -> _Way:
    def member(value: Any) -> Enum:
        try:
            return kind(value)
        except ValueError:
            raise ValueError(f"not a {kind.__name__}") from None

    return member
