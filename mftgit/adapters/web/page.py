"""The pages for browsers: a folder with its files, and where to log in. They work without a script, but for uploads."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final
from urllib.parse import quote

from mftgit.adapters.home.contract import Attributes

MAX_SHOWN: Final = 5000
OWN: Final = "/.mftgit/"
"""Below this path are the pages' own parts; no file of an account has such a name."""

_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")

_FRAME: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/.mftgit/files.css">
<script src="/.mftgit/files.js" defer></script>
</head>
<body>
{content}
</body>
</html>
"""


def render_login(*, refused: bool, path: str) -> str:
    """Return the page where to log in, on the way to ``path``."""
    alert = '<p role="alert">This did not let you in.</p>' if refused else ""
    content = f"""<main>
<h1>Log in</h1>
{alert}
<form method="post" action="{OWN}login">
<input type="hidden" name="path" value="{_text(path)}">
<label>Name <input name="name" autocomplete="username" required autofocus maxlength="64"></label>
<label>Password <input name="password" type="password" autocomplete="current-password" maxlength="1024"></label>
<label>One-time code, if you have one
<input name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="16"></label>
<button>Log in</button>
</form>
</main>"""
    return _FRAME.format(title="Log in", content=content)


def render_folder(account: str, path: str, entries: Sequence[tuple[str, Attributes]]) -> str:
    """Return the page of the folder ``path`` with up to `MAX_SHOWN` of its ``entries``."""
    shown = sorted(entries[:MAX_SHOWN], key=lambda each: (not each[1].is_folder, each[0]))
    rows = "\n".join(_row(name, each) for name, each in shown)
    more = ""
    if len(entries) > MAX_SHOWN:
        more = f"<p>Only {MAX_SHOWN:,} of more names are shown; SFTP has all.</p>"
    content = f"""<header>
<nav aria-label="folder">{_crumbs(path)}</nav>
<form method="post" action="{OWN}logout"><span>{_text(account)}</span> <button>Log out</button></form>
</header>
<main>
<h1>{_text(path.rstrip("/").rpartition("/")[2] or "home")}</h1>
<p><label class="drop" id="drop">Drop files here, or choose them <input type="file" id="choose" multiple></label></p>
<ul id="uploads" aria-live="polite"></ul>
<table>
<thead><tr><th scope="col">Name</th><th scope="col">Size</th><th scope="col">Changed (UTC)</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
{more}
</main>"""
    return _FRAME.format(title=_text(path), content=content)


def _row(name: str, found: Attributes) -> str:
    link = f"./{_url(name)}{'/' if found.is_folder else ''}"
    size = "" if found.is_folder else _size(found.size_bytes)
    when = datetime.fromtimestamp(found.mtime_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
    label = f"{_text(name)}{'/' if found.is_folder else ''}"
    return f'<tr><td><a href="{link}">{label}</a></td><td>{size}</td><td>{when}</td></tr>'


def _crumbs(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    links = ['<a href="/">home</a>']
    for index, part in enumerate(parts, 1):
        href = "/".join(_url(each) for each in parts[:index])
        links.append(f'<a href="/{href}/">{_text(part)}</a>')
    return " / ".join(links)


def _size(size_bytes: int) -> str:
    amount, unit = float(size_bytes), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:  # noqa: PLR2004
        amount, unit = amount / 1024, unit + 1
    return f"{size_bytes} bytes" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def _text(value: str) -> str:
    readable = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return escape(readable, quote=True)


def _url(name: str) -> str:
    return quote(name.encode("utf-8", "surrogateescape"), safe="")
