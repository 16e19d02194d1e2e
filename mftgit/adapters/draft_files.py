"""What operators are editing, one file each in a folder of the controller's, so that a restart costs them nothing."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.durable import names_in, sweep_folder, sync_folder, write_file
from mftgit.model.names import is_name
from mftgit.model.revisions.draft import MAX_KEPT_BYTES, Draft, parse_draft

_ENDING: Final = ".json"


class DraftFiles:
    """The files; the caller keeps threads apart. Where the disk does not take one, the controller's memory has it."""

    def __init__(self, folder: Path) -> None:
        """Keep them in ``folder``, which is made with the first one."""
        self._folder = folder

    def read(self, operators: Collection[str]) -> list[tuple[str, Draft]]:
        """Return the drafts of ``operators``, those first that were not touched longest; the others' are removed."""
        try:
            found = sorted(self._files(), key=lambda path: path.stat().st_mtime_ns)
        except OSError as error:
            logger.warning("the drafts of operators cannot be read", error=str(error))
            return []
        drafts = []
        for path in found:
            if path.stem not in operators:
                self.drop(path.stem)
            elif (draft := _read(path)) is not None:
                drafts.append((path.stem, draft))
        return drafts

    def keep(self, operator: str, draft: Draft) -> None:
        """Have ``draft`` on disk."""
        content = json.dumps(draft.as_json()).encode()
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_file(self._path(operator), content, mode=0o600)
        except OSError as error:
            logger.bind(error=str(error)).warning(
                "a draft is kept in memory only: a restart of the controller costs it",
                operator=operator,
            )

    def drop(self, operator: str) -> None:
        """Have none of ``operator``."""
        try:
            self._path(operator).unlink(missing_ok=True)
            if self._folder.exists():
                sync_folder(self._folder)
        except OSError as error:
            logger.bind(error=str(error)).warning("a draft was not removed", operator=operator)

    def _path(self, operator: str) -> Path:
        return self._folder / f"{operator}{_ENDING}"

    def _files(self) -> list[Path]:
        if self._folder.exists():
            sweep_folder(self._folder)
        return [
            path
            for path in names_in(self._folder)
            if path.suffix == _ENDING and is_name(path.stem) and path.is_file()
        ]


def _read(path: Path) -> Draft | None:
    """Return the draft in a file, None where there is none that can be read."""
    try:
        with path.open("rb") as stream:
            return parse_draft(json.loads(stream.read(MAX_KEPT_BYTES)))
    except (OSError, ValueError, RecursionError) as error:
        logger.bind(error=str(error)).warning("a draft cannot be read", file=str(path))
        return None
