"""``mftgit manual``: write man pages, made from what ``--help`` tells."""

from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from mftgit import __version__
from mftgit.adapters.durable import replace_file
from mftgit.errors import MftgitError

Words = tuple[str, ...]


@click.command(
    epilog="""\b
Examples:
  mftgit manual ~/.local/share/man && man mftgit-transfer-owner
  mftgit manual /usr/local/share/man
"""
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def manual(folder: Path) -> None:
    """Write a man page for each verb into DIR/man1, which is made where it is missing.

    man finds them where DIR is ~/.local/share/man, /usr/local/share/man, or named in MANPATH.
    """
    pages = folder / "man1"
    root = click.get_current_context().find_root()
    try:
        pages.mkdir(parents=True, exist_ok=True)
        written = [_write(pages, context) for context in _verbs(root)]
    except OSError as error:
        raise MftgitError(
            f"{pages}: {error.strerror or error}: name a folder of your own"
        ) from error
    click.echo(f"{len(written)} pages are in {pages}")


def _verbs(context: click.Context) -> Iterator[click.Context]:
    """Give a context for each verb, the one that leads to others before these."""
    yield context
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _verbs(click.Context(found, info_name=name, parent=context))


def _write(pages: Path, context: click.Context) -> Path:
    path = pages / f"{_name(context)}.1"
    replace_file(path, "\n".join(_page(context)).encode() + b"\n")
    path.chmod(0o644)
    return path


def _name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _page(context: click.Context) -> Iterator[str]:
    command = context.command
    summary = command.get_short_help_str(limit=200).rstrip(".")
    yield f'.TH "{_name(context).upper()}" 1 "" "mftgit {__version__}" "mftgit"'
    yield from (".SH NAME", f"{_text(_name(context))} \\- {_text(summary)}")
    yield ".SH SYNOPSIS"
    pieces = " ".join(_text(piece) for piece in command.collect_usage_pieces(context))
    yield f"\\fB{_text(context.command_path)}\\fR {pieces}"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(command.help or "")
    yield from _listed("OPTIONS", _options(context))
    if isinstance(command, click.Group):
        yield from _listed("VERBS", _below(command, context))
    if command.epilog:
        yield from (".SH NOTES", *_paragraphs(command.epilog))
    if context.parent is not None:
        yield from (".SH SEE ALSO", f"\\fB{_text(_name(context.parent))}\\fR(1)")


def _options(context: click.Context) -> Iterator[tuple[str, str]]:
    for each in context.command.get_params(context):
        record = each.get_help_record(context)
        if record is not None and record[1]:  # of most arguments the usage tells enough
            yield record


def _below(group: click.Group, context: click.Context) -> Iterator[tuple[str, str]]:
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if found is not None and not found.hidden:
            yield f"{_name(context)}-{name}(1)", found.get_short_help_str(limit=200)


def _listed(title: str, rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    found = list(rows)
    if found:
        yield f".SH {title}"
    for name, meaning in found:
        yield from (".TP", f"\\fB{_text(name)}\\fR", _text(meaning))


def _paragraphs(text: str) -> Iterator[str]:
    r"""Give the paragraphs of ``text``; one that ``\b`` stands before keeps its lines, as click has it."""
    for place, paragraph in enumerate(cleandoc(text).split("\n\n")):
        if place:
            yield ".PP"
        if paragraph.startswith("\b\n"):
            lines = paragraph.removeprefix("\b\n").splitlines()
            yield from (".nf", *map(_text, lines), ".fi")
        else:
            yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """Return one line as roff takes it for what it is (groff_man(7))."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{safe}" if safe.startswith(".") else safe
