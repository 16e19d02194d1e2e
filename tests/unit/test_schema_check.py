"""A document is held against its schema, and what does not fit is told in plain words, where it stands."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing.exceptions import Unresolvable

from mftgit.model.documents.document import Document, Kind, parse_document
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.schema_check import SchemaChecker
from mftgit.model.documents.schema_words import show
from mftgit.resources import load_schemas

SCHEMAS = load_schemas()
CHECKERS = {kind: SchemaChecker(SCHEMAS[kind.value]) for kind in Kind}
KEY = "SHA256:R2tJvYwQ0n3bXlMf8sZpKc5uHd1oEaWgT7iVyBqN4xU"


def check(kind: str, text: str) -> list[Problem]:
    return check_with(CHECKERS[Kind(kind)], text)


def check_with(checker: SchemaChecker, text: str) -> list[Problem]:
    document = parse_document("x.yaml", text.encode())
    assert isinstance(document, Document), document
    found = checker.check(document.value, document.positions())
    assert all(each.hint for each in found)
    return found


def told(kind: str, text: str) -> list[str]:
    return [
        f"{each.line}:{each.column} {each.pointer} [{each.rule}] {each.message} -> {each.hint}"
        for each in check(kind, text)
    ]


def sftp(**fields: str) -> str:
    given = {
        "type": "sftp",
        "host": "h",
        "username": "u",
        "host_keys": f"[{KEY}]",
        "auth": "[{password: {file: p}}]",
        **fields,
    }
    return "".join(f"{name}: {value}\n" for name, value in given.items())


def transfer(**fields: str) -> str:
    given = {
        "source": "{location: a}",
        "destination": "{location: b}",
        "trigger": "{watch: {}}",
        **fields,
    }
    return "".join(f"{name}: {value}\n" for name, value in given.items())


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (
            "cluster",
            "{}",
            "1:1  [missing-field] the field 'name' is missing -> add name: What the cluster",
        ),
        ("cluster", "name: A", "1:7 /name [form] must not be 'A' -> expected: a name: 1 to 63"),
        (
            "cluster",
            "name: a\nhello: 1",
            "2:1 /hello [unknown-field] the field 'hello' is not known -> known here: ",
        ),
        (
            "cluster",
            "name: a\nnmae: b",
            "2:1 /nmae [unknown-field] the field 'nmae' is not known -> did you mean 'name'?",
        ),
        ("cluster", "name: 7", "1:7 /name [type] must be a text, is 7 -> put it in quotes"),
        ("cluster", "name: []", "1:7 /name [type] must be a text, is a list -> expected: "),
        ("cluster", "name: ~", "1:7 /name [type] must be a text, is nothing"),
        ("cluster", "name: a\npoll_s: 0.5", "2:9 /poll_s [range] must be at least 1, is 0.5"),
        ("cluster", "name: a\npoll_s: 3601", "2:9 /poll_s [range] must be at most 3600, is 3601"),
        (
            "cluster",
            'name: a\npoll_s: "{{ x }}"',
            "2:9 /poll_s [type] must be a number, is '{{ x }}'",
        ),
        ("cluster", "name: a\npoll_s: true", "2:9 /poll_s [type] must be a number, is true"),
        (
            "cluster",
            "name: a\ncoordinator: {type: shared-foldr}",
            "2:21 /coordinator/type [choice] must be one of shared-folder, etcd, is 'shared-foldr' -> did you mean",
        ),
        (
            "cluster",
            "name: a\ncoordinator: {type: etcd}",
            "2:14 /coordinator [missing-field] the field 'etcd' is missing -> ",
        ),
        (
            "cluster",
            "name: a\ncoordinator: {type: shared-folder, etcd: {endpoints: [x]}}",
            "2:36 /coordinator/etcd [unknown-field] ",
        ),
        (
            "cluster",
            "name: a\ncoordinator: {type: etcd, etcd: {endpoints: ['https://u:p@e']}}",
            "2:46 /coordinator/etcd/endpoints/0 [form] ",
        ),
        (
            "cluster",
            "name: a\ncoordinator: {type: shared-folder, ttl_s: 1.9}",
            "2:43 /coordinator/ttl_s [range] must be at least 2",
        ),
        (
            "member",
            "role: 7",
            "1:7 /role [choice] must be one of controller, node, is 7 -> expected: What the member is",
        ),
        (
            "member",
            "role: node\nlabels: {a b: c}",
            "2:10 /labels/a b [form] the name 'a b' cannot be used here -> expected: 1 to 63",
        ),
        (
            "member",
            "role: node\nlabels: {a: 7}",
            "2:13 /labels/a [type] must be a text, is 7 -> put it in quotes",
        ),
        (
            "member",
            "role: node\nvariables: {Ab: c}",
            "2:13 /variables/Ab [form] the name 'Ab' cannot be used here",
        ),
        (
            "member",
            "role: node\nvariables: {a: '{{ b }}'}",
            "2:16 /variables/a [form] must not be '{{ b }}'",
        ),
        (
            "member",
            "role: node\nvariables: {a: [1]}",
            "2:16 /variables/a [type] must be a text or a number or true or false, is a list",
        ),
        ("location", "type: local", "1:1  [missing-field] the field 'path' is missing"),
        (
            "location",
            "type: local\npath: a\nport: 22",
            "3:1 /port [unknown-field] the field 'port' does not go with this type -> remove it, or change type",
        ),
        (
            "location",
            "type: ftp\npath: a",
            "1:7 /type [choice] must be one of local, sftp",
        ),
        (
            "location",
            "type: local\npath: ../x",
            "2:7 /path [form] must not be '../x' -> expected: a path with /",
        ),
        ("location", sftp(port="0"), "6:7 /port [range] must be at least 1, is 0"),
        (
            "location",
            sftp(port="22.5"),
            "6:7 /port [type] must be a whole number or a text, is 22.5",
        ),
        (
            "location",
            sftp(port="ssh"),
            "6:7 /port [form] must be a whole number, is the text 'ssh' -> write a whole number, or one template",
        ),
        (
            "location",
            sftp(port='"22"'),
            "6:7 /port [form] must be a whole number, is the text '22' -> write it without quotes",
        ),
        (
            "location",
            sftp(port='"{{ a }}{{ b }}"'),
            "6:7 /port [form] must be a whole number, is the text",
        ),
        (
            "location",
            sftp(host="-oProxyCommand=x"),
            "2:7 /host [form] must not be '-oProxyCommand=x'",
        ),
        (
            "location",
            sftp(host_keys="[]"),
            "4:12 /host_keys [size] must have at least 1 item, has 0 -> expected: Fingerprints",
        ),
        (
            "location",
            sftp(host_keys="[SHA256:abc]"),
            "4:13 /host_keys/0 [form] must not be 'SHA256:abc' -> expected: SHA256: and 43",
        ),
        (
            "location",
            sftp().replace(f"host_keys: [{KEY}]\n", ""),
            "1:1  [missing-field] the field 'host_keys' is missing -> add host_keys: Fingerprints of the server's",
        ),
        (
            "location",
            sftp(host_ca="[SHA256:abc]"),
            "6:11 /host_ca/0 [form] must not be 'SHA256:abc' -> expected: the line of an authority's file .pub",
        ),
        (
            "location",
            sftp(algorithms="{ciphers: [aes128-cbc]}"),
            "6:24 /algorithms/ciphers/0 [choice] must be one of aes128-gcm@openssh.com, aes256",
        ),
        (
            "location",
            sftp(algorithms="{macs: []}"),
            "6:20 /algorithms/macs [size] must have at least 1 item",
        ),
        (
            "location",
            sftp(max_connections="65"),
            "6:18 /max_connections [range] must be at most 64",
        ),
        ("location", sftp(keepalive_s="1.5"), "6:14 /keepalive_s [type] must be a whole number"),
        (
            "location",
            sftp(
                jump=f"{{host: h, username: u, host_keys: [{KEY}], auth: [{{password: hunter2}}]}}"
            ),
            "6:113 /jump/auth/0/password [type] must be a mapping, is what it is now",
        ),
        (
            "location",
            sftp(
                jump=f"{{host: h, username: u, host_ca: [x], host_keys: [{KEY}], auth: [{{password: {{file: p}}}}]}}"
            ),
            "6:30 /jump/host_ca [unknown-field] the field 'host_ca' is not known",
        ),
        (
            "location",
            sftp(client="putty"),
            "6:9 /client [choice] must be one of builtin, openssh, is 'putty'",
        ),
        (
            "location",
            sftp(legacy="yes"),
            "6:9 /legacy [form] must be true or false, is the text 'yes'",
        ),
        ("location", sftp(host_keys=f"[MD5:{KEY}]"), "4:13 /host_keys/0 [form] must not be 'MD5:"),
        ("location", sftp(auth="[]"), "5:7 /auth [size] must have at least 1 item"),
        (
            "location",
            sftp(auth="[{}]"),
            (
                "5:8 /auth/0 [missing-field] the field 'password' is missing -> add password: Log in with "
                "this password, or have a private_key instead."
            ),
        ),
        (
            "location",
            sftp(auth="[{password: {file: a}, private_key: {file: b}}]"),
            "5:9 /auth/0/password [unknown-field] the field 'password' does not go with this private_key -> remove it",
        ),
        (
            "location",
            sftp(auth="[{password: {file: a}, passphrase: {file: b}}]"),
            "5:30 /auth/0/passphrase [unknown-field] the field 'passphrase' does not go with this private_key",
        ),
        (
            "location",
            sftp(auth="[{private_key: {file: a}, passphrase: {file: b, secret: c}}]"),
            "5:45 /auth/0/passphrase [size] must have exactly 1 of secret, file, has 2",
        ),
        (
            "location",
            sftp(auth="[{private_key: {file: a}, certificate: ssh-ed25519 AAAA}]"),
            "5:46 /auth/0/certificate [form] must not be what it is now -> expected: the line of an OpenSSH file",
        ),
        (
            "location",
            sftp(auth="[{private_key: {file: a}, certificate: {path: b}}]"),
            "5:47 /auth/0/certificate/path [unknown-field] the field 'path' is not known",
        ),
        (
            "location",
            sftp(auth="[{password: x}]"),
            "5:19 /auth/0/password [type] must be a mapping, is what it is now",
        ),
        (
            "location",
            sftp(auth="[{password: {file: a/b}}]"),
            "5:26 /auth/0/password/file [form] must not be what it is now",
        ),
        ("location", sftp(auth="[{password: {file: ..}}]"), "5:26 /auth/0/password/file [form]"),
        (
            "location",
            sftp(auth='[{password: {file: "a/{{ b }}"}}]'),
            "5:26 /auth/0/password/file [form]",
        ),
        ("location", sftp(username='"a\\nb"'), "3:11 /username [form] must not be 'a\\nb'"),
        ("location", sftp(timeout_s="0"), "6:12 /timeout_s [range] must be at least 1"),
        (
            "transfer",
            transfer(source="{}"),
            "1:9 /source [missing-field] the field 'location' is missing",
        ),
        (
            "transfer",
            transfer(source="{location: a, path: /abs}"),
            "1:29 /source/path [form] must not be '/abs'",
        ),
        ("transfer", transfer(source="{location: a, path: a/../b}"), "1:29 /source/path [form]"),
        ("transfer", transfer(source="{location: a, path: ..}"), "1:29 /source/path [form]"),
        ("transfer", transfer(source='{location: a, path: "x\\n"}'), "1:29 /source/path [form]"),
        ("transfer", transfer(source='{location: a, path: "a\\\\b"}'), "1:29 /source/path [form]"),
        (
            "transfer",
            transfer(source="{location: a, path: x/.mftgit/y}"),
            "1:29 /source/path [form]",
        ),
        (
            "transfer",
            transfer(source="{location: A}"),
            "1:20 /source/location [form] must not be 'A'",
        ),
        (
            "transfer",
            transfer(source="{location: a, include: []}"),
            "1:32 /source/include [size] must have at least 1 item",
        ),
        (
            "transfer",
            transfer(source='{location: a, include: ["../*"]}'),
            "1:33 /source/include/0 [form]",
        ),
        (
            "transfer",
            transfer(source="{location: a, recursive: yes}"),
            "1:34 /source/recursive [form] must be true or false, is the text 'yes'",
        ),
        (
            "transfer",
            transfer(source="{location: a, stable_s: -1}"),
            "1:33 /source/stable_s [range] must be at least 0",
        ),
        (
            "transfer",
            transfer(destination="{location: b, overwrite: fial}"),
            "2:39 /destination/overwrite [choice] must be one of fail, skip, overwrite, rename, if_newer, if_diff",
        ),
        (
            "transfer",
            transfer(destination='{location: b, overwrite: "{{ o }}x"}'),
            "2:39 /destination/overwrite [form] must not be '{{ o }}x' -> expected: one template",
        ),
        (
            "transfer",
            transfer(destination="{location: b, temporary_suffix: /x}"),
            "2:46 /destination/temporary_suffix [form]",
        ),
        (
            "transfer",
            transfer(trigger="{}"),
            "3:10 /trigger [size] must have exactly 1 of cron, interval, watch, after, manual, has 0",
        ),
        (
            "transfer",
            transfer(trigger="{watch: {}, interval: {every_s: 1}}"),
            "3:10 /trigger [size] must have exactly 1 of cron, interval, watch, after, manual, has 2",
        ),
        (
            "transfer",
            transfer(trigger="{watch: ~}"),
            "3:18 /trigger/watch [type] must be a mapping, is nothing",
        ),
        (
            "transfer",
            transfer(trigger="{interval: {}}"),
            "3:21 /trigger/interval [missing-field] the field 'every_s' is missing",
        ),
        (
            "transfer",
            transfer(after_success="{action: archive}"),
            "4:16 /after_success [missing-field] the field 'path' is missing",
        ),
        (
            "transfer",
            transfer(after_success="{action: keep, path: a}"),
            "4:31 /after_success/path [unknown-field] the field 'path' does not go with this action",
        ),
        (
            "transfer",
            transfer(active_on="node"),
            "4:12 /active_on [choice] must be one of all, controller, nodes, is 'node' -> did you mean 'nodes'?",
        ),
        ("transfer", transfer(active_on='"{{ x }}"'), "4:12 /active_on [choice]"),
        ("transfer", transfer(active_on="[]"), "4:12 /active_on [size] must have at least 1 item"),
        (
            "transfer",
            transfer(active_on="{labels: {}}"),
            "4:21 /active_on/labels [size] must have at least 1 field",
        ),
        (
            "transfer",
            transfer(active_on="{}"),
            "4:12 /active_on [missing-field] the field 'labels' is missing",
        ),
        (
            "transfer",
            transfer(enabled='"{{ x }}"'),
            "4:10 /enabled [type] must be true or false, is '{{ x }}'",
        ),
        (
            "transfer",
            transfer(ownership="shared"),
            "4:12 /ownership [choice] must be one of single, each, is 'shared'",
        ),
        (
            "account",
            "home: {path: x}",
            "1:7 /home [missing-field] the field 'location' is missing",
        ),
        (
            "account",
            "login: {require: [totp]}",
            "1:19 /login/require/0 [choice] must be one of key, password, key+password",
        ),
        (
            "account",
            "permissions: [{path: /a/../b, allow: full}]",
            "1:22 /permissions/0/path [form] must not be '/a/../b' -> expected: an absolute path",
        ),
        (
            "account",
            "permissions: [{path: /, allow: all}]",
            "1:32 /permissions/0/allow [choice] must be one of full, read-only, upload-only",
        ),
        (
            "account",
            "folders: [{at: /, location: a}]",
            "1:16 /folders/0/at [form] must not be '/'",
        ),
        (
            "account",
            "expires: tomorrow",
            "1:10 /expires [form] must not be 'tomorrow' -> expected: the last day",
        ),
        (
            "account",
            "login: {password: $argon2id$v=19}",
            "1:19 /login/password [type] must be a mapping, is what it is now",
        ),
        (
            "group",
            "login: {keys: [x]}",
            "1:9 /login/keys [unknown-field] the field 'keys' is not known",
        ),
        (
            "service",
            "type: sftp\nlisten: {}\nhost_keys: [{secret: a}]",
            "2:9 /listen [missing-field] the field 'port' is missing",
        ),
        (
            "service",
            "type: ftp\nlisten: {port: 22}",
            "1:7 /type [choice] must be one of sftp, https, is 'ftp'",
        ),
    ],
)
def test_what_does_not_fit_is_told_in_plain_words(kind: str, text: str, expected: str) -> None:
    (line,) = told(kind, text)
    assert line.startswith(expected)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "location",
            sftp(port='"{{ port }}"', host="sftp.{{ region }}.example", username='"{{ u }}"'),
        ),
        (
            "location",
            sftp(host_keys='["{{ key }}"]', auth='[{password: {file: "{{ p }}.password"}}]'),
        ),
        ("location", sftp(host='"::1"', path="/srv/in")),
        (
            "transfer",
            transfer(source='{location: "{{ a }}", recursive: "{{ b }}", stable_s: "{{c}}"}'),
        ),
        (
            "transfer",
            transfer(
                destination='{location: b, overwrite: "{{ o }}", temporary_suffix: ".{{ s }}"}'
            ),
        ),
        (
            "transfer",
            transfer(trigger='{cron: {expression: "{{ cron }}", timezone: "{{ zone }}"}}'),
        ),
        ("transfer", transfer(after_success='{action: "{{ after }}", path: a}')),
        ("transfer", transfer(after_success='{action: "{{ after }}"}')),
        ("transfer", transfer(source="{location: a, path: ..a/b../...}")),
    ],
)
def test_a_template_may_stand_where_a_value_may(kind: str, text: str) -> None:
    assert told(kind, text) == []


def test_two_missing_and_two_unknown_fields_are_four_problems() -> None:
    assert [each.pointer for each in check("transfer", "a: 1\nb: 2\ntrigger: {watch: {}}")] == [
        "",
        "",
        "/a",
        "/b",
    ]


def test_no_document_has_more_than_a_hundred_problems() -> None:
    assert len(check("cluster", "name: a\n" + "".join(f"x{n}: 1\n" for n in range(1000)))) == 100


class _SchemaServer(BaseHTTPRequestHandler):
    """Gives a schema to whoever asks, and remembers that somebody did."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = b'{"type": "integer"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        pass


def test_a_schema_never_goes_to_the_network() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _SchemaServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            target = f"http://127.0.0.1:{server.server_port}/schema.json"
            checker = SchemaChecker({"properties": {"a": {"$ref": target}}})
            with pytest.raises(Unresolvable):
                check_with(checker, "a: 1")
        finally:
            server.shutdown()
            thread.join()
    assert _SchemaServer.asked == []


def test_a_schema_never_reads_another_file(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"type": "integer"}', encoding="utf-8")
    checker = SchemaChecker({"properties": {"a": {"$ref": other.as_uri()}}})
    with pytest.raises(Unresolvable):
        check_with(checker, "a: 1")


def test_a_keyword_that_our_schemas_do_not_use_is_told_without_the_value() -> None:
    checker = SchemaChecker({"properties": {"a": {"multipleOf": 2}, "b": False}})
    assert [each.message for each in check_with(checker, "a: 3\nb: 1")] == [
        "does not satisfy multipleOf",
        "does not satisfy None",
    ]


def test_words_are_found_even_where_a_schema_has_no_description() -> None:
    checker = SchemaChecker(
        {
            "required": ["z"],
            "properties": {
                "a": {"pattern": "^b"},
                "c": {"type": "string"},
                "d": {"minimum": 2},
                "e": {"maxLength": 1},
                "f": {"propertyNames": {"maxLength": 1}},
                "g": {"enum": [1, 2]},
            },
        }
    )
    found = check_with(checker, "a: x\nc: []\nd: 1\ne: xx\nf: {gg: 1}\ng: 3")
    assert [each.rule for each in found] == [
        "missing-field",
        "form",
        "type",
        "range",
        "size",
        "form",
        "choice",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\x1b[2J\u202eb", r"'a\x1b[2J\u202eb'"),
        ("x" * 1000, "'" + "x" * 59 + "…"),
        (True, "true"),
        (None, "nothing"),
        ({"a": 1}, "a mapping"),
        ([1], "a list"),
        (1.5, "1.5"),
    ],
)
def test_a_value_is_shown_short_and_printable(value: object, text: str) -> None:
    assert show(value) == text


def _subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for key, value in schema.items():
            if key not in {"examples", "default", "enum", "const", "required"}:
                yield from _subschemas(value)


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_a_schema_is_sound_closed_and_tells_what_it_is_about(kind: str) -> None:
    schema = SCHEMAS[kind]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"https://mftgit.invalid/schemas/{kind}.schema.json"
    assert schema["title"]
    assert schema["description"]
    for example in schema["examples"]:
        assert check(kind, json.dumps(example)) == []
    for sub in _subschemas(schema):
        assert sub.get("additionalProperties", True) is not False
        if "properties" in sub and sub.get("type") == "object":
            assert sub["unevaluatedProperties"] is False
        if "properties" in sub and "unevaluatedProperties" in sub:
            for name, field in sub["properties"].items():
                target = (
                    schema["$defs"][field["$ref"].rpartition("/")[2]] if "$ref" in field else {}
                )
                assert {**target, **field}.get("description"), name
                assert {**target, **field}.get("examples"), name


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_no_pattern_lets_a_line_break_slip_in_behind_the_end(kind: str) -> None:
    # Python's $ also stands before a line break at the end; that of ECMA-262, which schemas speak, does not.
    for sub in _subschemas(SCHEMAS[kind]):
        pattern = sub.get("pattern", "") if isinstance(sub.get("pattern", ""), str) else ""
        assert not re.search(r"(?<!\\)\$(?!\(\?!\\n\))", pattern), pattern


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_examples_of_a_field_fit_the_field(kind: str) -> None:
    schema = SCHEMAS[kind]
    for sub in _subschemas(schema):
        own = {**sub, "$defs": schema.get("$defs", {})}
        for example in sub.get("examples", []) if isinstance(sub.get("examples"), list) else []:
            assert Draft202012Validator(own).is_valid(example), (sub, example)


_STRINGS = st.text(max_size=12) | st.sampled_from(
    ["../..", "a/../b", "{{ x }}", "/etc", "x\n", ".mftgit/a"]
)


@given(_STRINGS)
def test_no_path_that_leaves_its_location_passes(path: str) -> None:
    document = {
        "source": {"location": "a", "path": path},
        "destination": {"location": "b"},
        "trigger": {"watch": {}},
    }
    passes = Draft202012Validator(SCHEMAS["transfer"]).is_valid(document)
    parts = path.split("/")
    if passes and "{{" not in path:
        assert not path.startswith("/")
        assert ".." not in parts
        assert not any(part.startswith(".mftgit") for part in parts)
        assert not any(ord(character) < 32 or character in "\x7f\\" for character in path)
