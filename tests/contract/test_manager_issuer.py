"""Logging in by an issuer (OpenID Connect): who is vouched for comes in, and no lie or mix-up opens anything."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from controller_site import NOW, Site, controller_site
from cryptography.hazmat.primitives.asymmetric import rsa
from issuer import CLIENT, SECRET, Provider, provider
from jsonschema import Draft202012Validator
from web_client import WebClient

from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry.registry import Registry
from mftgit.cli.main import run_verb
from mftgit.controller.web.sessions import COOKIE
from mftgit.model.access import OperatorRole
from mftgit.model.events.event import EventName
from mftgit.model.names import OperatorName
from mftgit.resources import load_schemas


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish({})
        yield made


@pytest.fixture
def issuer(site: Site, tmp_path: Path) -> Iterator[Provider]:
    """A provider that vouches for operators of the site."""
    with provider(tmp_path) as made:
        (tmp_path / "ca.pem").write_text(made.ca, encoding="utf-8")
        (tmp_path / "secret").touch(mode=0o600)
        (tmp_path / "secret").write_text(f"{SECRET}\n", encoding="utf-8")
        set_issuer(site, made, tmp_path)
        made.redirect_uri = f"{site.url}/login/issuer/callback"
        yield made
        assert run_verb(["issuer", "remove", "--dir", str(site.folder.root)]) == 0


def set_issuer(site: Site, made: Provider, folder: Path, *more: str) -> None:
    words = ["--client-id", CLIENT, "--secret-file", str(folder / "secret")]
    words += ["--ca", str(folder / "ca.pem"), "--publish", "mft", "--read", "staff", *more]
    assert run_verb(["issuer", "set", made.url, *words, "--dir", str(site.folder.root)]) == 0


def go(client: WebClient, issuer: Provider, *, to: str = "/cluster") -> Any:
    """Go to the issuer and back, as a browser does; return the last answer."""
    return come_back(client, issuer.authorize(begin(client, issuer, to=to)))


def begin(client: WebClient, issuer: Provider, *, to: str = "/cluster") -> str:
    assert "Log in by 127.0.0.1" in client.get("/login").text
    there = client.get(f"/login/issuer?to={to}").headers["Location"]
    assert there.startswith(f"{issuer.url}/authorize?tenant=1&")
    return urlsplit(there).query


def come_back(client: WebClient, url: str) -> Any:
    parts = urlsplit(url)
    return client.get(f"{parts.path}?{parts.query}", {"Sec-Fetch-Site": "cross-site"})


def is_in(client: WebClient) -> bool:
    return client.get("/account").status == 200


def test_who_is_vouched_for_comes_in_with_the_role_of_a_claim(
    site: Site, issuer: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    client = WebClient(site)
    let_in = go(client, issuer, to="/account")
    assert (let_in.status, let_in.headers["Location"]) == (303, "/account")
    account = json.loads(client.get("/api/v1/account").text)
    assert (account["name"], account["role"]) == ("olga", "publish")
    told = [each for _, each in site.events.after(0) if each.event is EventName.OPERATOR_LOGGED_IN]
    assert told[-1].facts["by_issuer"] is True
    capsys.readouterr()
    assert run_verb(["issuer", "show", "--dir", str(site.folder.root), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    Draft202012Validator(load_schemas()["output-issuer-show"]).validate(shown)
    assert shown["redirect_uri"] == issuer.redirect_uri
    assert SECRET.encode() not in site.folder.registry.read_bytes()
    issuer.claims["groups"] = "staff"
    assert go(client, issuer).status == 303
    assert json.loads(client.get("/api/v1/account").text)["role"] == "read"


def test_sessions_end_with_the_settings_of_the_issuer(
    site: Site, issuer: Provider, tmp_path: Path
) -> None:
    client = WebClient(site)
    go(client, issuer)
    assert is_in(client)
    set_issuer(site, issuer, tmp_path, "--read", "more")
    assert not is_in(client)


def nonce_of_another_login(told: dict[str, Any]) -> None:
    told["nonce"] = "x"


def unsigned(_: Provider, told: dict[str, Any]) -> str:
    return jwt.encode(told, "", "none")


def signed_by_a_stranger(issuer: Provider, told: dict[str, Any]) -> str:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(told, stranger, "RS256", {"kid": issuer.kid})


def signed_with_our_password(issuer: Provider, told: dict[str, Any]) -> str:
    return jwt.encode(told, SECRET * 4, "HS256", {"kid": issuer.kid})


def signed_with_the_public_key(issuer: Provider, told: dict[str, Any]) -> str:
    public = json.dumps(issuer.keys()["keys"][0])
    return jwt.encode(told, public, "HS256", {"kid": issuer.kid})


@pytest.mark.parametrize(
    "lie",
    [
        lambda told: told.update(iss="https://other.invalid"),
        lambda told: told.update(aud="another-client"),
        lambda told: told.update(aud=[CLIENT, "another-client"]),
        lambda told: told.update(azp="another-client"),
        lambda told: told.update(exp=told["iat"] - 3600),
        lambda told: told.pop("exp"),
        lambda told: told.pop("nonce"),
        nonce_of_another_login,
        lambda told: told.update(groups=["other"]),
        lambda told: told.pop("groups"),
        lambda told: told.update(groups=[{"x": 1}, None]),
        lambda told: told.update(preferred_username="../../etc"),
        lambda told: told.update(preferred_username="admin"),
        lambda told: told.pop("preferred_username"),
    ],
)
def test_a_word_that_is_not_for_us_now_opens_nothing(
    site: Site, issuer: Provider, lie: Callable[[dict[str, Any]], object]
) -> None:
    issuer.lie = lie
    client = WebClient(site)
    refused = go(client, issuer)
    assert (refused.status, "You were not let in" in refused.text) == (403, True)
    assert COOKIE not in client.cookies


@pytest.mark.parametrize(
    "sign",
    [unsigned, signed_by_a_stranger, signed_with_our_password, signed_with_the_public_key],
)
def test_a_word_that_the_issuer_did_not_sign_opens_nothing(
    site: Site, issuer: Provider, sign: Callable[[Provider, dict[str, Any]], str]
) -> None:
    issuer.sign = sign
    client = WebClient(site)
    assert go(client, issuer).status == 403
    assert COOKIE not in client.cookies


def test_an_answer_is_for_the_browser_that_asked_and_once(site: Site, issuer: Provider) -> None:
    mine, other = WebClient(site), WebClient(site)
    answer = issuer.authorize(begin(mine, issuer))
    assert come_back(other, answer).status == 403
    begin(other, issuer)
    assert come_back(other, answer).status == 403
    assert come_back(mine, answer.replace("state=", "state=x")).status == 403
    assert come_back(mine, f"{answer}&error=access_denied").status == 403
    elsewhere = answer.replace(f"iss={issuer.url[:5]}", "iss=other")
    assert "another issuer" in come_back(mine, elsewhere).text
    assert come_back(mine, answer).status == 303
    again = WebClient(
        site, cookies={name: value for name, value in mine.cookies.items() if name != COOKIE}
    )
    assert come_back(again, answer).status == 403


def test_a_key_that_was_changed_is_looked_up_anew(site: Site, issuer: Provider) -> None:
    assert go(WebClient(site), issuer).status == 303
    issuer.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issuer.kid = "two"
    assert go(WebClient(site), issuer).status == 303


@pytest.mark.parametrize(
    "described",
    [
        {"issuer": "https://other.invalid"},
        {"authorization_endpoint": "http://other.invalid/authorize"},
        {"authorization_endpoint": None},
    ],
)
def test_a_provider_that_is_not_the_one_that_was_set_is_not_gone_to(
    site: Site, issuer: Provider, described: dict[str, Any]
) -> None:
    issuer.described = described
    refused = WebClient(site).get("/login/issuer")
    assert (refused.status, "You were not let in" in refused.text) == (403, True)


def test_a_provider_that_is_away_or_that_nobody_knows_lets_passwords_in(
    site: Site, issuer: Provider, tmp_path: Path
) -> None:
    other = replace(issuer, url="https://127.0.0.1:1")
    set_issuer(site, other, tmp_path)
    client = WebClient(site)
    assert client.get("/login/issuer").status == 403
    assert client.log_in().status == 303
    (tmp_path / "ca.pem").write_bytes(site.folder.ca_file.read_bytes())
    set_issuer(site, issuer, tmp_path)
    assert client.get("/login/issuer").status == 403
    assert issuer.asked == []


def test_an_operator_with_a_password_here_is_nobody_of_the_issuers(
    site: Site, issuer: Provider
) -> None:
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.add_operator(OperatorName("olga"), hash_password("p"), OperatorRole.READ)
        assert "who is somebody else" in go(WebClient(site), issuer).text
        registry.remove_operator(OperatorName("olga"))


def test_a_session_of_the_issuer_ends_where_somebody_else_gets_its_name(
    site: Site, issuer: Provider
) -> None:
    client = WebClient(site)
    go(client, issuer)
    assert is_in(client)
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.add_operator(OperatorName("olga"), hash_password("p"), OperatorRole.READ)
        assert not is_in(client)
        registry.remove_operator(OperatorName("olga"))


def test_nobody_vouches_where_none_is_set(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client, folder = WebClient(site), str(site.folder.root)
    assert "Log in by" not in client.get("/login").text
    assert client.get("/login/issuer").status == 403
    assert client.get("/login/issuer/callback?state=x&code=y").status == 403
    (tmp_path / "secret").touch(mode=0o600)
    words = ["--client-id", "x", "--secret-file", str(tmp_path / "secret"), "--dir", folder]
    assert run_verb(["issuer", "set", "http://plain.invalid", *words, "--read", "x"]) == 2
    assert run_verb(["issuer", "set", "https://safe.invalid", *words]) == 2
    capsys.readouterr()
    for name, more in (("issuer-set", ["--read", "x"]), ("issuer-remove", [])):
        verb = name.rpartition("-")[2]
        asked = ["https://safe.invalid", *words, *more] if verb == "set" else ["--dir", folder]
        assert run_verb(["issuer", verb, *asked, "--json"]) == 0
        shown = json.loads(capsys.readouterr().out)
        Draft202012Validator(load_schemas()[f"output-{name}"]).validate(shown)


def test_the_browser_is_sent_to_the_provider_with_a_challenge_and_no_secret(
    site: Site, issuer: Provider
) -> None:
    client = WebClient(site)
    asked = parse_qs(begin(client, issuer))
    assert asked["code_challenge_method"] == ["S256"]
    secrets = client.cookies["__Host-mftgit-issuer"].split(".")
    assert asked["state"] == [secrets[0]]
    assert secrets[2] not in str(asked)
