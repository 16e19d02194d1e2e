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


FORGED = "a.csv\n2026-11-24 08:00:00.000Z ERROR   all is lost\x1b[2J\r\x9b\u2028\udcff"
SHOWN = r"a.csv\n2026-11-24 08:00:00.000Z ERROR   all is lost\x1b[2J\r\x9b\u2028\xff"


def fail() -> None:
    raise ValueError(FORGED)


def test_a_field_cannot_begin_a_line_nor_act_on_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(folder=tmp_path)
    logger.info("sent", path=FORGED, many=[FORGED], number=7)
    logger.remove()
    told = capsys.readouterr().err
    assert f"sent path={SHOWN} many=[" in told
    assert told.endswith("number=7\n")
    assert told.count("\n") == 1
    assert told.replace("\n", "").isprintable()
    assert (tmp_path / "mftgit.log").read_text(encoding="utf-8") == told


def test_a_message_cannot_begin_a_line_nor_act_on_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure()
    logging.getLogger("paramiko.transport").warning("banner %s", FORGED)
    told = capsys.readouterr().err
    assert f"banner {SHOWN}\n" in told
    assert told.count("\n") == 1


def test_a_traceback_keeps_its_lines_and_none_can_pass_for_a_log_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure()
    try:
        fail()
    except ValueError:
        logger.exception("failed", path=FORGED)
    first, *trace = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert first.endswith(f"failed path={SHOWN}")
    assert trace[0] == "    Traceback (most recent call last):"
    assert trace[-2] == "    ValueError: a.csv"
    assert all(line.startswith("    ") and line.isprintable() for line in trace)


def test_a_foreign_traceback_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    try:
        fail()
    except ValueError:
        logging.getLogger("odd").exception("failed")
    assert "\n    ValueError: a.csv\n    2026-11-24" in capsys.readouterr().err
