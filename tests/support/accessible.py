"""See that people can use a page: axe-core's rules in light and dark, no sideways scrolling on a phone, pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

from browser import Browser

PHONE_PX = 360
_DESK_PX = 1280
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = """
return axe.run(document, { runOnly: arguments[0], resultTypes: ["violations"] }).then((found) =>
  found.violations.flatMap((rule) => rule.nodes.map((each) =>
    `${rule.id}: ${rule.help}: ${each.html.slice(0, 200)}: ${each.failureSummary}`)));
"""
_TOO_WIDE = """
const most = document.documentElement.clientWidth;
return document.documentElement.scrollWidth <= most ? [] : [...document.body.querySelectorAll("*")]
  .filter((each) => each.getBoundingClientRect().right > most + 1 && !each.closest(".wide"))
  .map((each) => each.outerHTML.slice(0, 120)).concat("the page scrolls sideways");
"""
_CUT_OFF = """
const most = document.documentElement.clientWidth;
const within = (each) => {
  const text = document.createRange();
  text.selectNodeContents(each);
  const { left, right } = text.getBoundingClientRect();
  return left >= 0 && right <= most + 1;
};
const reasons = [...document.querySelectorAll(".why p, .reason")];
return [0, 1e6, 0].flatMap((at) => {
  for (const each of document.querySelectorAll(".wide")) each.scrollLeft = at;
  return reasons.filter((each) => !within(each)).map((each) => `cut off: ${each.outerHTML.slice(0, 120)}`);
});
"""
"""Which explanations in tables, wherever these are scrolled to, do not stand within the screen."""


def check_page(window: Browser, name: str) -> None:
    """See that the page that ``window`` shows is for all, and keep pictures of it under ``name``."""
    for scheme in ("light", "dark"):
        with _looking(window, width_px=_DESK_PX, scheme=scheme):
            window.keep_picture(f"{name}-{scheme}")
            found = find_barriers(window)
            assert not found, "\n".join([f"{name}, {scheme}:", *found])
    with _looking(window, width_px=PHONE_PX, scheme="light"):
        window.keep_picture(f"{name}-phone")
        found = window.run(_TOO_WIDE) + window.run(_CUT_OFF)
        assert not found, "\n".join([f"{name}, {PHONE_PX} px wide:", *found])


def find_barriers(window: Browser) -> list[str]:
    """Return what axe-core finds on the page."""
    window.run(_axe())
    found: list[str] = window.run(_RUN, _RULES)
    return found


@contextmanager
def _looking(window: Browser, *, width_px: int, scheme: str) -> Iterator[None]:
    size = {"width": width_px, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    wish = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    _tell(window, "Emulation.setDeviceMetricsOverride", size)
    _tell(window, "Emulation.setEmulatedMedia", wish)
    try:
        yield
    finally:
        _tell(window, "Emulation.clearDeviceMetricsOverride", {})
        _tell(window, "Emulation.setEmulatedMedia", {"features": []})


def _tell(window: Browser, command: str, params: dict[str, Any]) -> None:
    window.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": params})


@cache
def _axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
