"""Where a controller's folder says that a forge's branch is published, and what was found at the last look."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mftgit.adapters.durable import write_file
from mftgit.adapters.private_file import read_private_text
from mftgit.adapters.state_folder import StateFolder
from mftgit.errors import ConfigError
from mftgit.model.names import Revision
from mftgit.model.revisions.mirror import Mirror, Refused, parse_mirror

_MAX_SECRET = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the last look found, for `mftgit controller mirror`; times are RFC 3339."""

    looked_at: str | None = None
    reached_at: str | None = None
    tip: Revision | None = None
    problem: str | None = None
    refused: Refused | None = None


class MirrorSettings:
    """The files; the running controller reads them at each look, so that a verb beside it changes them."""

    def __init__(self, folder: StateFolder) -> None:
        self._folder = folder
        self.token_file = folder.secrets / "forge-token"
        self.hook_file = folder.secrets / "forge-webhook"
        self.key_file = folder.secrets / "forge-ssh.key"

    def mirror(self) -> Mirror | None:
        """Return what is set; None where no forge is mirrored. Raises ConfigError: the file is damaged."""
        value = _read(self._folder.mirror)
        if value is None:
            return None
        try:
            return parse_mirror(value)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{self._folder.mirror}: {error}: say `mftgit controller mirror --url …` again, or --off"
            ) from error

    def set(self, mirror: Mirror) -> None:
        """Mirror that one from now on."""
        write_file(self._folder.mirror, json.dumps(mirror.as_json(), indent=2).encode() + b"\n")

    def off(self) -> None:
        """Mirror none, and forget its secrets."""
        places = (self._folder.mirror, self._folder.mirror_state)
        for path in (*places, self.token_file, self.hook_file, self.key_file):
            path.unlink(missing_ok=True)

    def keep_secret(self, path: Path, content: str) -> None:
        """Keep a secret in the folder, readable by its owner only."""
        path.parent.mkdir(exist_ok=True, mode=0o700)
        self._folder.write_secret(path, content.encode())

    def secret(self, path: Path) -> str | None:
        """Return a secret's one line, None where there is none; raises ConfigError: it cannot be read."""
        if not path.exists():
            return None
        text = read_private_text(path).strip()
        if not text or len(text) > _MAX_SECRET or not text.isprintable() or not text.isascii():
            raise ConfigError(f"secret {path} is not one line of ASCII")
        return text

    def standing(self) -> Standing:
        """Return what the last look found; what is damaged is as if there was none."""
        try:
            value = _read(self._folder.mirror_state) or {}
            refused = value.get("refused")
            return Standing(**{**value, "refused": Refused(**refused) if refused else None})
        except (ConfigError, TypeError):
            return Standing()

    def found(self, standing: Standing) -> None:
        """Keep what a look found."""
        write_file(self._folder.mirror_state, json.dumps(asdict(standing)).encode() + b"\n")

    def forget(self) -> None:
        """Let what was refused be judged again at the next look."""
        self._folder.mirror_state.unlink(missing_ok=True)


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: not a JSON object")
    return value
