"""A revision after another one is judged, rendered and planned as if it were the first that is ever looked at."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from config_tree import VALID, entry, tree
from hypothesis import given, settings
from hypothesis import strategies as st
from secret_documents import make_key, sealed

from mftgit.model.configuration.config import Generation, Role
from mftgit.model.configuration.plan import Job, Plan, jobs, plan
from mftgit.model.configuration.render import render
from mftgit.model.configuration.rendered import InvalidConfigError
from mftgit.model.documents.document import Kind
from mftgit.model.documents.places import sort_changed
from mftgit.model.names import MemberName, TransferName
from mftgit.model.rules.tree import Entry, Tree
from mftgit.model.rules.validate import Validation, Validator
from mftgit.resources import load_schemas

EXAMPLES = min(settings().max_examples, 500)  # each takes a third of a second
SCHEMAS = load_schemas()
ZONES = frozenset({"Europe/Berlin"})
NODE = MemberName("node-1")
SHARE = "type: local\npath: "
PARTNER = (
    "type: sftp\nhost: h.example\nusername: u\nport: {port}\npath: {path}\nauth: [{{password: {{file: f}}}}]\n"
    "host_keys: [SHA256:R2tJvYwQ0n3bXlMf8sZpKc5uHd1oEaWgT7iVyBqN4xU]\n"
)


def transfer(source: str, destination: str, more: str = "") -> str:
    return (
        f"source: {{location: {source}}}\ndestination: {{location: {destination}}}\n"
        f"trigger: {{watch: {{every_s: 1}}}}\nafter_success: {{action: keep}}\n{more}"
    )


LOCATIONS = (
    f"{SHARE}a\n",
    f"{SHARE}b\n",
    f"{SHARE}a/b\n",
    f"{SHARE}'{{{{ region }}}}'\n",
    PARTNER.format(port=22, path="in"),
    PARTNER.format(port='"{{ port }}"', path="in"),
    f"{SHARE}'{{{{ nowhere }}}}'\n",
    PARTNER.format(port=22, path="in").replace("file: f", "secret: partner"),
    "type: local\n",
)
TRANSFERS = (
    transfer("one", "two"),
    transfer("two", "one"),
    transfer("two", "three", "active_on: [node-1]\n"),
    transfer("three", "one", "active_on: nodes\n"),
    transfer("one", "three", "enabled: false\n"),
    transfer("'{{ region }}'", "one"),
    transfer("one", "two", "prefer: [node-2]\nactive_on: [node-1]\n"),
    (
        "source: {location: one, path: '{{ region }}', recursive: true}\ndestination: {location: two}\n"
        "trigger: {cron: {expression: 30 1 * * *, timezone: Europe/Berlin}}\n"
    ),
    (
        "source: {location: two, recursive: true}\ndestination: {location: one, path: x, overwrite: overwrite}\n"
        "trigger: {watch: {}}\nafter_success: {action: archive, path: kept}\n"
    ),
    "source: {location: one}\n",
)
FILES: Mapping[str, tuple[str, ...]] = {
    "cluster.yaml": ("name: acme\n", "name: other\npoll_s: 5\n", "name: acme\nwhat: 1\n",
                     "name: acme\ngate: {limits: {max_path_bytes: 100, max_entries: 100}}\n",
                     "name: acme\ntrust: {require_signatures: true}\n"),
    "members/node-2.yaml": ("role: node\n", "role: controller\n",
                            "role: node\nvariables: {region: emea, port: 2223}\n"),
    "locations/one.yaml": LOCATIONS,
    "locations/two.yaml": LOCATIONS,
    "locations/three.yaml": LOCATIONS,
    "locations/three.json": ('{"type": "local", "path": "z"}',),
    "locations/emea.yaml": LOCATIONS,
    "transfers/a.yaml": TRANSFERS,
    "transfers/b.yaml": TRANSFERS,
    "transfers/c.yaml": TRANSFERS,
    "transfers/c.yml": TRANSFERS,
    "trust/allowed_signers": ("", "nonsense\n"),
    "secrets/x.yaml": ("",),
    "README.md": ("x", "y"),
    "readme.md": ("x",),
    f"{'long/' * 22}x": ("x",),
}  # fmt: skip
BEGIN: Mapping[str, str] = {
    "cluster.yaml": "name: acme\n",
    "members/controller.yaml": "role: controller\nvariables: {region: two, port: 22}\n",
    "members/node-1.yaml": "role: node\nvariables: {region: emea, port: 2222}\n",
    "members/node-2.yaml": "role: node\nvariables: {region: emea, port: 2223}\n",
    "locations/one.yaml": LOCATIONS[0],
    "locations/two.yaml": LOCATIONS[1],
    "locations/three.yaml": LOCATIONS[5],
    "locations/emea.yaml": LOCATIONS[2],
    "transfers/a.yaml": TRANSFERS[0],
    "transfers/b.yaml": TRANSFERS[2],
}

Pushes = list[tuple[list[tuple[str, str | None]], bool, bool]]


def pushes(files: Mapping[str, tuple[str, ...]]) -> st.SearchStrategy[Pushes]:
    """Give pushes, each of some edits, whether it is what the next one follows, and whether a file is executable."""
    edits = st.sampled_from(sorted(files)).flatmap(
        lambda path: st.tuples(st.just(path), st.sampled_from((None, *files[path])))
    )
    push = st.tuples(st.lists(edits, min_size=1, max_size=3), st.booleans(), st.booleans())
    return st.lists(push, max_size=6)


def fresh() -> Validator:
    return Validator(SCHEMAS, ZONES)


def changed(files: Mapping[str, str], edits: list[tuple[str, str | None]]) -> dict[str, str]:
    after = {**files, **dict(edits)}
    return {path: content for path, content in after.items() if content is not None}


def rendered(validation: Validation) -> Generation | list[object]:
    try:
        return render(validation, NODE, Role.NODE)
    except InvalidConfigError as error:
        return list(error.problems)


def whole_plan(active: Generation | None, wanted: Generation) -> Plan:
    """Return the plan by comparing every job with every one."""
    before: Mapping[TransferName, Job] = jobs(active) if active else {}
    after = jobs(wanted)
    return Plan(
        start=tuple(after[name] for name in sorted(after) if name not in before),
        change=tuple(
            job for name, job in sorted(after.items()) if name in before and before[name] != job
        ),
        stop=tuple(sorted(name for name in before if name not in after)),
        services=_differing(active, wanted, "services"),
        accounts=_differing(active, wanted, "accounts"),
    )


def _differing(active: Generation | None, wanted: Generation, what: str) -> Any:
    """Return the names of services or accounts of which something differs, secrets and folders included."""
    sides = [
        {
            name: (
                each,
                [one.secrets.get(secret) for _, secret in each.secrets()],
                _places(one, each),
            )
            for name, each in getattr(one, what).items()
        }
        if one
        else {}
        for one in (active, wanted)
    ]
    names = sides[0].keys() | sides[1].keys()
    return tuple(sorted(name for name in names if sides[0].get(name) != sides[1].get(name)))


def _places(generation: Generation, each: Any) -> list[object]:
    return [generation.locations.get(name) for name in getattr(each, "locations", ())]


def compare(known: Validation, whole: Validation) -> None:
    assert known.problems == whole.problems
    assert known.documents == whole.documents
    assert known.readers == whole.readers
    assert known.parts == whole.parts
    ours, theirs = rendered(known), rendered(whole)
    assert ours == theirs
    if isinstance(ours, Generation) and isinstance(theirs, Generation):
        scopes = [
            {name: each.active_on for name, each in one.transfers.items()} for one in (ours, theirs)
        ]
        assert scopes[0] == scopes[1]


def follow(begin: Mapping[str, str], pushes: Pushes) -> None:
    """Judge, render and plan revisions one after the other, and see that each comes out as if it were the first."""
    known, files = fresh(), dict(begin)
    active = render(known.validate(tree(files)), NODE, Role.NODE)
    for some, is_kept, is_executable in pushes:
        after = changed(files, some)
        found: Tree = tree(after)
        if is_executable and some[0][0] in found:
            path = some[0][0]
            found = {**found, path: replace(found[path], mode=0o100755)}
        judged = known.validate(found)
        compare(judged, fresh().validate(found))
        if not judged.problems:
            runs = rendered(judged)
            if isinstance(runs, Generation):
                assert plan(active, runs) == whole_plan(active, runs)
                active = runs
        files = after if is_kept or not judged.problems else files


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINqHPD5s9DAzoF9WfStHb8C+BV2oiFNN6Hwp1oAWaTtc"
LOGIN = f"login: {{keys: [{KEY}]}}\n"
SFTP = "type: sftp\nlisten: {port: 2022}\nhost_keys: [{file: key}]\n"
GROUPS = (
    "home: {location: one, path: '{account}'}\n",
    "home: {location: '{{ region }}'}\nmax_sessions: 3\n",
    "services: [b]\nfolders: [{at: /in, location: two}]\n",
    "folders: [{at: /in/x, location: three}]\n",
    "login: {require: [password]}\n",
)
SERVICES = (
    SFTP,
    f"{SFTP}active_on: nodes\n",
    f"{SFTP}active_on: controller\n",
    f"{SFTP}enabled: false\n",
    SFTP.replace("2022", "2023"),
    SFTP.replace("2022", "'{{ port }}'"),
    f"{SFTP}banner: hello\n",
)
INBOUND: Mapping[str, tuple[str, ...]] = {
    "cluster.yaml": ("name: acme\n",),
    "members/node-1.yaml": ("role: node\nvariables: {region: one, port: 2024}\n",),
    "members/node-2.yaml": (
        "role: node\nvariables: {region: two, port: 2022}\n",
        "role: node\nvariables: {region: two}\n",
    ),
    "members/controller.yaml": ("role: controller\n",),
    "locations/one.yaml": (LOCATIONS[0], LOCATIONS[3], LOCATIONS[4]),
    "locations/two.yaml": (LOCATIONS[1], LOCATIONS[4]),
    "locations/three.yaml": (LOCATIONS[2],),
    "groups/g.yaml": GROUPS,
    "groups/h.yaml": GROUPS[1:],
    "services/a.yaml": SERVICES,
    "services/b.yaml": (*SERVICES[4:], *SERVICES[:4]),
    **{
        f"accounts/{name}.yaml": (
            f"groups: [g]\n{LOGIN}",
            f"groups: [h, g]\n{LOGIN}",
            f"groups: [g, h]\nhome: {{location: two}}\nactive_on: [node-1]\n{LOGIN}",
            f"home: {{location: '{{{{ region }}}}', path: x}}\nservices: [a]\n{LOGIN}",
            f"groups: [g]\nenabled: false\nservices: [a, b]\n{LOGIN}",
            "groups: [g]\nlogin: {password: {file: x}}\n",
            f"groups: [g]\nexpires: 2027-02-30\n{LOGIN}",
        )
        for name in ("x", "y")
    },
}


@settings(max_examples=EXAMPLES)
@given(pushes(INBOUND))
def test_who_may_come_in_follows_whatever_was_seen_before(pushes: Pushes) -> None:
    follow({path: texts[0] for path, texts in INBOUND.items()}, pushes)


@settings(max_examples=EXAMPLES)
@given(pushes(FILES))
def test_a_revision_is_judged_and_rendered_whatever_was_seen_before(pushes: Pushes) -> None:
    follow(BEGIN, pushes)


@pytest.fixture(scope="module")
def sealed_files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[str, ...]]:
    """What files may say where secrets are in use; the first text of each makes a valid revision."""
    folder = tmp_path_factory.mktemp("keys")
    keys = {name: make_key(folder, name) for name in ("node-1", "node-2")}
    both, one = tuple(keys.values()), (keys["node-1"],)
    spare = make_key(folder, "spare")
    by_secret = LOCATIONS[-2]
    locations = (
        by_secret.replace("port: 22", 'port: "{{ port }}"'),
        by_secret.replace("secret: partner", "secret: '{{ region }}'"),
        by_secret.replace("secret: partner", "secret: two"),
        LOCATIONS[4],
    )
    members = {
        f"members/{name}.yaml": tuple(
            f"role: node\nage_recipient: {key.public}\nvariables: {{region: {region}, port: {port}}}\n"
            for region in ("partner", "two")
        )
        for port, (name, key) in enumerate(keys.items(), 1)
    }
    names = ("partner", "two", "spare")
    return {
        **members,
        "cluster.yaml": ("name: acme\n", "name: acme\npoll_s: 7\n"),
        "locations/one.yaml": LOCATIONS[:1],
        "locations/away.yaml": locations,
        "locations/other.yaml": locations[1:],
        **{
            f"transfers/{name}.yaml": tuple(
                transfer("one", where, f"active_on: {on}\n{more}")
                for where, on, more in (
                    ("away", "nodes", ""),
                    ("away", "[node-1]", ""),
                    ("other", "[node-2]", ""),
                    ("other", "nodes", "enabled: false\n"),
                )
            )
            for name in ("a", "b")
        },
        "services/s.yaml": tuple(
            SFTP.replace("file: key", f"secret: {name}") + f"active_on: {on}\n"
            for on in ("nodes", "[node-1]", "[node-2]")
            for name in ("spare", "partner")
        ),
        "accounts/u.yaml": tuple(
            f"home: {{location: one}}\nlogin: {{password: {{secret: {name}}}}}\nactive_on: {on}\n"
            for name in ("two", "spare")
            for on in ("nodes", "[node-1]", "all")
        ),
        "groups/g.yaml": (
            "folders: [{at: /away, location: away}]\n",
            "folders: [{at: /other, location: other}]\n",
            "max_sessions: 1\n",
        ),
        **{
            f"accounts/{name}.yaml": tuple(
                f"groups: {groups}\nhome: {{location: one}}\n{LOGIN}active_on: {on}\n"
                for on in ("nodes", "[node-1]", "[node-2]")
                for groups in ("[g]", "[]")
            )
            for name in ("v", "w")
        },
        **{
            f"secrets/{name}.yaml": tuple(
                sealed(name, "x", *readers) for readers in (both, one, (*both, spare))
            )
            for name in names
        },
    }


@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_who_needs_which_secret_follows_whatever_was_seen_before(
    sealed_files: Mapping[str, tuple[str, ...]], data: st.DataObject
) -> None:
    begin = {path: texts[0] for path, texts in sealed_files.items()}
    follow(begin, data.draw(pushes(sealed_files)))


def loaded(known: Validator, files: Mapping[str, str]) -> list[str]:
    """Validate ``files``; return which were read."""
    read: list[str] = []

    def noting(path: str, one: Entry) -> Entry:
        def load() -> bytes:
            read.append(path)
            return one.load()

        return replace(one, load=load)

    assert not known.validate({path: noting(path, entry(files[path])) for path in files}).problems
    return read


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("transfers/a.yaml", transfer("two", "one")),
        ("transfers/new.yaml", transfer("one", "three")),
        ("locations/one.yaml", f"{SHARE}elsewhere\n"),
        ("cluster.yaml", "name: acme\npoll_s: 7\n"),
    ],
)
def test_of_a_valid_change_everything_else_is_taken_over_as_it_was(path: str, content: str) -> None:
    known = fresh()
    before = known.validate(tree(BEGIN))
    after = known.validate(tree({**BEGIN, path: content}))
    assert after.problems == ()
    same = [
        kind
        for kind in Kind
        if all(after.parts[kind][name] is part for name, part in before.parts[kind].items())
    ]
    assert len(same) >= len(Kind) - 1
    ran, runs = (render(each, NODE, Role.NODE) for each in (before, after))
    kept = [name for name, each in runs.transfers.items() if ran.transfers.get(name) is each]
    assert len(kept) >= len(ran.transfers) - 1


def test_a_revision_that_is_not_valid_changes_nothing_of_what_is_known() -> None:
    known = fresh()
    before = known.validate(tree(BEGIN))
    assert known.validate(tree({**BEGIN, "transfers/a.yaml": transfer("gone", "one")})).problems
    assert known.validate(tree(BEGIN)).parts is before.parts
    assert loaded(known, {**BEGIN, "locations/one.yaml": f"{SHARE}q\n"}) == ["locations/one.yaml"]


def test_some_files_that_are_read_by_themselves_change_nothing_of_what_is_known() -> None:
    known = fresh()
    before = known.validate(tree(BEGIN))
    some = known.read(tree({path: BEGIN[path] for path in BEGIN if not path.startswith("tr")}))
    assert some[Kind.MEMBER] == before.parts[Kind.MEMBER]
    assert some[Kind.TRANSFER] == {}
    assert known.validate(tree(BEGIN)).parts is before.parts


def test_two_fresh_files_that_some_systems_take_for_one_are_not_overlooked() -> None:
    files = {**VALID, "Notes.txt": "", "notes.txt": ""}
    both = ["Notes.txt", "notes.txt"]
    assert sort_changed(tree(files), come=both, fresh=both, gone=()) is None
    assert sort_changed(tree(files), come=["notes.txt"], fresh=["notes.txt"], gone=()) is None
    files = {**VALID, "Notes.txt": ""}
    assert sort_changed(tree(files), come=["Notes.txt"], fresh=["Notes.txt"], gone=()) == ([], [])


def test_a_transfer_that_is_enabled_again_is_not_among_the_disabled_ones() -> None:
    known = fresh()
    files = {**BEGIN, "transfers/a.yaml": TRANSFERS[4]}
    assert render(known.validate(tree(files)), NODE, Role.NODE).disabled == {"a"}
    assert render(known.validate(tree(BEGIN)), NODE, Role.NODE).disabled == set()


def test_only_so_much_is_remembered_of_what_was_rendered() -> None:
    validation = fresh().validate(tree(BEGIN))
    for number in range(100):
        render(validation, MemberName(f"guest-{number}"), Role.NODE)
    assert len(validation.rendered) <= 8


def test_who_needs_a_secret_is_told_anew_when_one_transfer_goes_elsewhere(tmp_path: Path) -> None:
    keys = {name: make_key(tmp_path, name) for name in ("node-1", "node-2")}
    own = {
        f"members/{name}.yaml": f"role: node\nage_recipient: {key.public}\n"
        for name, key in keys.items()
    }
    files = {
        **VALID,
        **own,
        "locations/outbox.yaml": LOCATIONS[-2],
        "secrets/partner.yaml": sealed("partner", "x", keys["node-1"]),
    }
    path, known = "transfers/invoices.yaml", fresh()
    here, there = (VALID[path].replace("nodes", f"[{name}]") for name in keys)
    assert known.validate(tree({**files, path: here})).readers == {"partner": ("node-1",)}
    found = known.validate(tree({**files, path: there}))
    assert [(each.file, each.rule) for each in found.problems] == [
        ("secrets/partner.yaml", "secret")
    ]
    compare(found, fresh().validate(tree({**files, path: there})))
    nowhere = tree({name: files[name] for name in files if name != path})
    compare(known.validate(nowhere), fresh().validate(nowhere))


@pytest.mark.parametrize(
    ("path", "index"),
    [
        ("transfers/a.yaml", 1),
        ("locations/away.yaml", 2),
        ("locations/other.yaml", 1),
        ("secrets/partner.yaml", 2),
        ("services/s.yaml", 3),
        ("accounts/u.yaml", 4),
        ("cluster.yaml", 1),
    ],
)
def test_where_secrets_are_in_use_a_valid_change_is_followed_too(
    sealed_files: Mapping[str, tuple[str, ...]], path: str, index: int
) -> None:
    known, begin = fresh(), {each: texts[0] for each, texts in sealed_files.items()}
    before = known.validate(tree(begin))
    assert not before.problems
    after = known.validate(tree({**begin, path: sealed_files[path][index]}))
    assert not after.problems
    assert after.parts[Kind.MEMBER] is before.parts[Kind.MEMBER]  # which a whole look makes anew


def test_a_secret_that_is_named_for_the_first_time_has_to_be_there() -> None:
    known = fresh()
    assert not known.validate(tree(BEGIN)).problems
    (problem,) = known.validate(tree({**BEGIN, "locations/spare.yaml": LOCATIONS[-2]})).problems
    assert problem.message == "there is no secret 'partner'"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("accounts/x.yaml", f"groups: [g]\nmax_sessions: 2\n{LOGIN}"),
        ("accounts/x.yaml", None),
        ("accounts/z.yaml", f"groups: [g]\n{LOGIN}"),
        ("groups/g.yaml", f"{GROUPS[0]}max_sessions: 2\n"),
        ("groups/spare.yaml", GROUPS[2]),
        ("services/a.yaml", f"{SFTP}banner: hello\n"),
        ("services/a.yaml", f"{SFTP}active_on: [node-2]\n"),
        ("services/a.yaml", f"{SFTP}enabled: false\n"),
        ("services/b.yaml", None),
        ("locations/one.yaml", f"{SHARE}elsewhere\n"),
    ],
)
def test_a_valid_change_of_who_may_come_in_is_followed(path: str, content: str | None) -> None:
    known, begin = fresh(), {each: texts[0] for each, texts in INBOUND.items()}
    begin["accounts/y.yaml"] = f"groups: [g]\nservices: [a]\n{LOGIN}"
    before = known.validate(tree(begin))
    assert not before.problems
    assert set(render(before, NODE, Role.NODE).accounts) == {"x", "y"}
    files = changed(begin, [(path, content)])
    after = known.validate(tree(files))
    assert not after.problems
    assert after.parts[Kind.MEMBER] is before.parts[Kind.MEMBER]  # which a whole look makes anew
    compare(after, fresh().validate(tree(files)))


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("services/b.yaml", None, ("groups/spare.yaml", "reference")),
        ("services/b.yaml", SFTP, ("services/b.yaml", "address-in-use")),
        ("services/a.yaml", SERVICES[4], ("services/b.yaml", "address-in-use")),
        ("groups/g.yaml", None, ("accounts/x.yaml", "reference")),
        ("groups/g.yaml", "max_sessions: 2\n", ("accounts/x.yaml", "login")),
        ("groups/g.yaml", GROUPS[0] + GROUPS[4], ("accounts/x.yaml", "login")),
        ("locations/one.yaml", LOCATIONS[4], ("groups/g.yaml", "local")),
        ("services/a.yaml", SERVICES[5], ("services/a.yaml", "variable")),
    ],
)
def test_what_a_change_breaks_elsewhere_is_found(
    path: str, content: str | None, expected: tuple[str, str]
) -> None:
    known = fresh()
    begin = {
        **{each: texts[0] for each, texts in INBOUND.items()},
        "groups/spare.yaml": GROUPS[2],
        "services/a.yaml": f"{SFTP}active_on: all\n",
        "accounts/y.yaml": "groups: [g]\nenabled: false\n",
    }
    assert not known.validate(tree(begin)).problems
    files = tree(changed(begin, [(path, content)]))
    found = known.validate(files)
    assert expected in {(each.file, each.rule) for each in found.problems}
    compare(found, fresh().validate(files))
