"""A folder on a server, as the processes that serve clients are told of it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from mftgit.model.locations.document import build_location, format_location
from mftgit.model.locations.location import Location, RemoteLocation
from mftgit.model.names import LocationName


@dataclass(frozen=True, slots=True, kw_only=True)
class FarPlace:
    """The folder ``path`` below that of a location on a server, whose ``document`` is JSON; no secret is in it."""

    location: LocationName
    document: str
    path: str = "."

    @classmethod
    def of(cls, location: RemoteLocation, path: str) -> Self:
        """Return the folder ``path`` of ``location``."""
        document = json.dumps(format_location(location), sort_keys=True)
        return cls(location=location.name, document=document, path=path)

    def read(self) -> RemoteLocation:
        """Return the location.

        Raises:
            ValueError: its document is none of a server.
        """
        location: Location = build_location(self.location, json.loads(self.document))
        if not isinstance(location, RemoteLocation):
            raise ValueError(f"location {self.location} is a folder of this machine")  # noqa: TRY004
        return location

    def written(self, inner: Iterable[str]) -> str:
        """Return how events write what lies at ``inner`` of it."""
        parts = (each for each in self.path.split("/") if each not in {"", "."})
        return f"{self.location}:{'/'.join((*parts, *inner))}"
