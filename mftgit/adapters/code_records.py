"""The one-time codes that were used, in a file, so that none opens again when the member starts anew."""

import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from loguru import logger

from mftgit.adapters.durable import write_file
from mftgit.model.inbound.totp import step_at
from mftgit.model.inbound.used_codes import UsedCodes
from mftgit.model.names import AccountName, parse_name


class CodeRecords:
    """Used codes by account and time step; for any thread."""

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        """Go on from what is in ``path``, where there is something."""
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._codes = UsedCodes()
        for account, step in _read(path).items():
            self._codes.learn(account, step, now=self._step())

    def take(self, account: AccountName, step: int) -> bool:
        """Take the code of ``step``; False where it or a later one was used, or this cannot be kept in mind."""
        with self._lock:
            taken = self._codes.take(account, step, now=self._step())
            return taken and self._keep()

    def learn(self, steps: Mapping[AccountName, int]) -> None:
        """Take note of codes that were used at other members."""
        with self._lock:
            for account, step in steps.items():
                self._codes.learn(account, step, now=self._step())

    def recent(self) -> Mapping[AccountName, int]:
        """Return those that were used of late."""
        with self._lock:
            return self._codes.recent(now=self._step())

    def _keep(self) -> bool:
        try:
            write_file(self._path, json.dumps(self._codes.recent(now=self._step())).encode())
        except OSError as error:
            reason = str(error)
            logger.warning("a one-time code is refused: it cannot be kept in mind", error=reason)
            return False
        return True

    def _step(self) -> int:
        return step_at(self._now().timestamp())


def _read(path: Path) -> dict[AccountName, int]:
    try:
        value = json.loads(path.read_bytes())
        return {AccountName(parse_name(name)): int(step) for name, step in value.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
        logger.warning(
            "which one-time codes were used here is not known any more: one of the last two minutes may open again",
            file=str(path),
            error=str(error),
        )
        return {}
