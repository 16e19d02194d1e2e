"""The passwords and other secrets that open servers: out of the repository, or of files that nobody else may use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mftgit.adapters.private_file import read_private_text
from mftgit.errors import ConfigError
from mftgit.model.locations.login import Kept
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue

Values = Mapping[SecretName, SecretValue]
"""The secrets of the repository that this member has decrypted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsHere:
    """The secrets that this member can read: files of ``folder``, and the ``values`` of those of the repository."""

    folder: Path
    values: Values = field(default_factory=dict, repr=False)

    def text(self, kept: Kept) -> str:
        """See `read_text`."""
        return read_text(kept, self.folder, self.values)

    def password(self, kept: Kept) -> str:
        """See `read_password`."""
        return read_password(kept, secrets_dir=self.folder, values=self.values)


def name_of(kept: Kept) -> str:
    """Return how messages call the secret of ``kept``."""
    return repr(kept.file) if kept.secret is None else f"secrets/{kept.secret}.yaml"


def read_password(kept: Kept, *, secrets_dir: Path, values: Values) -> str:
    """Return the password or passphrase that ``kept`` names, without the newline at its end.

    Raises:
        ConfigError: it is missing, empty, unreadable, or open to other users of this machine.
    """
    password = read_text(kept, secrets_dir, values).removesuffix("\n").removesuffix("\r")
    if not password:
        raise ConfigError(f"secret {name_of(kept)} is empty: a password was expected")
    return password


def read_text(kept: Kept, secrets_dir: Path, values: Values) -> str:
    """Return the secret that ``kept`` names, as it is.

    Raises:
        ConfigError: it is missing, unreadable, or open to other users of this machine.
    """
    if kept.secret is not None:
        if kept.secret not in values:
            raise ConfigError(
                f"{name_of(kept)} is not among the secrets of the revision that runs: bring it back, "
                "and the document that names it"
            )
        return values[kept.secret].reveal()
    file = kept.file or ""
    if "\0" in file or Path(file).name != file:
        raise ConfigError(f"secret {file!r} is not a plain file name: name a file in {secrets_dir}")
    return read_private_text(secrets_dir / file)
