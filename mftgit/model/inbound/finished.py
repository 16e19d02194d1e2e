"""An upload that came to its end, as it is told from the file layer to the event log."""

from dataclasses import dataclass

from mftgit.model.names import AccountName


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An upload that is under its visible name. ``digest`` is the SHA-256 of all of it, in hexadecimal.

    ``path`` is the account's, ``file`` the machine's. ``duration_s`` is from the opening on.
    """

    account: AccountName
    path: str
    file: str
    size_bytes: int
    digest: str
    duration_s: float
    overwrote: bool
    resumed: bool
