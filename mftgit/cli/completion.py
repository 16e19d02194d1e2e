"""``mftgit completion``: have a shell complete verbs, options and values."""

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="""\b
Examples:
  mftgit completion bash > ~/.local/share/bash-completion/completions/mftgit
  mftgit completion zsh > ~/.zfunc/_mftgit
  mftgit completion fish > ~/.config/fish/completions/mftgit.fish
"""
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print what SHELL needs to complete the words of mftgit: into the file from which it reads such things.

    bash 4.4 or newer; its package bash-completion reads the file of the example by itself. For zsh, the folder has to
    be in fpath before compinit is called.
    """
    root = click.get_current_context().find_root()
    made = get_completion_class(shell)
    if made is None:  # pragma: no cover  click has all of _SHELLS
        raise click.ClickException(f"this version of click completes nothing for {shell}")
    click.echo(made(root.command, {}, "mftgit", "_MFTGIT_COMPLETE").source())
