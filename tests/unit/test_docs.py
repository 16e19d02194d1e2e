"""The docs say what the code says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mftgit.cli.main import mftgit
from mftgit.model.events import EventName

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
        read("docs/architecture.md").replace("held --> attempted", ""), encoding="utf-8"
    )
    command = [sys.executable, str(ROOT / "tools" / "reference.py"), str(tmp_path)]
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 1
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert "held --> attempted" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path = target.partition("#")[0]
        if path and "://" not in path:
            assert (page.parent / path).exists(), f"{page.name} links to {target}"


def test_every_event_is_told_and_no_other() -> None:
    told = set(re.findall(r"^\| `([A-Z]\w+)` \|", read("docs/reference/events.md"), re.MULTILINE))
    assert told == {event.value for event in EventName}


def test_every_verb_is_told() -> None:
    page = read("docs/reference/cli.md")
    with mftgit.make_context("mftgit", [], resilient_parsing=True) as context:
        for verb in mftgit.list_commands(context):
            assert f"mftgit {verb}" in page


def test_the_readme_s_commands_name_what_there_is() -> None:
    text = read("README.md")
    assert "python3 tools/install.py && .venv/bin/mftgit demo" in text
    assert "python3 tools/install.py dev && .venv/bin/tox run" in text
    assert (ROOT / "tools" / "install.py").exists()
    assert (ROOT / "tox.ini").exists()
