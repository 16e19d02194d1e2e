"""Read JSON (RFC 8259) strictly, with the place of every value, without recursion."""

import json
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NoReturn

from mftgit.model.documents.compose import Composer
from mftgit.model.documents.json_value import Place, read_float, read_integer

_TOKEN = re.compile(
    r"[ \t\n\r]*+(?:"
    r"(?P<mark>[{}\[\],:])"
    r'|(?P<string>"(?:[^"\\\x00-\x1f]++|\\.)*+")'
    r"|(?P<float>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++(?:[eE][+-]?[0-9]++)?|[eE][+-]?[0-9]++))"
    r"|(?P<integer>-?(?:0|[1-9][0-9]*+))(?![0-9A-Za-z.])"
    r"|(?P<word>true|false|null)\b"
    r"|(?P<end>\Z)"
    r")"
)
_SPACE = re.compile(r"[ \t\n\r]*+")
_WORDS = {"true": True, "false": False, "null": None}


class _Want(Enum):
    """What may come next."""

    VALUE = auto()
    VALUE_OR_END = auto()
    KEY = auto()
    KEY_OR_END = auto()
    COLON = auto()
    COMMA_OR_END = auto()
    NOTHING = auto()


_EXPECTED = {
    _Want.VALUE: "a value",
    _Want.VALUE_OR_END: "a value or ]",
    _Want.KEY: "a key in double quotes",
    _Want.KEY_OR_END: "a key in double quotes or }",
    _Want.COLON: "a colon",
    _Want.COMMA_OR_END: "a comma or the end of the mapping or list",
    _Want.NOTHING: "the end of the file",
}
_ENDS = {"}": (_Want.KEY_OR_END, _Want.COMMA_OR_END), "]": (_Want.VALUE_OR_END, _Want.COMMA_OR_END)}


def read_json(text: str, composer: Composer) -> None:
    """Hand every piece of ``text`` to ``composer``.

    Raises:
        GivenUpError: it is no JSON, or beyond the bounds; the reason is among the composer's problems.
    """
    _Reader(text, composer).run()


@dataclass(slots=True)
class _Reader:
    text: str
    composer: Composer
    want: _Want = _Want.VALUE
    offset: int = 0
    open_marks: list[str] = field(default_factory=list)
    line_ends: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.line_ends = [found.start() for found in re.finditer("\n", self.text)]

    def run(self) -> None:
        while True:
            token = _TOKEN.match(self.text, self.offset)
            if token is None or token.lastgroup is None:
                self._unexpected(_SPACE.match(self.text, self.offset))
            if token.lastgroup == "end" and self.want is _Want.NOTHING:
                return
            self._take(token, token.lastgroup)
            self.offset = token.end()

    def _place(self, offset: int) -> Place:
        line = bisect_left(self.line_ends, offset)
        return Place(line + 1, offset - (self.line_ends[line - 1] if line else -1))

    def _unexpected(self, token: re.Match[str] | None) -> NoReturn:
        offset = (
            self.offset if token is None else token.end() - len(token.group().lstrip(" \t\n\r"))
        )
        self.composer.give_up(
            self._place(offset),
            "syntax",
            f"not JSON: expected {_EXPECTED[self.want]}",
            "see json.org",
        )

    def _take(self, token: re.Match[str], group: str) -> None:
        text = token[group]
        if text in _ENDS and self.want in _ENDS[text] and self._closes(text):
            self._close()
        elif text in {",", ":"}:
            self._separate(token)
        elif self.want in {_Want.KEY, _Want.KEY_OR_END}:
            self._key(token)
        elif self.want in {_Want.VALUE, _Want.VALUE_OR_END}:
            self._value(token, group)
        else:
            self._unexpected(token)

    def _closes(self, mark: str) -> bool:
        return self.open_marks[-1:] == [{"}": "{", "]": "["}[mark]]

    def _close(self) -> None:
        self.open_marks.pop()
        self.composer.close()
        self._value_done()

    def _value_done(self) -> None:
        self.want = _Want.COMMA_OR_END if self.open_marks else _Want.NOTHING

    def _separate(self, token: re.Match[str]) -> None:
        if token["mark"] == ":" and self.want is _Want.COLON:
            self.want = _Want.VALUE
        elif token["mark"] == "," and self.want is _Want.COMMA_OR_END:
            self.want = _Want.KEY if self.open_marks[-1] == "{" else _Want.VALUE
        else:
            self._unexpected(token)

    def _key(self, token: re.Match[str]) -> None:
        if token["string"] is None:
            self._unexpected(token)
        self._string(token)
        self.want = _Want.COLON

    def _value(self, token: re.Match[str], group: str) -> None:
        place = self._place(token.start(group))
        if group == "mark":
            self._open(token, place)
            return
        if group == "string":
            self._string(token)
        elif group == "word":
            self.composer.scalar(_WORDS[token["word"]], place)
        elif group == "end":
            self._unexpected(token)
        else:
            self._number(token, group, place)
        self._value_done()

    def _open(self, token: re.Match[str], place: Place) -> None:
        mark = token["mark"]
        if mark == "{":
            self.composer.open_mapping(place)
            self.want = _Want.KEY_OR_END
        elif mark == "[":
            self.composer.open_sequence(place)
            self.want = _Want.VALUE_OR_END
        else:
            self._unexpected(token)
        self.open_marks.append(mark)

    def _string(self, token: re.Match[str]) -> None:
        place = self._place(token.start("string"))
        try:
            value = json.loads(token["string"])
        except ValueError:
            self.composer.report(
                place,
                "syntax",
                "the text holds an escape that JSON does not know",
                "write a backslash as \\\\",
            )
            self.composer.skip(place)
        else:
            self.composer.scalar(value, place)

    def _number(self, token: re.Match[str], group: str, place: Place) -> None:
        text = token[group]
        number = read_integer(text) if group == "integer" else read_float(text)
        if number is None:
            self.composer.report(
                place, "number", "the number is too large", "use a smaller number or a text"
            )
            self.composer.skip(place)
        else:
            self.composer.scalar(number, place)
