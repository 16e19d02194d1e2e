"""A transfer as a member runs it, rendered, in the words of the documents, and without a secret."""

from typing import Any

from mftgit.model.config import (
    Auth,
    CronTrigger,
    Generation,
    IntervalTrigger,
    LocalLocation,
    Location,
    PasswordAuth,
    Transfer,
    Trigger,
    WatchTrigger,
)


def tell_definition(transfer: Transfer, generation: Generation) -> dict[str, Any]:
    """Return ``transfer`` with its locations. Of a password or key it says where it lies, never what it is."""
    source, destination = transfer.source, transfer.destination
    return {
        "source": {
            "location": _location(generation.locations[source.location]),
            "path": source.path,
            "include": list(source.include),
            "exclude": list(source.exclude),
            "recursive": source.recursive,
            "stable_s": source.stable_s,
        },
        "destination": {
            "location": _location(generation.locations[destination.location]),
            "path": destination.path,
            "temporary_suffix": destination.temporary_suffix,
            "overwrite": destination.overwrite.value,
        },
        "trigger": _trigger(transfer.trigger),
        "after_success": {"action": transfer.after_success.value, "path": transfer.archive_path},
        "ownership": transfer.ownership.value,
        "prefer": list(transfer.prefer),
    }


def describe_trigger(trigger: Trigger) -> str:
    """Return when it fires, for people."""
    match trigger:
        case CronTrigger(expression=expression, timezone=timezone):
            return f"by cron {expression!r} in {timezone}"
        case IntervalTrigger(every_s=every_s):
            return f"every {every_s:g} s"
        case WatchTrigger(every_s=every_s):
            return f"when a file is there, looking every {every_s:g} s"


def describe_location(location: Location) -> str:
    """Return where it is, for people."""
    if isinstance(location, LocalLocation):
        return f"{location.name} (local folder {location.path})"
    return f"{location.name} (sftp://{location.username}@{location.host}:{location.port}, {location.path})"


def _location(location: Location) -> dict[str, Any]:
    if isinstance(location, LocalLocation):
        return {"name": location.name, "type": "local", "path": location.path}
    return {
        "name": location.name,
        "type": "sftp",
        "path": location.path,
        "host": location.host,
        "port": location.port,
        "username": location.username,
        "host_keys": list(location.host_keys),
        "auth": [_auth(each) for each in location.auth],
        "timeout_s": location.timeout_s,
    }


def _auth(way: Auth) -> dict[str, Any]:
    kind = "password" if isinstance(way, PasswordAuth) else "private_key"
    return {"way": kind, "file": way.file, "secret": way.secret}


def _trigger(trigger: Trigger) -> dict[str, Any]:
    match trigger:
        case CronTrigger(expression=expression, timezone=timezone):
            return {"cron": {"expression": expression, "timezone": timezone}}
        case IntervalTrigger(every_s=every_s):
            return {"interval": {"every_s": every_s}}
        case WatchTrigger(every_s=every_s):
            return {"watch": {"every_s": every_s}}
