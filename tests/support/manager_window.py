"""The Web Manager in a real browser: log in, and see that a page is for all."""

from typing import Protocol

from accessible import check_page
from browser import Browser
from controller_site import Site


class Place(Protocol):
    """Where a Web Manager is, and the first operator's password."""

    @property
    def url(self) -> str: ...

    @property
    def password(self) -> str: ...


def log_in(window: Browser, site: Place, name: str = "admin", password: str | None = None) -> None:
    """Log in by the page, and wait until it is done."""
    window.open(f"{site.url}/login")
    window.type("input[name=name]", name)
    window.type("input[name=password]", password or site.password)
    window.click("main button")
    window.shows("Log out")


def check_pages(window: Browser, site: Site, *paths: str) -> None:
    """See that the pages at ``paths`` are for all: who is logged in in ``window`` opens one after the other."""
    for path in paths:
        window.open(f"{site.url}{path}")
        window.shows("mftgit")
        check_page(window, path.strip("/").replace("/", "-") or "start")
