"""``mftgit controller mirror``: which branch of a forge the controller publishes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mftgit.adapters.git.store import GitStore
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import dir_option, json_option, print_json
from mftgit.controller.forge.settings import MirrorSettings, Standing
from mftgit.controller.review.reading import read_rules
from mftgit.errors import ConfigError
from mftgit.model.configuration.config import Role
from mftgit.model.names import MAIN
from mftgit.model.printable import printable
from mftgit.model.revisions.mirror import ForgeKind, Mirror, notes, parse_mirror
from mftgit.model.trust.trust import POLICY_FILES, read_policy

_File = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog="""\b
Examples:
  mftgit controller mirror --dir /var/lib/mftgit --url https://github.com/acme/config --forge github --token-file token
  mftgit controller mirror --dir /var/lib/mftgit --webhook-secret-file secret --poll-s 600
  mftgit controller mirror --dir /var/lib/mftgit --json
  mftgit controller mirror --dir /var/lib/mftgit --off
""",
)
@dir_option
@click.option(
    "--url", metavar="URL", help="https://HOST/PATH, or ssh://git@HOST/PATH (git@HOST:PATH)."
)
@click.option("--branch", metavar="NAME", help="The protected branch. [default: main]")
@click.option(
    "--poll-s", type=float, metavar="N", help="How often to look, in seconds. [default: 60]"
)
@click.option(
    "--forge",
    type=click.Choice([each.value for each in ForgeKind]),
    help="Whose API takes commit statuses; gitea also for Forgejo. Without it, none are sent.",
)
@click.option("--api", metavar="URL", help="Where the API is. [default: by the forge and the URL]")
@click.option(
    "--token-file",
    type=_File,
    metavar="FILE",
    help="The token that may read, and write commit statuses; it is copied.",
)
@click.option(
    "--webhook-secret-file",
    type=_File,
    metavar="FILE",
    help="What the forge signs its webhooks with; it is copied.",
)
@click.option(
    "--ssh-key-file", type=_File, metavar="FILE", help="The private key for ssh; it is copied."
)
@click.option(
    "--host-key",
    metavar="LINE",
    help="The ssh server's key, as ssh-keyscan prints it without the host.",
)
@click.option(
    "--ca-file",
    type=_File,
    metavar="FILE",
    help="PEM of the authority of the forge's own certificate.",
)
@click.option("--again", is_flag=True, help="Judge again what was refused.")
@click.option(
    "--off", is_flag=True, help="Mirror none, and forget its secrets: pushes are taken here again."
)
@json_option
def mirror(
    folder: StateFolder,
    *,
    again: bool,
    off: bool,
    as_json: bool,
    token_file: Path | None,
    webhook_secret_file: Path | None,
    ssh_key_file: Path | None,
    ca_file: Path | None,
    **given: Any,
) -> None:
    """Publish the protected branch of a forge instead of what is pushed here; without options, show how it stands.

    What is on that branch passes the same gate as a push. It works while the controller runs.
    """
    if folder.read_bootstrap().role is not Role.CONTROLLER:
        raise ConfigError(f"{folder.root} is a node's: this is for the controller's state folder")
    folder.check_user()
    settings = MirrorSettings(folder)
    if off:
        settings.off()
    else:
        if ca_file is not None:
            given["ca"] = ca_file.read_text(encoding="ascii")
        _set(settings, {name: value for name, value in given.items() if value is not None})
        for file, place in (
            (token_file, settings.token_file),
            (webhook_secret_file, settings.hook_file),
            (ssh_key_file, settings.key_file),
        ):
            if file is not None:
                settings.keep_secret(place, file.read_text(encoding="utf-8"))
        if again:
            settings.forget()
    _show(settings, folder, _notes(settings, folder), as_json=as_json)


def _set(settings: MirrorSettings, given: Mapping[str, Any]) -> None:
    if not given:
        return
    # What is damaged is written anew by --url.
    known = None if "url" in given else settings.mirror()
    if known is None and "url" not in given:
        raise click.UsageError("no forge is mirrored yet: give its --url")
    try:
        settings.set(parse_mirror({**(known.as_json() if known else {}), **given}))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    settings.forget()


def _notes(settings: MirrorSettings, folder: StateFolder) -> tuple[str, ...]:
    if settings.mirror() is None:
        return ()
    with GitStore(folder.repository) as store:
        main = store.head(MAIN)
        if main is None:
            return ()
        files = store.pick(main, POLICY_FILES)
    return notes(review=read_rules(files) is not None, approvals=read_policy(files).approvals > 0)


def _show(
    settings: MirrorSettings, folder: StateFolder, noted: Sequence[str], *, as_json: bool
) -> None:
    known, standing = settings.mirror(), settings.standing()
    hook = (
        f"{folder.read_bootstrap().controller_url}/api/forge"
        if settings.hook_file.exists()
        else None
    )
    if as_json:
        print_json(_told(known, standing, settings, hook, noted))
        return
    if known is None:
        click.echo("No forge is mirrored: what is pushed here is published.")
        return
    click.echo(f"{known.url}, branch {known.branch}, is looked at every {known.poll_s:g} s")
    click.echo(f"  webhooks: {hook or 'none: give --webhook-secret-file'}")
    says = known.forge is not None and settings.token_file.exists()
    click.echo(f"  statuses: {'sent' if says else 'none: give --forge and --token-file'}")
    click.echo(
        f"  tip: {standing.tip or 'not seen yet'}, looked at {standing.looked_at or 'never'}"
    )
    for each in noted:
        click.secho(f"  note: {each}", fg="yellow")
    if standing.refused is not None:
        click.secho(f"  refused: {printable(standing.refused.reason)}", fg="red")
    if standing.problem is not None:
        click.secho(f"  cannot be looked at: {printable(standing.problem)}", fg="red")


def _told(
    known: Mirror | None,
    standing: Standing,
    settings: MirrorSettings,
    hook: str | None,
    noted: Sequence[str],
) -> dict[str, Any] | None:
    if known is None:
        return None
    return {
        "url": known.url,
        "branch": known.branch,
        "poll_s": known.poll_s,
        "forge": None if known.forge is None else known.forge.value,
        "api": known.api,
        "webhook_url": hook,
        "has_token": settings.token_file.exists(),
        "looked_at": standing.looked_at,
        "reached_at": standing.reached_at,
        "tip": standing.tip,
        "refused": None if standing.refused is None else standing.refused.reason,
        "problem": standing.problem,
        "notes": list(noted),
    }
