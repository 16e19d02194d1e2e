"""The errors a caller is meant to catch, told apart by what to do next.

A module's own errors stand beside the code that raises them and derive from one of these.
The exit codes are the command line's: 0 done, 1 refused or failed, 2 wrong usage or bad
configuration, 75 try again (``EX_TEMPFAIL`` of sysexits.h).
"""

from typing import ClassVar


class MftgitError(Exception):
    """Refused or failed: read the message."""

    exit_code: ClassVar[int] = 1
    location: str | None = None
    """The name of the location whose endpoint raised it, where one did."""


class ConfigError(MftgitError):
    """The configuration or the call is wrong; trying again cannot help."""

    exit_code = 2


class RemovedError(MftgitError):
    """The controller itself said that this member is not, or no longer, of the cluster."""


class TransientError(MftgitError):
    """The world is in the way just now; the same call may succeed later."""

    exit_code = 75
