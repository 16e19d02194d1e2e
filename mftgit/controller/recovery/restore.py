"""Make a controller anew from what one of its members has: its clone of the history, and the sealed bundle it keeps.

With the bundle and the recovery key the cluster's authority, the members' keys and the operators are as they were, so
that no member has to be touched. Without them there is another authority, and each member joins again.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from mftgit.adapters import age
from mftgit.adapters.clock import rfc3339
from mftgit.adapters.durable import write_file
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.git.copy import copy_history
from mftgit.adapters.git.store import FETCHED, FETCHED_REVIEWS, GitStore
from mftgit.adapters.passwords import hash_password, make_password
from mftgit.adapters.registry.operator_codes import OperatorCodes
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.adapters.tls import pki
from mftgit.controller.certificate import renew_certificate, signing_authority
from mftgit.controller.initialise import DEFAULT_NAME, FIRST_OPERATOR
from mftgit.errors import ConfigError
from mftgit.model.access import OperatorRole
from mftgit.model.configuration.config import Role
from mftgit.model.configuration.controller_line import fingerprints, host_of
from mftgit.model.events.event import EventName, Fact
from mftgit.model.members.incarnation import warrant_text
from mftgit.model.members.messages import Head
from mftgit.model.members.record import Record, parse_record
from mftgit.model.members.recovery import EVENTS_APART, Bundle, KeptBundle, parse_bundle, parse_kept
from mftgit.model.members.token import JoinToken, format_token
from mftgit.model.names import REVIEWS, MemberName, OperatorName, Revision
from mftgit.model.rules.parts import declared_members
from mftgit.model.rules.validate import Validator

_BUNDLES_APART = 1_000_000
"""How far above the bundle that the member keeps the next one is numbered: another member may keep a newer one."""

_PUBLIC = frozenset({"ca.pem", "mirror.json", "storage-id", "recovery-recipients"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is said to `restore`; what is None is as it was."""

    listen: tuple[str, int] | None = None
    url: str | None = None
    files_root: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The controller that was made; ``tokens`` let members join again whose keys are not known.

    ``password`` is that of the first operator, where operators were lost. ``made_at`` tells how old the bundle is.
    """

    url: str
    revision: Revision
    incarnation: int
    made_at: str | None
    members: tuple[MemberName, ...]
    tokens: Mapping[MemberName, str]
    password: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What is read from the member's folder, which is never written to."""

    bootstrap: Bootstrap
    record: Record
    ca_pem: bytes
    kept: KeptBundle | None
    folder: StateFolder


def read_member(folder: StateFolder) -> Member:
    """Return what the node in ``folder`` has; raises ConfigError."""
    bootstrap = folder.read_bootstrap()
    if bootstrap.role is not Role.NODE:
        raise ConfigError(
            f"{folder.root} is a controller's own folder: start it by `mftgit run`, or put it back from a backup "
            "(docs/how-to/operate.md: Back up)"
        )
    try:
        record = parse_record(folder.read(folder.record))
    except ValueError as error:
        raise ConfigError(f"{folder.record}: damaged: {error}: take another member") from error
    kept = None
    if folder.recovery.exists():
        try:
            kept = parse_kept(json.loads(folder.read(folder.recovery)))
        except ValueError as error:
            raise ConfigError(
                f"{folder.recovery}: damaged: {error}: take another member"
            ) from error
    return Member(
        bootstrap=bootstrap,
        record=record,
        ca_pem=folder.read(folder.ca_file),
        kept=kept,
        folder=folder,
    )


def open_bundle(member: Member, identity: age.Identity, *, any_authority: bool = False) -> Bundle:
    """Return what the member keeps, opened; raises ConfigError: it cannot be, or is not this cluster's.

    With ``any_authority`` the member need not take the one that is in it.
    """
    if member.kept is None:
        raise ConfigError(
            f"{member.folder.root} keeps no recovery bundle: it never was in touch with a controller that has a "
            "recovery key; take another member, or leave --recovery-key out: members join again then"
        )
    try:
        packed = zlib.decompressobj().decompress(identity.decrypt(member.kept.sealed), 64 << 20)
        bundle = parse_bundle(packed)
    except age.NotForUsError as error:
        raise ConfigError(
            f"the recovery key does not open the bundle of {member.folder.root}: it is another cluster's, or was "
            f"replaced ({error})"
        ) from error
    except (ValueError, zlib.error) as error:
        raise ConfigError(f"{member.folder.recovery}: {error}") from error
    if bundle.cluster_id != member.bootstrap.cluster_id:
        raise ConfigError("the bundle is another cluster's")
    if not any_authority:
        _prove(member, bundle)
    return bundle


def _prove(member: Member, bundle: Bundle) -> None:
    """See that the bundle has the key of an authority that the member takes: only the controller had that."""
    key, pem = (bundle.files.get(each, "").encode() for each in ("ca.key", "ca.pem"))
    authority = pki.find_authority(key, key, pem)
    if pki.fingerprint(authority.certificate) in fingerprints(
        member.ca_pem.decode(errors="replace")
    ):
        return
    raise ConfigError(
        "the bundle's authority is none that the member takes: somebody else made it, or the authority was changed "
        "since; where members take that of a proxy instead (controller.ca), say --any-authority"
    )


def restore(
    folder: StateFolder,
    member: Member,
    bundle: Bundle | None,
    *,
    asked: Asked,
    validator: Validator,
    now: Callable[[], datetime],
) -> Restored:
    """Make the controller's state in ``folder``; a crash before the end leaves no member there, and it is said again.

    Raises:
        ConfigError: the folder holds a member, or the member has no history that is whole.
    """
    folder.prepare()
    tip = _copy(member, folder)
    with GitStore(folder.repository) as store:
        declared = declared_members(validator.validate(store.tree(tip)).parts)
    controllers = [each.name for each in declared.values() if each.role is Role.CONTROLLER]
    name = bundle.name if bundle else next(iter(controllers), DEFAULT_NAME)
    bootstrap = _bootstrap(member, bundle, asked, name)
    authority = _write_keys(folder, bundle, bootstrap, now=now())
    incarnation = max(member.record.incarnation, bundle.incarnation if bundle else 0) + 1
    head = Head(
        oid=tip,
        seq=max(member.record.seq, bundle.seq if bundle else 0, 1),
        issued_at=rfc3339(now()),
        incarnation=incarnation,
        warrant=pki.sign_word(authority, warrant_text(bootstrap.cluster_id, incarnation)),
    )
    nodes = [each.name for each in declared.values() if each.role is Role.NODE]
    done = _write_records(folder, bundle, head, bootstrap, nodes=nodes, now=now)
    if bundle is not None and member.kept is not None:
        # Members take no lower number than they have, and the clock before may have been ahead.
        number = member.kept.number + _BUNDLES_APART
        kept = replace(member.kept, number=number)
        write_file(folder.recovery, json.dumps(kept.as_json()).encode(), mode=0o600)
    folder.write_bootstrap(bootstrap)
    return replace(done, made_at=bundle.made_at if bundle else None)


def _copy(member: Member, folder: StateFolder) -> Revision:
    """Bring the newest published revision of the member's clone into the new repository, and who approved it."""
    with GitStore(member.folder.store) as source:
        fetched, anchor = source.head(FETCHED), member.record.anchor
        if fetched is None or (anchor is not None and not source.is_ancestor(anchor, fetched)):
            fetched = anchor
        if fetched is None:
            raise ConfigError(
                f"{member.folder.root} has no published revision yet: take another member"
            )
        with GitStore.create(folder.repository) as target:
            if target.head() != fetched:
                copy_history(source, target, fetched)
            said = source.head(FETCHED_REVIEWS)
            if said is not None and target.head(REVIEWS) is None:
                copy_history(source, target, said, ref=REVIEWS)
    return fetched


def _bootstrap(member: Member, bundle: Bundle | None, asked: Asked, name: MemberName) -> Bootstrap:
    url = (asked.url or (bundle.url if bundle else member.bootstrap.controller_url)).rstrip("/")
    listen = asked.listen or (bundle.listen if bundle else None)
    if listen is None:
        raise ConfigError("where is it to listen? say --listen HOST:PORT")
    root = asked.files_root or Path(member.bootstrap.files_root)
    return Bootstrap(
        name=name,
        role=Role.CONTROLLER,
        cluster_id=member.bootstrap.cluster_id,
        controller_url=url,
        files_root=str(root.absolute()),
        listen=listen,
    )


def _write_keys(
    folder: StateFolder,
    bundle: Bundle | None,
    bootstrap: Bootstrap,
    *,
    now: datetime,
) -> pki.KeyPair:
    if bundle is not None:
        for name, text in bundle.files.items():
            mode = 0o644 if name in _PUBLIC else 0o600
            write_file(folder.root / name, text.encode(), mode=mode)
    elif not folder.ca_key.exists():
        made = pki.make_authority(bootstrap.cluster_id[:16], now=now)
        folder.write_secret(folder.ca_key, made.key + made.certificate)
        write_file(folder.ca_file, made.certificate)
    if not folder.member_key.exists():
        folder.write_secret(folder.member_key, pki.make_identity())
    age.ensure_identity(folder.age_key)
    host = host_of(bootstrap.controller_url)
    hosts = tuple(each for each in (host, *bootstrap.listen[:1], "localhost") if each)
    renew_certificate(folder, hosts=hosts, now=now)
    return signing_authority(folder)


def _write_records(
    folder: StateFolder,
    bundle: Bundle | None,
    head: Head,
    bootstrap: Bootstrap,
    *,
    nodes: list[MemberName],
    now: Callable[[], datetime],
) -> Restored:
    folder.registry.unlink(missing_ok=True)
    name, password, tokens = bootstrap.name, None, {}
    registry = Registry(folder.registry, now=now)
    events = EventStore(folder.events, member=name, now=now)
    try:
        if bundle is not None:
            OperatorCodes(folder.registry).close()  # so that there is a place for what it keeps
            registry.take_over(bundle.records)
            events.start_after(bundle.last_event + EVENTS_APART)
        else:
            events.start_after(int(now().timestamp()))  # above any that the one before can have had
        if not registry.operators():
            password = make_password()
            registry.add_operator(
                OperatorName(FIRST_OPERATOR), hash_password(password), OperatorRole.PUBLISH
            )
        key = pki.public_identity(folder.read(folder.member_key))
        if key not in registry.public_keys(name):
            registry.enrol(name, role=Role.CONTROLLER, public_key=key)
        known = registry.joined()
        for lost in sorted(set(nodes) - set(known)):
            secret = registry.invite(lost, Role.NODE)
            registry.lose(lost)
            ca = pki.fingerprint(signing_authority(folder).certificate)
            tokens[lost] = format_token(JoinToken(member=lost, ca_sha256=ca, secret=secret))
        registry.begin(head)
        registry.settle(begin=True)
        facts: dict[str, Fact] = {"incarnation": head.incarnation, "join_again": sorted(tokens)}
        events.append(EventName.CONTROLLER_RESTORED, revision=head.oid, facts=facts)
    finally:
        registry.close()
        events.close()
    return Restored(
        url=bootstrap.controller_url,
        revision=head.oid,
        incarnation=head.incarnation,
        made_at=None,
        members=tuple(each for each in known if each != name),
        tokens=tokens,
        password=password,
    )
