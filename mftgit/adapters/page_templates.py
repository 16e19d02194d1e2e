"""Pages from templates (Jinja2). What a value holds is text in a page, never markup: autoescape is on."""

from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from mftgit.pages import read_page_part


class PageTemplates:
    """The templates in one folder of `mftgit.pages`; compiled once, usable from many threads."""

    def __init__(self, folder: str, filters: Mapping[str, Callable[..., Any]]) -> None:
        """Take the templates in ``folder``, which may use ``filters`` by their names."""
        self._environment = jinja2.Environment(
            loader=jinja2.FunctionLoader(lambda name: _source(folder, name)),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(filters)

    def render(self, template: str, values: Mapping[str, Any]) -> bytes:
        """Return the page that ``template`` makes of ``values``; one that it asks for and is not there raises."""
        return self._environment.get_template(template).render(values).encode()


def _source(folder: str, name: str) -> str | None:
    try:
        return read_page_part(f"{folder}/{name}").decode()
    except FileNotFoundError:
        return None
