"""One finding of validation, and how it is told to a person."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """What is wrong, where, by which rule, and a way out.

    ``line`` and ``column`` count from 1; 0 means the file as a whole. ``pointer`` is a JSON pointer
    (RFC 6901) into the document; empty means the document as a whole.
    """

    file: str
    line: int = 0
    column: int = 0
    pointer: str = ""
    rule: str
    message: str
    hint: str = ""

    def as_json(self) -> Mapping[str, str | int]:
        """Return the shape that ``validate --json`` documents."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "pointer": self.pointer,
            "rule": self.rule,
            "message": self.message,
            "hint": self.hint,
        }


def format_problem(problem: Problem) -> str:
    """Return ``problem`` as one or two lines, in the ``file:line:column: message`` form that editors know."""
    where = problem.file
    if problem.line:
        where += f":{problem.line}:{problem.column}"
    at = f" at {problem.pointer}" if problem.pointer else ""
    text = f"{where}: {problem.message}{at} [{problem.rule}]"
    return f"{text}\n  -> {problem.hint}" if problem.hint else text


def format_problems(problems: Iterable[Problem]) -> str:
    """Return every problem, in the order of file and line."""
    return "\n".join(format_problem(problem) for problem in sorted(problems))
