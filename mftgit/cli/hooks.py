"""``mftgit hooks``: let git itself ask the gate's rules, in a clone or in a bare repository that git serves."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from mftgit.adapters.git.hooks import HookState, install_hooks, remove_hooks
from mftgit.adapters.git.local_repository import LocalRepository
from mftgit.cli.hook_checks import CHECKS
from mftgit.cli.options import json_option, path_argument, print_json
from mftgit.errors import ConfigError
from mftgit.model.printable import printable
from mftgit.resources import read_hook

_CLONE = ("pre-commit", "pre-push")
_SERVER = ("pre-receive", "update")

_server_option = click.option(
    "--server", is_flag=True, help="PATH is a bare repository that git or a forge serves."
)


@click.group()
def hooks() -> None:
    """Install git hooks that ask the rules of the gate, in a clone or on a server."""


@hooks.command(
    epilog="""\b
Examples:
  mftgit hooks install
  mftgit hooks install /srv/git/config.git --server
"""
)
@path_argument
@_server_option
@json_option
def install(path: Path, server: bool, as_json: bool) -> None:
    """Install the hooks of the clone PATH (here, when left out): pre-commit and pre-push.

    With --server, those of a bare repository: pre-receive and update. They call this very mftgit. A hook that is
    not mftgit's is never overwritten.
    """
    with _open(path, server=server) as repository:
        scripts = {name: _script(name) for name in (_SERVER if server else _CLONE)}
        folder = repository.hooks_folder()
        _tell(folder, install_hooks(folder, scripts), as_json=as_json)


@hooks.command(
    epilog="""\b
Example:
  mftgit hooks remove
"""
)
@path_argument
@_server_option
@json_option
def remove(path: Path, server: bool, as_json: bool) -> None:
    """Remove the hooks that `mftgit hooks install` wrote, and no others."""
    with _open(path, server=server) as repository:
        folder = repository.hooks_folder()
        _tell(folder, remove_hooks(folder, _SERVER if server else _CLONE), as_json=as_json)


@hooks.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", type=click.Choice(list(CHECKS)))
@click.argument("words", metavar="[ARGUMENT]...", nargs=-1, type=click.UNPROCESSED)
def run(name: str, words: tuple[str, ...]) -> int:
    """Be the git hook NAME; the installed hooks call this, with what git hands to them."""
    with LocalRepository(Path.cwd()) as repository:
        return 0 if CHECKS[name](repository, words, sys.stdin.buffer) else 1


def _open(path: Path, *, server: bool) -> LocalRepository:
    repository = LocalRepository(path)
    if repository.bare is not server:
        repository.close()
        raise ConfigError(
            f"{path} is a bare repository: its hooks are those of --server"
            if repository.bare
            else f"{path} has a work tree: --server is for bare repositories"
        )
    return repository


def _script(name: str) -> str:
    return read_hook(name).replace("@PYTHON@", shlex.quote(sys.executable))


def _tell(folder: Path, states: Mapping[str, HookState], *, as_json: bool) -> None:
    if as_json:
        rows = [{"name": name, "state": state.value} for name, state in states.items()]
        print_json({"folder": str(folder), "hooks": rows})
        return
    for name, state in states.items():
        click.echo(printable(f"{folder / name}: {state.value}"))
