"""Which folders of accounts a member serves, and has served, in a file: a restart forgets none."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from loguru import logger

from mftgit.adapters.durable import write_file
from mftgit.model.inbound.left_homes import Homes, follow, parse_homes


class HomeRecords:
    """One thread at a time."""

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        """Go on from what is in ``path``, where there is something."""
        self._path = path
        self._now = now
        self._homes = _read(path)

    def follow(self, served: Mapping[str, float]) -> tuple[str, ...]:
        """Take down what is ``served``, see `Homes`; return what is left and still to be looked through."""
        homes = follow(self._homes, served, now_s=self._now().timestamp())
        if homes != self._homes:
            self._homes = homes
            try:
                write_file(self._path, json.dumps(homes.as_json()).encode())
            except OSError as error:
                logger.warning("which folders are served was not written down", error=str(error))
        return tuple(homes.left)


def _read(path: Path) -> Homes:
    try:
        return parse_homes(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Homes()
    except (OSError, ValueError) as error:
        logger.warning("which folders were served is not known any more", error=str(error))
        return Homes()
