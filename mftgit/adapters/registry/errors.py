"""What the registry refuses."""

from mftgit.errors import MftgitError


class KnownAlreadyError(MftgitError):
    """There is an operator or a member of that name."""


class UnknownNameError(MftgitError):
    """There is no operator or member of that name."""


class JoinRefusedError(MftgitError):
    """The join token does not open the cluster; the message says why."""
