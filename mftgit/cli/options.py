"""Options that several verbs share, and how they are read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mftgit.adapters.state_folder import StateFolder
from mftgit.model.names import parse_name
from mftgit.model.printable import json_line

_F = TypeVar("_F", bound=Callable[..., Any])


class Name(click.ParamType[str]):
    """A name of an operator or a member."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; a bad one is a usage error."""
        try:
            return parse_name(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Listen(click.ParamType[tuple[str, int]]):
    """HOST:PORT, with the host of an IPv6 address in brackets."""

    name = "host:port"

    def convert(
        self,
        value: str | tuple[str, int],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[str, int]:
        """Return host and port; anything else is a usage error."""
        if isinstance(value, tuple):
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004  the highest port
            self.fail(
                f"{value!r} is not HOST:PORT: for example 0.0.0.0:8443, or 127.0.0.1:0 for a free port",
                param,
                ctx,
            )
        return host.strip("[]") or "127.0.0.1", int(port)


def folder_argument(function: _F) -> _F:
    """Take DIR, the member's state folder."""
    return click.argument("folder", metavar="DIR", callback=_folder)(function)


def dir_option(function: _F) -> _F:
    """Take ``--dir DIR``, the member's state folder."""
    return click.option(
        "--dir",
        "folder",
        metavar="DIR",
        required=True,
        callback=_folder,
        help="The member's state folder.",
    )(function)


def path_argument(function: _F) -> _F:
    """Take PATH, a clone or a bare repository; here, when it is left out."""
    return click.argument(
        "path", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
    )(function)


def json_option(function: _F) -> _F:
    """Take ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print JSON for scripts; its shape is documented."
    )(function)


def print_json(value: Any) -> None:
    """Print ``value`` on one line."""
    click.echo(json_line(value))


def _folder(_context: click.Context, _parameter: click.Parameter, value: str) -> StateFolder:
    return StateFolder(Path(value).absolute())
