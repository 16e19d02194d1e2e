"""Read who may sign, and which keys are revoked, in OpenSSH's own format (ssh-keygen(1), ALLOWED SIGNERS).

``trust/allowed_signers`` and ``trust/revoked_keys`` hold SSH keys, as OpenSSH has them. ``trust/gpg_signers`` and
``trust/gpg_revoked_keys`` have lines of the same form with GPG keys, of which OpenSSH knows nothing.

Stricter than OpenSSH in what could be read in more than one way: a time names its zone, and the authority of
certificates, which would admit keys that the file does not hold, is a problem.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from mftgit.model.documents.compose import UNWELCOME, name_character
from mftgit.model.documents.document import MAX_SIZE_BYTES, too_large
from mftgit.model.documents.problem import Problem
from mftgit.model.keys.openpgp import KIND, GpgKey, read_gpg_key_text
from mftgit.model.keys.ssh_key import PublicKey, read_key_text

NAMESPACE: Final = "git"
"""What git signs for."""
RULE: Final = "trust"

Key = PublicKey | GpgKey

_T = TypeVar("_T")
_WORD: Final = re.compile(r"[^ \t]+")
PRINCIPALS: Final = re.compile(r'"([^"]*)"(?=[ \t])|([^ \t"]+)(?=[ \t])')
_OPTIONS: Final = re.compile(r'(?:\\"|"(?:\\"|[^"])*"|[^ \t"])+')
_OPTION: Final = re.compile(r'([A-Za-z-]+)(?:="((?:\\"|[^"])*)")?(?:,(?=.)|$)')
_TIME: Final = re.compile(r"([0-9]+)(?:Z|UTC)", re.IGNORECASE)
_TIMES: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_KEY_KINDS: Final = ("ssh-", "ecdsa-", "sk-", KIND)
_VALUED: Final = ("namespaces", "valid-after", "valid-before")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """One line: a key, and whose it is.

    ``principals`` and ``namespaces`` are patterns; no namespaces are all of them. The times are seconds of the Unix
    epoch, and both belong to the window.
    """

    line: int
    principals: tuple[str, ...]
    key: Key
    namespaces: tuple[str, ...] = ()
    valid_after: int | None = None
    valid_before: int | None = None

    @property
    def signs_commits(self) -> bool:
        """Tell whether the key may be used for what git signs."""
        return not self.namespaces or _matches(NAMESPACE, self.namespaces)


class _BadLineError(Exception):
    """What is wrong with a line; ``at`` counts from 0."""

    def __init__(self, at: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.at, self.hint = at, hint


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How keys stand in a file."""

    read: Callable[[str, str], Key]
    hint: str


_SSH: Final = _Form(
    read=read_key_text, hint="copy the one line of the .pub file: ssh-ed25519 AAAA…"
)
_GPG: Final = _Form(
    read=read_gpg_key_text, hint=f"have it written: mftgit trust add NAME FILE; or: {KIND} mDME…"
)


def read_signers(
    file: str, data: bytes, form: _Form = _SSH
) -> tuple[tuple[Signer, ...], tuple[Problem, ...]]:
    """Return who may sign, and the problems of ``file``; while it has any, it is not to be relied on."""
    return _read(file, data, partial(_signer, form))


def read_revoked(
    file: str, data: bytes, form: _Form = _SSH
) -> tuple[tuple[Key, ...], tuple[Problem, ...]]:
    """Return the keys that never count, and the problems of ``file``; while it has any, it is not to be relied on."""
    return _read(file, data, lambda _number, line, at: _key(form, line, at))


read_gpg_signers: Final = partial(read_signers, form=_GPG)
read_gpg_revoked: Final = partial(read_revoked, form=_GPG)


def _read(
    file: str, data: bytes, read_line: Callable[[int, str, int], _T]
) -> tuple[tuple[_T, ...], tuple[Problem, ...]]:
    if len(data) > MAX_SIZE_BYTES:
        return (), (_problem(file, too_large(len(data)).message, "remove what is not needed"),)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return (), (_problem(file, f"the byte 0x{data[error.start]:02x} is not UTF-8", "mend it"),)
    found: list[_T] = []
    problems: list[Problem] = []
    for number, line, at in _lines(text):
        try:
            _check_characters(line)
            found.append(read_line(number, line, at))
        except _BadLineError as bad:
            problems.append(_problem(file, str(bad), bad.hint, number, bad.at + 1))
    return tuple(found), tuple(problems)


def _lines(text: str) -> Iterator[tuple[int, str, int]]:
    """Give number and text of every line that says something, and where it begins to."""
    for number, whole in enumerate(text.split("\n"), 1):
        line = whole.removesuffix("\r")
        at = _skip(line, 0)
        if at < len(line) and line[at] != "#":
            yield number, line, at


def _check_characters(line: str) -> None:
    if found := UNWELCOME.search(line):
        raise _BadLineError(
            found.start(), f"the line holds {name_character(found.group())}", "remove it"
        )


def _signer(form: _Form, number: int, line: str, at: int) -> Signer:
    match = PRINCIPALS.match(line, at)
    if match is None:
        raise _BadLineError(
            at,
            "the line is not whole, or has a quote astray",
            'write: alice@example.org namespaces="git" ssh-ed25519 AAAA…',
        )
    principals = tuple(filter(None, (match[1] or match[2] or "").split(",")))
    if all(name.startswith("!") for name in principals):
        raise _BadLineError(at, "the principals name nobody", "name who the key belongs to")
    at = _skip(line, match.end())
    options: dict[str, str] = {}
    if not _word(line, at).startswith(_KEY_KINDS):
        options, at = _options(line, at)
    return Signer(
        line=number,
        principals=principals,
        key=_key(form, line, at),
        namespaces=tuple(options["namespaces"].split(",")) if "namespaces" in options else (),
        valid_after=_time(options, "valid-after", line),
        valid_before=_time(options, "valid-before", line),
    )


def _options(line: str, at: int) -> tuple[dict[str, str], int]:
    """Return the options that stand at ``at``, and where the key begins."""
    whole = _OPTIONS.match(line, at)
    end = at if whole is None else whole.end()
    found: dict[str, str] = {}
    while at < end:
        match = _OPTION.match(line[:end], at)
        name = _word(line[:end], at) if match is None else match[1].lower()
        if name == "cert-authority":
            raise _BadLineError(
                at,
                "cert-authority is not taken: it would admit keys that this file does not hold",
                "give each signer's own key a line",
            )
        if match is None or match[2] is None or name not in _VALUED:
            raise _BadLineError(
                at,
                f"{name!r} is no option that is known here",
                'known are namespaces="…", valid-after="…" and valid-before="…", with commas between them',
            )
        if name in found:
            raise _BadLineError(at, f"the option {name} is here twice", "keep one of them")
        found[name] = match[2].replace('\\"', '"')
        at = match.end()
    return found, _skip(line, end)


def _time(options: dict[str, str], name: str, line: str) -> int | None:
    if name not in options:
        return None
    match = _TIME.fullmatch(options[name])
    form = _TIMES.get(len(match[1])) if match else None
    try:
        if match and form:
            return int(datetime.strptime(match[1], form).replace(tzinfo=UTC).timestamp())
    except ValueError:
        pass
    raise _BadLineError(
        line.lower().index(name),
        f"{name}={options[name]!r} is not a time with its zone",
        "write it in UTC: 20260131Z, 202601311200Z or 20260131120000Z; "
        "without a zone each machine would read it in its own",
    )


def _key(form: _Form, line: str, at: int) -> Key:
    kind = _word(line, at)
    text = _skip(line, at + len(kind))
    try:
        return form.read(kind, _word(line, text))
    except ValueError as error:
        raise _BadLineError(at, f"this is no public key: {error}", form.hint) from None


def _word(line: str, at: int) -> str:
    match = _WORD.match(line, at)
    return match[0] if match else ""


def _skip(line: str, at: int) -> int:
    return len(line) - len(line[at:].lstrip(" \t"))


def _matches(text: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a pattern matches and none that begins with ``!`` does, as ssh_config(5) has it."""
    hit = {each[:1] != "!" for each in patterns if _like(text, each.removeprefix("!"))}
    return hit == {True}


def _like(text: str, pattern: str) -> bool:
    wild = {"*": ".*", "?": "."}
    runs = re.sub(r"\*+", "*", pattern)
    return re.fullmatch("".join(wild.get(each, re.escape(each)) for each in runs), text) is not None


def _problem(file: str, message: str, hint: str, line: int = 0, column: int = 0) -> Problem:
    return Problem(file=file, line=line, column=column, rule=RULE, message=message, hint=hint)
