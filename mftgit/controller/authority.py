"""Give the cluster another authority without a gap: make it, let all members take both, change over, end the old one.

What members take is configuration (``controller.ca``), which a person pushes; that they do is in their reports. A is
the present authority, B the one that follows:

| ca.key | ca-next.pem | ca-old.pem | members take | what the next call does |
|---|---|---|---|---|
| A | | | A | makes B: `Step.OFFERED` |
| A | B | | A, some B too | tells what to push, and who does not take B yet |
| A | B | | A and B, all | changes over: `Step.CHANGED` |
| A | B | A | A and B | was killed while it changed over: the same |
| B | B | A | A and B | was killed then: goes on |
| B | | A | A and B | tells what to push, and who takes A still |
| B | | A | B | forgets A: `Step.DONE` |

The controller issues its certificate anew by what ``ca.key`` is (`mftgit.controller.certificate`), which changes in
one step, and only when every member takes both: so each gets in whatever the moment.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, unique
from typing import Protocol

from mftgit.adapters.durable import write_file
from mftgit.adapters.process_lock import one_at_a_time
from mftgit.adapters.registry.members import MemberRecord
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls import pki
from mftgit.controller.certificate import signing_authority
from mftgit.errors import ConfigError
from mftgit.model.configuration.controller_line import together, without
from mftgit.model.events.event import EventName, Fact
from mftgit.model.names import MemberName


@unique
class Step(Enum):
    """How far it is: B is there, B issues, A is forgotten."""

    OFFERED = "offered"
    CHANGED = "changed"
    DONE = "done"


class Tell(Protocol):
    """Writes an event down."""

    def __call__(self, event: EventName, *, facts: Mapping[str, Fact], once: str) -> object:
        """Write it down, where none was under the name ``once``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """``ca_pem`` is what ``controller.ca`` has to say now, ``waits_for`` names the members that do not do so yet."""

    step: Step
    ca_pem: str
    fingerprint: str
    waits_for: tuple[MemberName, ...] = ()


def rotate_authority(
    folder: StateFolder,
    members: Iterable[MemberRecord],
    *,
    left: Collection[MemberName] = (),
    now: datetime,
    tell: Tell,
) -> Rotation:
    """Go one step on as far as the ``members`` are; those that are ``left`` behind have to join anew.

    ``tell`` writes down that another one issues from now on, once.

    Raises:
        ConfigError: the folder is another user's, or cannot be written.
        BusyError: another process is at it.
    """
    folder.check_user()
    takes = {
        each.name: set(each.status.line.ca) if each.status and each.status.line else set()
        for each in members
        if each.name not in left
    }
    with one_at_a_time(folder.root):
        try:
            return _go_on(folder, takes, now=now, tell=tell)
        except OSError as error:
            raise ConfigError(
                f"{folder.root}: cannot be written: {error.strerror}: see to the disk and say this again"
            ) from error


def _go_on(
    folder: StateFolder, takes: dict[MemberName, set[str]], *, now: datetime, tell: Tell
) -> Rotation:
    signing = signing_authority(folder)
    following = _following(folder, signing, now=now)
    trusted = folder.read(folder.ca_file).decode()
    if following is not None:
        fingerprint = pki.fingerprint(following.certificate)
        waits_for = tuple(name for name, ca in takes.items() if fingerprint not in ca)
        trusted = together(trusted, following.certificate.decode())
        if waits_for:
            return Rotation(
                step=Step.OFFERED, ca_pem=trusted, fingerprint=fingerprint, waits_for=waits_for
            )
        write_file(folder.old_ca, signing.certificate)
        folder.write_secret(folder.ca_key, following.key)
        folder.next_ca.unlink()
        signing = following
    fingerprint = pki.fingerprint(signing.certificate)
    old = pki.fingerprint(folder.read(folder.old_ca))
    facts: dict[str, Fact] = {"fingerprint": fingerprint, "ended": old}
    # Said at each call from here to the last, so that no kill loses it.
    tell(EventName.AUTHORITY_CHANGED, facts=facts, once=f"authority/{fingerprint}")
    waits_for = tuple(name for name, ca in takes.items() if old in ca)
    if not waits_for:
        folder.old_ca.unlink()
    return Rotation(
        step=Step.CHANGED if waits_for else Step.DONE,
        ca_pem=without(together(trusted, signing.certificate.decode()), old),
        fingerprint=fingerprint,
        waits_for=waits_for,
    )


def _following(folder: StateFolder, signing: pki.KeyPair, *, now: datetime) -> pki.KeyPair | None:
    """Return the authority that follows, made now if nothing is under way; None where it is the one that issues."""
    if folder.next_ca.exists():
        content = folder.read(folder.next_ca)
        following = pki.find_authority(content, content)
        if following.certificate != signing.certificate:
            return following
        folder.next_ca.unlink()
    if folder.old_ca.exists():
        return None
    made = pki.make_successor(signing, now=now)
    following = pki.KeyPair(certificate=made.certificate, key=made.key + made.certificate)
    folder.write_secret(folder.next_ca, following.key)
    return following
