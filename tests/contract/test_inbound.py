from collections.abc import Iterator
from pathlib import Path

import pytest
from inbound_site import InboundSite, inbound_site, until

from mftgit.model.events import EventName
from mftgit.model.service_status import ServiceState

pytestmark = [pytest.mark.needs("sftp"), pytest.mark.needs("ssh-keygen")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[InboundSite]:
    with inbound_site(tmp_path) as made:
        yield made


def test_an_upload_is_told_of_before_the_client_hears_that_it_is_there(site: InboundSite) -> None:
    site.apply(site.documents("acme"))
    (site.root / "report").write_text("content", encoding="utf-8")

    done = site.sftp("acme", "put report", "ls")

    assert done.returncode == 0, done.stdout
    assert "report" in done.stdout
    assert (site.home("acme") / "report").read_text(encoding="utf-8") == "content"
    (upload,) = site.events(EventName.UPLOAD_FINISHED)
    assert (upload["account"], upload["path"], upload["size_bytes"]) == ("acme", "/report", 7)
    assert upload["source"] == "127.0.0.1"
    assert [finished.path for _, finished in site.arrived] == ["/report"]
    assert len(site.events(EventName.SESSION_OPENED)) == 1


def test_the_service_says_how_it_is(site: InboundSite) -> None:
    site.apply(site.documents("acme"))

    until("it serves", lambda: site.status().state is ServiceState.SERVING)

    assert site.status().address == f"127.0.0.1:{site.port}"
    assert site.status().workers == 1
