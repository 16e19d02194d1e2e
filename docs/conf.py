"""How Sphinx builds the documentation site: ``tox run -e docs``, into ``.tox/docs/site``."""  # noqa: INP001  Sphinx reads it by its path

import os
import re
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")

project = "mftgit"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "mftgit"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
nitpicky = True
myst_heading_anchors = 4  # as a forge gives them
_version = (DOCS.parent / "mftgit" / "__init__.py").read_text(encoding="utf-8")
version = release = re.findall(r'__version__ = "(.*)"', _version)[0]


def name_what_is_not_here(_app: Sphinx, page: str, source: list[str]) -> None:
    """Name folders and pages of the source tree beside ``docs`` by their path: on a forge they are links."""
    place = (DOCS / page).parent

    def named(link: re.Match[str]) -> str:
        text, target = link.groups()
        if "://" in target or target.startswith("#"):
            return link[0]
        path = Path(os.path.normpath(place / target.partition("#")[0]))
        if path.is_relative_to(DOCS) or (path.is_file() and path.suffix != ".md"):
            return link[0]
        where = f"`{path.relative_to(DOCS.parent)}`"
        return text if where == text else f"{text} ({where} in the source)"

    source[0] = LINK.sub(named, source[0])


def setup(app: Sphinx) -> None:
    """Show diagrams, which a forge draws, as the text that they are: no script is fetched from anywhere."""
    for language in ("mermaid", "haproxy"):
        app.add_lexer(language, TextLexer)
    app.connect("source-read", name_what_is_not_here)
