"""What it costs to validate 1,000 documents: all of them, and after one of them changed."""

import statistics
from collections.abc import Callable
from pathlib import Path

from bench.support import Table, ms, say, stopwatch
from mftgit.adapters.documents_folder import importable
from mftgit.cli.rules import make_validator
from mftgit.model.configuration.config import Role
from mftgit.model.configuration.render import render
from mftgit.model.names import MemberName
from mftgit.model.rules.validate import Validation, Validator

ROUNDS = 5

_SITES = ("berlin", "paris", "madrid", "oslo", "milan")
_FINGERPRINT = "SHA256:R2tJvYwQ0n3bXlMf8sZpKc5uHd1oEaWgT7iVyBqN4xU"
_CHANGED = "transfers/transfer-7.yaml"


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`; nothing is written."""
    del work
    share = 10 if quick else 1
    made = documents(locations=400 // share, transfers=550 // share, members=10 if quick else 50)
    taken: dict[str, list[float]] = {}
    for number in range(1 if quick else ROUNDS):
        say(f"round {number + 1}: {len(made)} documents")
        for what, seconds in _round(made, number).items():
            taken.setdefault(what, []).append(seconds)
    rows = [
        (what, ms(statistics.median(values)), f"{ms(min(values))} to {ms(max(values))}")
        for what, values in taken.items()
    ]
    size = sum(map(len, made.values()))
    note = (
        f"{len(made)} documents, {size / 1024:.0f} KiB; all in memory, so that no disk is measured"
    )
    return [
        Table(
            title="Validation",
            columns=("what", f"median of {len(next(iter(taken.values())))}", "range"),
            rows=rows,
            notes=(note,),
            raw=taken,
        )
    ]


def documents(*, locations: int, transfers: int, members: int) -> dict[str, bytes]:
    """Return a valid repository: half of the locations at partners, a third of the transfers with templates."""
    made = {"cluster.yaml": "name: bench\ncoordinator: {type: shared-folder, ttl_s: 15}\n"}
    made["members/controller.yaml"] = "role: controller\ndescription: Takes pushes\n"
    for number in range(1, members):
        made[f"members/node-{number}.yaml"] = _member(number)
    for number in range(locations):
        made[f"locations/location-{number}.yaml"] = _location(number)
    for number in range(transfers):
        made[f"transfers/transfer-{number}.yaml"] = _transfer(number, locations, members)
    return {path: text.encode() for path, text in made.items()}


def _member(number: int) -> str:
    site = _SITES[number % len(_SITES)]
    return (
        f"role: node\ndescription: Node {number} in {site}\n"
        f"labels:\n  site: {site}\n  tier: t{number % 2}\n"
        f"variables:\n  region: region-{number % 3}\n  partner_port: {2200 + number % 3}\n"
    )


def _location(number: int) -> str:
    if number % 2:
        return (
            f"# Shared storage.\ntype: local\ndescription: Folder {number}\npath: share/{number}\n"
        )
    port = '"{{ partner_port }}"' if number % 6 == 0 else "22"
    return (
        f"type: sftp\ndescription: Partner {number}\nhost: sftp-{number}.partner.example\n"
        f"port: {port}\nusername: acme-{number}\npath: incoming\ntimeout_s: 20\n"
        f"host_keys:\n  - {_FINGERPRINT}\nauth:\n  - private_key: {{file: partner-{number}.key}}\n"
    )


def _transfer(number: int, locations: int, members: int, *, stable_s: float = 2) -> str:
    triggers = ("watch: {every_s: 5}", "interval: {every_s: 900}",
                "cron: {expression: 30 1 * * 1-5, timezone: Europe/Berlin}")  # fmt: skip
    places = (
        "nodes",
        f"{{labels: {{site: {_SITES[number % len(_SITES)]}}}}}",
        "[node-1, node-2]" if members > 2 else "nodes",
    )
    source = (2 * number + 1) % locations
    target = 2 * number % locations
    template = "in/{{ region }}" if number % 3 == 0 else f"in/{number}"
    return (
        f"# Flow {number}.\ndescription: Files of flow {number} to partner {target}\n\n"
        f"source:\n  location: location-{source}\n  path: out/{number}\n"
        f'  include: ["*.csv", "*.xml"]\n  exclude: ["draft-*"]\n  stable_s: {stable_s}\n\n'
        f'destination:\n  location: location-{target}\n  path: "{template}"\n  overwrite: fail\n\n'
        f"trigger:\n  {triggers[number % 3]}\n\n"
        f"after_success:\n  action: archive\n  path: sent/{number}\n\n"
        f"active_on: {places[number % 3]}\n"
    )


def _round(made: dict[str, bytes], number: int) -> dict[str, float]:
    """Return the seconds of each way to validate, with a validator of this round's own."""
    taken: dict[str, float] = {}

    def timed(what: str, call: Callable[[], Validation]) -> Validation:
        with stopwatch() as one:
            found = call()
        taken[what] = one[0]
        if found.problems:
            raise RuntimeError(f"{what}: {found.problems[:3]}")
        return found

    with stopwatch() as one:
        validator: Validator = make_validator()
    taken["make a validator (schemas, time zones)"] = one[0]
    tree = importable(made)
    timed("all documents, cold", lambda: validator.validate(tree))
    timed("nothing changed", lambda: validator.validate(tree))
    locations = sum(path.startswith("locations/") for path in made)
    members = sum(path.startswith("members/") for path in made)
    changed = _transfer(7, locations, members, stable_s=number + 10)
    after = importable(made | {_CHANGED: changed.encode()})
    found = timed("one document changed", lambda: validator.validate(after))
    with stopwatch() as one:
        render(found, MemberName("node-1"), Role.NODE)
    taken["render for one member"] = one[0]
    return taken
