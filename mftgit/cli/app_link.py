"""The link that an authenticator app takes, with a picture of it for a phone's camera."""

import io
import sys

import click
import segno


def echo_app_link(uri: str, *, err: bool = False) -> None:
    """Print ``uri``, to standard error with ``err``; a terminal gets a QR code (ISO/IEC 18004) of it too."""
    stream = sys.stderr if err else sys.stdout
    click.echo(f"\n  {uri}\n", err=err)
    if stream.isatty() and _can_draw(stream.encoding):
        for line in _drawn(uri):
            # A camera wants dark on light, whatever the colours of the terminal are.
            click.secho(line, err=err, fg="bright_white", bg="black")


def _can_draw(encoding: str) -> bool:
    try:
        "▀▄█".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _drawn(text: str) -> list[str]:
    picture = io.StringIO()
    segno.make_qr(text, error="m").terminal(picture, compact=True)
    return picture.getvalue().splitlines()
