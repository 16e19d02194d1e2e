"""Everything that is logged comes out in one place and one form."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from mftgit import logs


@pytest.fixture(autouse=True)
def _quiet_afterwards() -> Iterator[None]:
    yield
    logger.remove()
    logger.disable("mftgit")
    logging.getLogger().handlers.clear()


def test_a_foreign_line_is_bridged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger("paramiko.transport").warning("odd {brace} %s", "x")
    assert "odd {brace} x" in capsys.readouterr().err


def test_a_level_of_another_library_s_own_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger("odd").log(35, "between")
    assert "between" in capsys.readouterr().err


def test_fields_stand_behind_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logger.info("revision is active", revision="abc", odd="{brace} <red>")
    assert "revision is active revision=abc odd={brace} <red>" in capsys.readouterr().err


def test_the_file_has_what_the_console_leaves_out_and_no_local_variables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(level="WARNING", folder=tmp_path)
    planted = "hunter" + "2"
    logger.debug("detail")
    try:
        int(planted[:0])
    except ValueError:
        logger.exception("failed")
    logger.remove()
    text = (tmp_path / "mftgit.log").read_text(encoding="utf-8")
    assert "detail" in text
    assert "Traceback" in text
    assert "detail" not in capsys.readouterr().err
    assert planted not in text
