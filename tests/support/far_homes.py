"""Homes with a virtual folder that a real server has: one for each kind of server."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homes import HomeSite
from places import Place, ftps_place, https_place, s3_place, sftp_place, smb_place

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.home.contract import Home
from mftgit.member.inbound.partners import Partners
from mftgit.model.inbound.permission import Rule
from mftgit.model.locations.far_place import FarPlace
from mftgit.model.locations.location import Client, RemoteLocation

AT = "/partner"


@dataclass(kw_only=True)
class FarSite:
    """A home whose folder `AT` lies on a server; ``place`` is a look behind it."""

    site: HomeSite
    place: Place
    location: RemoteLocation
    partners: Partners

    def open(self, *rules: Rule, clock: Clock | None = None, **more: Any) -> Home:
        far = {AT: FarPlace.of(self.location, ".")}
        return self.site.open(*rules, far=far, lender=self.partners, clock=clock, **more)


def partners_of(secrets_dir: Path, *, clock: Clock | None = None) -> Partners:
    """Return what lends connections, with the secrets of a folder."""
    partners = Partners(clock or SystemClock())
    partners.log_in_by(secrets_dir, {})
    return partners


@contextmanager
def far_site(kind: str, server: Any, work: Path) -> Iterator[FarSite]:
    """Give a home in ``work``, with a folder that ``server`` has, which is of ``kind``."""
    root, home = work / "root", work / "home"
    root.mkdir()
    home.mkdir()
    location: RemoteLocation
    match kind:
        case "smb":
            place, path = smb_place(root, server), str(root.relative_to(server.folder))
        case "s3":
            place, path = s3_place(root, server), f"{root.parent.name}/x"
        case "ftps":
            place, path = ftps_place(root, server), str(root)
        case "https":
            place, path = https_place(root, server), f"/{root.relative_to(server.folder)}"
        case _:
            place, path = sftp_place(root, server, Client.BUILTIN), str(root)
    location = server.location(path=path)
    with place as behind, closing(partners_of(server.secrets_dir)) as partners:
        yield FarSite(site=HomeSite(home), place=behind, location=location, partners=partners)
