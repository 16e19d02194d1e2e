"""Rewrite the generated parts of the pages in ``docs``: ``python tools/reference.py [--check] [FOLDER]``.

A generated part stands between ``<!-- generated: NAME -->`` and ``<!-- end of NAME -->``, in whatever page. With
``--check`` nothing is written; the exit code is 1 when a page is out of date. Needs mftgit installed, as by
``python3 tools/install.py``.
"""

import argparse
import ast
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from configparser import ConfigParser
from enum import Enum
from inspect import cleandoc
from pathlib import Path
from typing import Any, cast

import click
from click.testing import CliRunner

from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.main import mftgit
from mftgit.controller.web.doors import ApiDoor, StreamDoor
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.site import all_doors
from mftgit.model.events.kinds import KINDS, Group, Severity
from mftgit.model.members.activation import NEXT
from mftgit.model.members.record import Stage
from mftgit.model.monitoring.metrics import METRICS
from mftgit.model.transfers.run import NEXT_DELIVERY, NEXT_RUN, DeliveryState, RunState
from mftgit.resources import load_schemas

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 80
PART = re.compile(
    r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end of (?P=name) -->)", re.DOTALL
)
OUTPUT = "output-"

Move = tuple[Enum, str, Enum]
"""From, by what, to."""


def main() -> None:
    """Rewrite the pages, or tell which ones are out of date."""
    parser = argparse.ArgumentParser(description="Rewrite the generated parts of the pages.")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail when out of date"
    )
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs")
    arguments = parser.parse_args()
    stale = []
    for page in sorted(arguments.folder.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        fresh = refresh(text, page)
        if fresh != text:
            stale.append(page)
            if not arguments.check:
                page.write_text(fresh, encoding="utf-8")
    for page in stale:
        print(f"{page}: {'out of date' if arguments.check else 'rewritten'}")
    if stale and arguments.check:
        sys.exit("bring them up to date with: python tools/reference.py")


def refresh(text: str, page: Path) -> str:
    """Return ``text``, which is that of ``page``, with its generated parts as they have to be."""
    return PART.sub(lambda found: found[1] + render(found["name"], page) + found[3], text)


def render(name: str, page: Path) -> str:
    """Return the part ``name``, which ends with an empty line."""
    if name not in PARTS:
        sys.exit(f"{page}: there is no part {name!r}; known are {', '.join(sorted(PARTS))}")
    return "\n" + "\n".join(PARTS[name](page)).rstrip() + "\n\n"


# Diagrams, from the tables in the code


def state_diagram(moves: Iterable[Move], first: Enum, order: type[Enum]) -> Iterator[str]:
    """Give a Mermaid diagram of ``moves`` that begins in ``first``; a state without a way out is an end."""
    places = {state: place for place, state in enumerate(order)}
    table = sorted(moves, key=lambda move: (places[move[0]], places[move[2]], move[1]))
    name = {state: state.value.replace(" ", "_") for state in order}
    yield from ("```mermaid", "stateDiagram-v2")
    yield from (f'    state "{each.value}" as {name[each]}' for each in order if " " in each.value)
    yield f"    [*] --> {name[first]}"
    for before, step, after in table:
        yield f"    {name[before]} --> {name[after]}: {step}"
    ways_out = {before for before, _, _ in table}
    for state in order:
        if state not in ways_out:
            yield f"    {name[state]} --> [*]"
    yield "```"


def activation(_page: Path) -> Iterator[str]:
    """Draw what becomes of a revision on a member."""
    moves = ((before, move.value, after) for (before, move), after in NEXT.items())
    return state_diagram(moves, Stage.NONE, Stage)


def delivery(_page: Path) -> Iterator[str]:
    """Draw what becomes of one file."""
    moves = ((before, step.value, after) for (before, step), after in NEXT_DELIVERY.items())
    return state_diagram(moves, DeliveryState.SEEN, DeliveryState)


def run(_page: Path) -> Iterator[str]:
    """Draw what becomes of one run."""
    moves = ((before, step.value, after) for (before, step), after in NEXT_RUN.items())
    return state_diagram(moves, RunState.PENDING, RunState)


def layers(_page: Path) -> Iterator[str]:
    """Draw the layers as import-linter holds them."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    rows = setup["importlinter:contract:layers"]["layers"].split("\n")
    names = [row.strip() for row in rows if row.strip()]
    yield from ("```mermaid", "flowchart TD")
    for place, name in enumerate(names):
        yield f'    layer{place}["{name.replace("|", "·")}"]'
    for place in range(len(names) - 1):
        yield f"    layer{place} --> layer{place + 1}"
    yield "```"


# Tables


def packages(_page: Path) -> Iterator[str]:
    """List the folders of the code, and what each is for."""
    yield "| folder | what it is for |"
    yield "|---|---|"
    root = ROOT / "mftgit"
    for folder in sorted(path.parent for path in root.rglob("__init__.py") if path.parent != root):
        said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        place = folder.relative_to(root).as_posix()
        yield f"| `{place}` | {(said or '').splitlines()[0].replace('``', '`')} |"


def state_folder(_page: Path) -> Iterator[str]:
    """List what lies in a state folder, from the class that knows."""
    folder = StateFolder(Path("DIR"))
    yield from ("| in `DIR` | |", "|---|---|")
    for name, value in vars(StateFolder).items():
        if isinstance(value, property) and isinstance(path := getattr(folder, name), Path):
            yield f"| `{path.relative_to('DIR')}` | {cleandoc(value.__doc__ or '').rstrip('.')} |"


def decisions(page: Path) -> Iterator[str]:
    """List the decisions beside ``page``, by their first lines."""
    for file in sorted(page.parent.glob("[0-9]*.md")):
        title = file.read_text(encoding="utf-8").partition("\n")[0]
        yield f"- [{title.lstrip('# ')}]({file.name})"


def metrics(_page: Path) -> Iterator[str]:
    """List every metric, as the code has it."""
    yield from ("| metric | kind | labels | |", "|---|---|---|---|")
    for each in METRICS:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        where = "; on the controller only" if each.only_on_controller else ""
        yield f"| `{each.name}` | {each.kind.value} | {labels} | {each.meaning}{where} |"


def event_kinds(_page: Path) -> Iterator[str]:
    """List the events by what they belong to and how much they matter."""
    yield from ("| group | severity | events |", "|---|---|---|")
    for group in Group:
        for severity in Severity:
            names = [
                f"`{name.value}`"
                for name, each in KINDS.items()
                if (each.group, each.severity) == (group, severity)
            ]
            if names:
                yield f"| `{group.value}` | `{severity.value}` | {', '.join(names)} |"


# The command line


def commands(
    group: click.Command = mftgit, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Give every command with the words that lead to it, in the order of the help."""
    yield words, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None:
                yield from commands(command, (*words, name))


def command_line(_page: Path) -> Iterator[str]:
    """Give the help of every verb as it is printed in a terminal of 80 columns."""
    for words, _ in commands():
        result = CliRunner().invoke(
            mftgit, [*words, "--help"], prog_name="mftgit", terminal_width=WIDTH
        )
        if result.exit_code != 0:
            sys.exit(f"mftgit {' '.join(words)} --help failed:\n{result.output}")
        yield f"## {' '.join(('mftgit', *words))}\n\n```text"
        yield from (line.rstrip() for line in result.stdout.rstrip().split("\n"))
        yield "```\n"


# The output for scripts


def outputs(_page: Path) -> Iterator[str]:
    """Describe every ``--json`` output by its schema."""
    for name, schema in sorted(load_schemas().items()):
        if not name.startswith(OUTPUT):
            continue
        example = json.dumps(schema["examples"][0], indent=2, ensure_ascii=False)
        file = f"{name}.schema.json"
        yield f"## {schema['title']}\n"
        yield f"{schema['description']} Schema: [{file}](../../schemas/{file}).\n"
        yield from ("| field | type | |", "|---|---|---|")
        yield from (f"| {' | '.join(row)} |" for row in rows(schema, ""))
        yield f"\n```json\n{example}\n```\n"


def rows(schema: Mapping[str, Any], at: str) -> Iterator[tuple[str, str, str]]:
    """Give name, type and meaning of every field below ``schema``, which stands at ``at``."""
    if "items" in schema:
        yield from rows(schema["items"], f"{at}[]")
    for other in schema.get("anyOf", ()):
        yield from rows(other, at)
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        path = f"{at}.{name}".lstrip(".")
        meaning = field.get("description", "") + ("" if name in required else " (may be missing)")
        yield f"`{path}`", kind(field), meaning.replace("|", "\\|").strip()
        yield from rows(field, path)


def kind(field: Mapping[str, Any]) -> str:
    """Return the type of ``field`` in words."""
    if "enum" in field:
        return ", ".join(f"`{each}`" for each in field["enum"])
    if "anyOf" in field:
        return " or ".join(kind(each) for each in field["anyOf"])
    types = field["type"]
    text = types if isinstance(types, str) else " or ".join(types)
    if "minimum" in field:
        text += f", at least {field['minimum']}"
    return text + (f", `{field['pattern']}`" if "pattern" in field else "")


def api(_page: Path) -> Iterator[str]:
    """Tell of each call of the HTTP API."""
    made = all_doors(cast("WebParts", _Anything()))
    calls = (each for each in made if isinstance(each, (ApiDoor, StreamDoor)))
    yield from ("| call | role | | answer |", "|---|---|---|---|")
    for call in sorted(calls, key=lambda each: (each.path, each.method)):
        asked = "".join(f"; `{name}`" for name in sorted(call.query))
        body = "".join(f"; `{name}`" for name in (call.body or {}).get("properties", ()))
        words = call.summary
        words += f" Parameters: {asked[2:]}." if asked else ""
        words += f" Body: {body[2:]}." if body else ""
        answer = call.media_type
        if isinstance(call.answer, str):
            answer = f"[{call.answer}](../../schemas/{call.answer}.schema.json)"
        yield f"| `{call.method} {call.path}` | {call.role.value} | {words} | {answer} |"


class _Anything:
    """Stands for what doors are built from, which is not asked for anything while they are."""

    def __getattr__(self, name: str) -> "_Anything":
        """Return the same."""
        return self


PARTS: Mapping[str, Callable[[Path], Iterator[str]]] = {
    "activation": activation,
    "api": api,
    "command-line": command_line,
    "decisions": decisions,
    "delivery": delivery,
    "event-kinds": event_kinds,
    "layers": layers,
    "metrics": metrics,
    "outputs": outputs,
    "packages": packages,
    "run": run,
    "state-folder": state_folder,
}

if __name__ == "__main__":
    main()
