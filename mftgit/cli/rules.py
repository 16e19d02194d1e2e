"""The one validator: the same rules for the command line, the gate and every member."""

import functools
import zoneinfo

from mftgit.model.documents.document import Kind
from mftgit.model.rules.validate import Validator
from mftgit.resources import load_schema


def make_validator() -> Validator:
    """Return a validator with the installed schemas and this machine's time zones."""
    return Validator(
        schemas={kind.value: load_schema(kind.value) for kind in Kind}, timezones=_zones()
    )


@functools.cache
def _zones() -> frozenset[str]:
    """Return the names of this machine's time zones; each of their files has to be opened for that."""
    return frozenset(zoneinfo.available_timezones())
