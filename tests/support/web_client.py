"""A client of the Web Manager that does what a browser without scripts does."""

import http.client
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlencode

from controller_site import Site


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: Message
    text: str


@dataclass
class WebClient:
    """One browser's cookies; ``headers`` are sent with everything."""

    site: Site
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=lambda: {"Sec-Fetch-Site": "same-origin"})

    def ask(
        self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask, and keep the cookies that are set."""
        context = ssl.create_default_context(cafile=str(self.site.folder.ca_file))
        host, port = self.site.url.removeprefix("https://").split(":")
        line = http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {**self.headers, **({"Cookie": cookie} if cookie else {}), **(headers or {})}
        try:
            line.request(method, path, body=body.encode(), headers=sent)
            answer = line.getresponse()
            text = answer.read().decode()
        finally:
            line.close()
        for each in answer.headers.get_all("Set-Cookie") or ():
            name, _, rest = each.partition("=")
            value, _, how = rest.partition(";")
            self.cookies[name] = value
            if "Max-Age=0" in how:
                del self.cookies[name]
        return Answer(status=answer.status, headers=answer.headers, text=text)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a form as it is, without a token."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", path, urlencode(fields), {**kind, **(headers or {})})

    def send(self, page: str, action: str, **fields: str) -> Answer:
        """Fill in the form of ``page`` that goes to ``action``, and send it."""
        shown = self.get(page)
        assert shown.status == 200, (shown.status, shown.text)
        return self.post(action, {**form_fields(shown.text, action), **fields})

    def log_in(self, name: str = "admin", password: str | None = None, *, to: str = "") -> Answer:
        """Log in by the page."""
        page = f"/login?{urlencode({'to': to})}" if to else "/login"
        return self.send(page, "/login", name=name, password=password or self.site.password)

    @property
    def token(self) -> str:
        """The token that forms and scripts show."""
        found = re.search(r'data-form-token="([^"]*)"', self.get("/account").text)
        assert found is not None
        return found[1]


def form_fields(page: str, action: str) -> dict[str, str]:
    """Return the hidden fields of the form of ``page`` that goes to ``action``."""
    forms = _Forms()
    forms.feed(page)
    assert action in forms.found, f"no form to {action} among {sorted(forms.found)}"
    return forms.found[action]


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str]] = {}
        self._fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: unescape(value or "") for name, value in attrs}
        if tag == "form":
            self._fields = self.found.setdefault(said.get("action", ""), {})
        elif tag == "input" and said.get("type") == "hidden":
            self._fields[said["name"]] = said.get("value", "")
