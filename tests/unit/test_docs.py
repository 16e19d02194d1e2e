"""The docs say what the code says."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mftgit.cli.main import mftgit
from mftgit.model.events.event import EventName
from mftgit.resources import load_schemas

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("sample-config-repo/*.md"),
    ]
    if page.is_file()
]


def verbs(
    group: click.Command = mftgit, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from verbs(command, (*words, name))


VERBS = dict(verbs())


def options(command: click.Command) -> set[str]:
    params = command.get_params(click.Context(command))
    return {name for each in params for name in (*each.opts, *each.secondary_opts)}


def commands_in(text: str) -> list[str]:
    """What a page has people type that calls mftgit, in blocks and within lines; pipes are taken apart."""
    joined = text.replace("\\\n", " ")
    blocks = re.findall(r"^ {4}(.*)$", joined, re.MULTILINE)
    fenced = re.findall(r"^```\w*\n(.*?)^```", joined, re.MULTILINE | re.DOTALL)
    within = re.findall(r"`(mftgit [\w-][^`\n]*)`", joined)
    lines = [*blocks, *"".join(fenced).splitlines(), *within]
    parts = (part.strip() for line in lines for part in re.split(r" \| | && |; ", line))
    before = r"(?:sudo (?:-u mftgit )?|podman run .* )?(?:\S*bin/)?"
    calls = (re.match(rf"{before}(mftgit(?: .*)?)$", part) for part in parts)
    return [call[1] for call in calls if call]


def anchors(page: Path) -> set[str]:
    """The anchors that a forge gives the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_generated_parts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_generated_part_that_is_out_of_date_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "architecture.md"
    page.write_text(
        read("docs/architecture.md").replace("diverged --> attempted: attempt", ""),
        encoding="utf-8",
    )
    command = [sys.executable, str(ROOT / "tools" / "reference.py"), str(tmp_path)]
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 1
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert "diverged --> attempted: attempt" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path = target.partition("#")[0]
        if "://" in target:
            continue
        there = page.parent / path if path else page
        assert there.exists(), f"{page.name} links to {target}"
        if fragment := target.partition("#")[2]:
            assert fragment in anchors(there), f"{page.name} links to {target}"


def test_every_event_is_told_and_no_other() -> None:
    told = set(re.findall(r"^\| `([A-Z]\w+)` \|", read("docs/reference/events.md"), re.MULTILINE))
    assert told == {event.value for event in EventName}


def test_every_verb_is_told() -> None:
    page = read("docs/reference/cli.md")
    for words in VERBS:
        assert f"\n## {' '.join(('mftgit', *words))}\n" in page


def test_every_output_for_scripts_has_a_schema_and_is_told() -> None:
    titles = " ".join(str(schema["title"]) for schema in load_schemas().values())
    page = read("docs/reference/json.md")
    for words, command in VERBS.items():
        if "--json" in options(command):
            assert f"{' '.join(('mftgit', *words))} --json" in titles
            # One page may tell of several verbs that print the same.
            assert re.search(rf"{' '.join(('mftgit', *words))} --json[,\n]", page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_with_the_options_that_it_has(page: Path) -> None:
    for line in commands_in(page.read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)[1:]
        found = max(
            (verb for verb in VERBS if tuple(words[: len(verb)]) == verb),
            key=len,
        )
        assert found or words[:1] in ([], ["--help"], ["--version"]), line
        for word in words:
            if word.startswith("--"):
                assert word in options(VERBS[found]), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_tox_environment_of_a_page_is_one(page: Path) -> None:
    known = set(re.findall(r"^\[testenv:(\w+)\]", read("tox.ini"), re.MULTILINE))
    minors = re.search(r"^env_list = .*\bpy3{([\d,]+)}", read("tox.ini"), re.MULTILINE)
    assert minors is not None
    known |= {f"py3{minor}" for minor in minors[1].split(",")}
    for names in re.findall(r"tox (?:run )?-e ([\w,]+)", page.read_text(encoding="utf-8")):
        assert set(names.split(",")) <= known


def test_the_readme_s_commands_name_what_there_is() -> None:
    text = read("README.md")
    assert "python3 tools/install.py && .venv/bin/mftgit demo" in text
    assert "python3 tools/install.py dev && .venv/bin/tox run" in text
    assert (ROOT / "tools" / "install.py").exists()
    assert (ROOT / "tox.ini").exists()
