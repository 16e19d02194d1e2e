"""Where a member's own page listens: as the revision says, also where the port is taken for a while."""

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from config_tree import validate
from ports import own_port
from waiting import until

from mftgit.adapters.plain_http import Answer, Spot
from mftgit.errors import ConfigError
from mftgit.member.own_web import OwnWeb
from mftgit.model.configuration.config import Generation, Role
from mftgit.model.configuration.render import render
from mftgit.model.names import MemberName

SPOTS = {
    "/": Spot(answer=lambda: Answer(body=b"here\n")),
    "/waits": Spot(answer=lambda: Answer(body=b"waited\n"), waits=True),
    "/broken": Spot(answer=lambda: Answer(body=b"%d" % (1 // 0)), waits=True),
}
VALUES = "variables: {region: emea, port: 1}\n"


def generation(port: int | None) -> Generation:
    web = "" if port is None else f"web: {{listen: {{port: {port}}}}}\n"
    validation = validate({"members/node-1.yaml": f"role: node\n{VALUES}{web}"})
    return render(validation, MemberName("node-1"), Role.NODE)


def says(port: int, path: str = "/") -> str | None:
    """Return what is answered there, None where nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            found: bytes = answer.read()
    except OSError as error:
        return f"{error}" if "HTTP Error" in str(error) else None
    return found.decode()


@contextmanager
def own_web() -> Iterator[OwnWeb]:
    made = OwnWeb(SPOTS)
    try:
        yield made
    finally:
        made.stop()


def test_a_member_listens_where_the_revision_says_and_nowhere_else() -> None:
    with own_web() as web, own_port() as one, own_port() as two:
        for port in (one, two, None):
            web.prepare(generation(port), fresh=True)
            web.apply(generation(port))
            assert says(one) == ("here\n" if port == one else None)
            assert says(two) == ("here\n" if port == two else None)


def test_a_port_that_is_taken_refuses_what_was_never_run_and_keeps_what_runs() -> None:
    with own_web() as web, own_port() as port, socket.create_server(("127.0.0.1", 0)) as taken:
        web.apply(generation(port))
        with pytest.raises(ConfigError, match=r"web: cannot listen on 127\.0\.0\.1 port"):
            web.prepare(generation(taken.getsockname()[1]), fresh=True)
        web.try_again()
        assert says(port) == "here\n"


def test_what_has_run_before_starts_without_a_page_and_has_it_once_the_port_is_free() -> None:
    with own_web() as web, own_port() as port, ExitStack() as other:
        other.enter_context(socket.create_server(("127.0.0.1", port), reuse_port=False))
        web.prepare(generation(port), fresh=False)
        web.apply(generation(port))
        web.try_again()
        other.close()
        web.try_again()
        assert says(port) == "here\n"


def test_what_was_prepared_and_never_applied_is_let_go_of() -> None:
    with own_web() as web, own_port() as port:
        web.prepare(generation(port), fresh=True)
        web.try_again()
        assert says(port) is None


def test_an_answer_that_fails_costs_that_answer_alone() -> None:
    with own_web() as web, own_port() as port:
        web.apply(generation(port))
        assert says(port, "/broken") == "HTTP Error 500: Internal Server Error"
        assert says(port, "/waits") == "waited\n"


def test_who_only_connects_keeps_nobody_from_the_page() -> None:
    with own_web() as web, own_port() as port, ExitStack() as held:
        web.apply(generation(port))
        for _ in range(100):
            held.enter_context(socket.create_connection(("127.0.0.1", port)))
        until(lambda: says(port) == "here\n")
