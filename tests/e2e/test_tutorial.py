"""The tutorial is run as it stands, block by block, in one bash, as somebody does who reads it."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cluster import environment
from ports import own_port

PAGE = Path(__file__).parents[2] / "docs/tutorial.md"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "@@ the block has ended"
FAILED = "@@ a command failed"
WAIT_S = 90.0
LISTENS = "127.0.0.1:8443"


class Terminal:
    """A bash that stays; each block is given to it as a person pastes it."""

    def __init__(self, home: Path) -> None:
        mine = Path(sys.executable).parent  # mftgit, as it was installed
        path = f"{mine}:{os.environ['PATH']}"
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            cwd=home,
            env=environment(home, PATH=path, COLUMNS="200"),
            start_new_session=True,
        )
        self._say(f"trap 'echo \"{FAILED}: $BASH_COMMAND\"' ERR\n")

    def _say(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text)
        self._bash.stdin.flush()

    def run(self, block: str) -> str:
        """Return what is printed until the block has ended; where that takes too long, all of it is ended."""
        late = threading.Timer(WAIT_S, lambda: os.killpg(self._bash.pid, signal.SIGKILL))
        late.start()
        try:
            self._say(f"{block}\necho '{END}'\n")
            return "".join(self._until_end())
        finally:
            late.cancel()

    def _until_end(self) -> Iterator[str]:
        assert self._bash.stdout is not None
        for line in self._bash.stdout:
            if line.strip() == END:
                return
            yield line
        pytest.fail(f"this block does not come to its end in {WAIT_S:g} s", pytrace=False)

    def close(self) -> None:
        """End it, and what it has started and not ended."""
        with suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()


@pytest.mark.needs("git")
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    assert len(blocks) == text.count("```") / 2, "every block is one to run, or what it prints"
    install, *rest = blocks
    assert install == ("sh", "python3 tools/install.py\n. .venv/bin/activate\n")
    assert LISTENS in text
    terminal = Terminal(tmp_path)
    try:
        with own_port() as port:
            _run(terminal, [(kind, each.replace(":8443", f":{port}")) for kind, each in rest], port)
    finally:
        terminal.close()
    assert not (tmp_path / "mftgit-tutorial").exists()


def _run(terminal: Terminal, blocks: list[tuple[str, str]], port: int) -> None:
    given = f"controller init ctl --listen 127.0.0.1:{port}"
    for (kind, block), (after, expected) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind == "text":
            continue
        said = terminal.run(block.replace("controller init ctl", given))
        wanted = expected.splitlines() if after == "text" else []
        for line in wanted:
            assert line in said, f"{block}\nprinted\n{said}"
        is_refused = any("rejected" in line for line in wanted)
        assert (FAILED in said) == is_refused, f"{block}\nprinted\n{said}"
