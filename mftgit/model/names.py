"""Names that are not just any string, and their parsers."""

import re
from typing import Final, NewType

Revision = NewType("Revision", str)
"""A commit id on the published branch: forty lower-case hexadecimal digits."""

MemberName = NewType("MemberName", str)
TransferName = NewType("TransferName", str)
LocationName = NewType("LocationName", str)
OperatorName = NewType("OperatorName", str)
SecretName = NewType("SecretName", str)
AccountName = NewType("AccountName", str)
GroupName = NewType("GroupName", str)
ServiceName = NewType("ServiceName", str)
EventHandlerName = NewType("EventHandlerName", str)

Epoch = NewType("Epoch", int)
"""Which ownership of a transfer this is; rises by one with every change of owner, from 1."""

MAIN: Final = "refs/heads/main"
"""The published branch."""

CHANGES: Final = "refs/heads/change/"
"""Before the name of each proposal."""

MEMBERS: Final = "refs/members/"
"""Before NAME/active and NAME/attempted: where each member stands, written by the controller."""

REVIEWS: Final = "refs/reviews/log"
"""What was said of proposals: a chain of commits without files, one for each record; it only grows."""

MERGES: Final = "refs/merge/"
"""Before the name of a proposal: no ref, but a word to the controller. A push there asks it to merge the proposal."""

NAME_PATTERN: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""What a document, a member or an operator may be called: a DNS label (RFC 1123, 2.1) in lower case."""

_NAME = re.compile(NAME_PATTERN)
_REVISION = re.compile(r"[0-9a-f]{40}")


def parse_revision(text: str) -> Revision:
    """Return ``text`` as a revision.

    Raises:
        ValueError: ``text`` is not a full commit id.
    """
    if not _REVISION.fullmatch(text):
        raise ValueError(f"not a full commit id: {text!r}")
    return Revision(text)


def is_name(text: str) -> bool:
    """Tell whether ``text`` can name a document, a member or an operator."""
    return _NAME.fullmatch(text) is not None


def parse_name(text: str) -> str:
    """Return ``text`` as the name of a document, a member or an operator.

    Raises:
        ValueError: ``text`` is not a lower-case DNS label.
    """
    if not is_name(text):
        raise ValueError(
            f"{text!r} is not a name: use 1 to 63 lower-case letters, digits and hyphens, "
            "with a letter or a digit at both ends"
        )
    return text
