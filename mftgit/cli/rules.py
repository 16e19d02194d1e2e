"""The one validator: the same rules for the command line, the gate and every member."""

import zoneinfo

from mftgit.model.rules.validate import Validator
from mftgit.resources import load_schemas


def make_validator() -> Validator:
    """Return a validator with the installed schemas and this machine's time zones."""
    return Validator(schemas=load_schemas(), timezones=frozenset(zoneinfo.available_timezones()))
