"""A transfer one side of which, or both, is at a partner with a real sshd: an `outbound_site` at a distance."""

from dataclasses import dataclass, replace
from pathlib import Path

from outbound_site import Site

from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.adapters.sftp.endpoint import connect
from mftgit.model.configuration.config import Generation
from mftgit.model.locations.location import Location, SftpLocation
from mftgit.model.names import LocationName, MemberName


@dataclass
class Far(Site):
    """A site one side of which, or both, is at the partner, over the line."""

    far: tuple[LocationName, ...] = ()
    there_at: SftpLocation | None = None
    secrets_dir: Path = Path()

    def location(self, name: LocationName) -> SftpLocation:
        assert self.there_at is not None
        return replace(self.there_at, name=name, path=str(self.root / self.paths[name]))

    def generation(self, member: MemberName) -> Generation:
        made = super().generation(member)
        far = {name: self.location(name) for name in self.far}
        return replace(made, locations={**made.locations, **far})

    def open(self, location: Location, make: bool = False) -> Endpoint:  # noqa: ARG002, FBT001, FBT002
        if isinstance(location, SftpLocation):
            return connect(location, secrets_dir=self.secrets_dir)
        return LocalEndpoint(self.root / location.path)
