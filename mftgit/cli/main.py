"""Read the arguments, run one verb, and turn errors into exit codes."""

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

import click

from mftgit import __version__
from mftgit.errors import MftgitError
from mftgit.model.printable import printable

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

_VERBS = {
    "controller": "mftgit.cli.controller",
    "issuer": "mftgit.cli.issuer",
    "operator": "mftgit.cli.operator",
    "member": "mftgit.cli.member",
    "join": "mftgit.cli.join",
    "run": "mftgit.cli.run",
    "status": "mftgit.cli.status",
    "rollout": "mftgit.cli.rollout",
    "ban": "mftgit.cli.ban",
    "validate": "mftgit.cli.validate",
    "trust": "mftgit.cli.trust",
    "secret": "mftgit.cli.secret.verbs",
    "account": "mftgit.cli.account",
    "diff": "mftgit.cli.diff",
    "propose": "mftgit.cli.propose",
    "review": "mftgit.cli.review",
    "publish": "mftgit.cli.publish",
    "log": "mftgit.cli.log",
    "revert": "mftgit.cli.revert",
    "hooks": "mftgit.cli.hooks",
    "events": "mftgit.cli.events",
    "transfer": "mftgit.cli.transfer.verbs",
    "session": "mftgit.cli.session",
    "event-handler": "mftgit.cli.event_handler",
    "suspend": "mftgit.cli.orders",
    "resume": "mftgit.cli.orders",
    "pin": "mftgit.cli.orders",
    "unpin": "mftgit.cli.orders",
    "rollback": "mftgit.cli.orders",
    "reanchor": "mftgit.cli.orders",
    "drain": "mftgit.cli.orders",
    "demo": "mftgit.cli.demo.demo",
    "completion": "mftgit.cli.completion",
    "manual": "mftgit.cli.manual",
}
"""Where each verb is; only the one that is asked for is imported, which halves its time to start."""

_HELP = """A managed-file-transfer cluster whose whole configuration lives in one git repository.

\b
See it all work in under a minute, on this machine alone:
  mftgit demo
"""


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _VERBS:
            return None
        with _without_collecting():
            command: click.Command = getattr(
                import_module(_VERBS[cmd_name]), cmd_name.replace("-", "_")
            )
        return command


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Look for no garbage: there is none in what is being loaded, and to look takes a tenth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@click.group(
    name="mftgit",
    cls=_Verbs,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage or bad configuration, "
    "75 try again.",
)
@click.version_option(__version__, prog_name="mftgit")
def mftgit() -> None:
    """Hold the verbs."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the verb that ``argv`` names and exit with its code."""
    sys.exit(run_verb(argv))


def run_verb(argv: Sequence[str] | None = None) -> int:
    """Run the verb that ``argv`` names and return its exit code."""
    try:
        result = mftgit.main(args=argv, prog_name="mftgit", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MftgitError as error:
        click.secho("mftgit: ", fg="red", err=True, nl=False)
        click.echo(printable(str(error), keep="\n"), err=True)
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("mftgit: interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    return result if isinstance(result, int) else 0
