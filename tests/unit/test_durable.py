"""What a process leaves half-written is removed once that process is no more, and nothing else is."""

import os
from pathlib import Path

from mftgit.adapters.durable import sweep_folder, write_file

ENDED = 999_999_999  # no process has such a number


def test_only_what_a_process_left_that_is_no_more_is_swept(tmp_path: Path) -> None:
    write_file(tmp_path / "record.json", b"x")
    kept = [f".record.json.{os.getpid()}.new", ".active.new", "notes.1.new", ".record.json"]
    for name in (*kept, f".record.json.{ENDED}.new"):
        (tmp_path / name).touch()
    assert sweep_folder(tmp_path) == (f".record.json.{ENDED}.new",)
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "record.json"}
