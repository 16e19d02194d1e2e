"""Which controller a member follows: never one that was replaced, and of two with one number the first that it met."""

from mftgit.adapters.tls.pki import AuthoritySeal
from mftgit.errors import TransientError
from mftgit.model.members.incarnation import Shown, disputes


class ReplacedError(TransientError):
    """The controller that answers is not the one that this member follows."""


def require_followed(known: Shown, shown: Shown, *, cluster_id: str, ca_pem: bytes) -> None:
    """See that who shows ``shown`` may be followed by a member that has followed ``known``.

    Where the authority is another one now, because the member was let in again, its ``known`` warrant counts no more.

    Raises:
        ReplacedError: it may not.
    """
    if shown.incarnation < known.incarnation:
        raise ReplacedError(
            f"who answers is the controller's incarnation {shown.incarnation}, which was replaced by "
            f"{known.incarnation}: an old one was started again, or its address leads to it still"
        )
    if disputes(known, shown, cluster_id=cluster_id, seal=AuthoritySeal(pem=ca_pem)):
        raise ReplacedError(
            f"who answers is another controller of the incarnation {known.incarnation} than this member has met first, "
            "and stays with: two were made anew at once; switch both off, and make one more from the member that is "
            "ahead (docs/how-to/recover.md: Two of them)"
        )
