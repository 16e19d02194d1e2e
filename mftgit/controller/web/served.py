"""What the pages and the API answer where something is not as asked, in one place for history, editing and review."""

from collections.abc import Callable
from typing import TypeVar

from mftgit.adapters.git.objects import StoreError
from mftgit.adapters.http_server.doors import NotServedError
from mftgit.controller.gate.proposals import ConflictError, ProposalRefusedError
from mftgit.controller.review.reading import NoSuchChangeError
from mftgit.controller.review.reviews import ReviewRefusedError
from mftgit.errors import ConfigError
from mftgit.model.names import Revision, parse_revision

_T = TypeVar("_T")


def served(call: Callable[[], _T], *, missing: int = 400) -> _T:
    """Return what ``call`` does; tell what it raises by a status: ``missing`` is that of what cannot be meant."""
    try:
        return call()
    except ConflictError as error:
        raise NotServedError(409, str(error)) from error
    except ProposalRefusedError as error:
        raise NotServedError(422, str(error)) from error
    except ReviewRefusedError as error:
        raise NotServedError(409, str(error)) from error
    except NoSuchChangeError as error:
        raise NotServedError(404, str(error)) from error
    except (ConfigError, StoreError) as error:
        raise NotServedError(missing, str(error)) from error


def revision_of(text: str) -> Revision:
    """Return the revision that a path or a parameter names in full."""
    try:
        return parse_revision(text)
    except ValueError as error:
        raise NotServedError(404, str(error)[:200]) from error
