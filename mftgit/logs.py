"""Set up logging, once, for a process that mftgit owns: loguru for people, on the console and in a file.

Only the command line calls this. Everything else does ``from loguru import logger`` and logs constant
messages with keyword fields. The record of facts is the event log, not this.
"""

import logging
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from mftgit.model.printable import printable

if TYPE_CHECKING:
    from loguru import Record

FILE_BYTES = 10 * 1024 * 1024
FILES_KEPT = 5

_TRACE = "traceback"

_QUIET = dict.fromkeys(("apscheduler", "dulwich", "paramiko", "spnego", "uvicorn"), logging.WARNING)
_QUIET["smbprotocol"] = (
    logging.CRITICAL
)  # tells of every lost connection, which is told by the error
"""Libraries whose INFO is our DEBUG."""


class _ToLoguru(logging.Handler):
    """Hand what dulwich, paramiko, APScheduler and uvicorn log to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        known = record.levelname in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
        level: str | int = record.levelname if known else record.levelno

        def origin(entry: "Record") -> None:
            entry["name"] = record.name
            entry["function"] = record.funcName
            entry["line"] = record.lineno

        # "{}" keeps braces in a foreign message from being read as fields.
        logger.patch(origin).opt(exception=record.exc_info).log(level, "{}", record.getMessage())


def configure(*, level: str = "INFO", folder: Path | None = None) -> None:
    """Send log lines to standard error and, where ``folder`` is given, to ``folder/mftgit.log``.

    The file is turned over at ``FILE_BYTES`` and ``FILES_KEPT`` old ones are kept. Colours are for terminals only.
    """
    logger.enable("mftgit")
    logger.remove()
    logger.configure(patcher=_clean)
    logger.add(sys.stderr, level=level, format=_line, backtrace=False, diagnose=False)
    if folder is not None:
        logger.add(
            folder / "mftgit.log",
            level="DEBUG",
            format=_line,
            rotation=FILE_BYTES,
            retention=FILES_KEPT,
            backtrace=False,
            diagnose=False,  # would print the values of local variables: secrets
            colorize=False,
        )
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.INFO, force=True)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(quiet)


def _clean(record: "Record") -> None:
    """Keep what somebody else chose, as the name of a file, from beginning a line or acting on a terminal."""
    record["message"] = printable(record["message"])
    for name, value in record["extra"].items():
        record["extra"][name] = printable(str(value))
    record["extra"][_TRACE] = _trace(record)


def _trace(record: "Record") -> str:
    """Return the traceback, its lines set in: none of them can pass for a log line."""
    error = record["exception"]
    if error is None:
        return ""
    text = "".join(traceback.format_exception(error.type, error.value, error.traceback))
    return "".join(f"    {printable(line)}\n" for line in text.rstrip("\n").split("\n"))


def _line(record: "Record") -> str:
    fields = "".join(f" {key}={{extra[{key}]}}" for key in record["extra"] if key != _TRACE)
    return (
        "<green>{time:YYYY-MM-DD HH:mm:ss.SSS!UTC}Z</green> <level>{level: <7}</level> "
        "{message}<cyan>" + fields + f"</cyan>\n{{extra[{_TRACE}]}}"
    )
