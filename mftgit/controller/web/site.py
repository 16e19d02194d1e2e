"""The Web Manager, put together: its resources, where to log in, what pages load, and the description of the API."""

from mftgit.adapters.http_server.doors import Door
from mftgit.controller.web.doors import AnyDoor, ApiDoor, StreamDoor, Topic
from mftgit.controller.web.layout import Layout
from mftgit.controller.web.live import Live
from mftgit.controller.web.login import Login
from mftgit.controller.web.openapi import description_door
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.serve import GUARDED, Serving
from mftgit.controller.web.table import NAVIGATION, RESOURCES


class WebSite:
    """The doors for people and for programs, and the thread that tells open pages of news."""

    def __init__(self, parts: WebParts) -> None:
        """Build every resource from ``parts``."""
        layout = Layout(GUARDED, NAVIGATION)
        resources = all_doors(parts)
        topics = [each for each in resources if isinstance(each, Topic)]
        self._live = Live(topics, parts.sessions)
        self._streams = [each for each in resources if isinstance(each, StreamDoor)]
        serving = Serving(layout, parts.sessions, parts.codes)
        self.doors: list[Door] = [
            *serving.doors(resources),
            *Login(layout, parts.sessions, parts.log_in, parts.events, parts.vouching).doors(),
            *self._live.doors(),
            layout.door(),
            serving.nowhere(),
        ]

    def start(self) -> None:
        """Begin to look for news."""
        self._live.start()

    def stop(self) -> None:
        """Tell nobody any more."""
        self._live.stop()
        for each in self._streams:
            each.stop()


def all_doors(parts: WebParts) -> list[AnyDoor]:
    """Return the doors of every resource, and that to the description of the API."""
    made = [door for resource in RESOURCES for door in resource(parts)]
    api = [each for each in made if isinstance(each, ApiDoor | StreamDoor)]
    return [*made, description_door(api)]
