"""Make a controller's state: authority, TLS, repository with its first revision, first operator."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mftgit.adapters import age
from mftgit.adapters.durable import write_file
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.http_server.server import free_port
from mftgit.adapters.passwords import hash_password, make_password
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.adapters.tls import pki
from mftgit.controller.certificate import renew_certificate
from mftgit.errors import ConfigError
from mftgit.model.access import OperatorRole
from mftgit.model.configuration.config import Role
from mftgit.model.configuration.render import render
from mftgit.model.documents.problem import Problem, format_problems
from mftgit.model.events.event import EventName
from mftgit.model.names import MAIN, MemberName, OperatorName
from mftgit.model.rules.parts import declared_members
from mftgit.model.rules.tree import Tree
from mftgit.model.rules.validate import Validation, Validator

FIRST_OPERATOR = OperatorName("admin")
DEFAULT_NAME = MemberName("controller")


class InvalidConfigurationError(ConfigError):
    """The first revision would not pass the gate; ``problems`` are all that is wrong."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"the configuration is not valid:\n{format_problems(problems)}")
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialised:
    """What a person needs to go on; the password is shown once and kept nowhere."""

    url: str
    clone_url: str
    ca_file: Path
    username: str
    password: str


def initialise(
    folder: StateFolder,
    *,
    documents: Mapping[str, bytes],
    tree: Tree,
    validator: Validator,
    listen: tuple[str, int],
    host: str,
    files_root: Path,
    now: Callable[[], datetime],
) -> Initialised:
    """Make the state of a new controller in ``folder``; a crash before the end leaves no member there.

    ``host`` is what clients call this machine, used in URLs and the certificate. A ``listen`` port of 0
    takes a free one.

    Raises:
        InvalidConfigurationError: ``documents`` would not pass the gate.
        ConfigError: the folder holds a member or cannot be written.
    """
    validation = validator.validate(tree)
    if validation.problems:
        raise InvalidConfigurationError(tuple(validation.problems))
    name = _controller_name(validation)
    cluster = render(validation, name, Role.CONTROLLER).cluster.name
    folder.prepare()
    port = listen[1] or free_port(listen[0])
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    identity = _write_keys(folder, cluster, hosts=(host, listen[0]), now=now())
    with_git = GitStore.create(folder.repository)
    try:
        if with_git.head() is None:
            with_git.commit_documents(
                documents,
                message="Begin the cluster's configuration\n",
                author=f"mftgit <{name}@{cluster}.invalid>",
                now=now(),
                parent=None,
                ref=MAIN,
            )
    finally:
        with_git.close()
    password = _write_records(folder, name, identity, now=now)
    folder.write_bootstrap(
        Bootstrap(
            name=name,
            role=Role.CONTROLLER,
            cluster_id=uuid.uuid4().hex,
            controller_url=url,
            files_root=str(files_root),
            listen=(listen[0], port),
        )
    )
    return Initialised(
        url=url,
        clone_url=f"{url}/config.git",
        ca_file=folder.ca_file,
        username=FIRST_OPERATOR,
        password=password,
    )


def _controller_name(validation: Validation) -> MemberName:
    """Return the name of the member document with the role controller; validation allows only one."""
    members = declared_members(validation.parts).values()
    return next((each.name for each in members if each.role is Role.CONTROLLER), DEFAULT_NAME)


def _write_keys(folder: StateFolder, cluster: str, *, hosts: tuple[str, ...], now: datetime) -> str:
    authority = pki.make_authority(cluster, now=now)
    folder.write_secret(folder.ca_key, authority.key + authority.certificate)
    write_file(folder.ca_file, authority.certificate)
    renew_certificate(folder, hosts=(*hosts, "localhost"), now=now)
    identity = pki.make_identity()
    folder.write_secret(folder.member_key, identity)
    age.ensure_identity(folder.age_key)
    return pki.public_identity(identity)


def _write_records(
    folder: StateFolder, name: MemberName, identity: str, *, now: Callable[[], datetime]
) -> str:
    password = make_password()
    folder.registry.unlink(missing_ok=True)
    registry = Registry(folder.registry, now=now)
    events = EventStore(folder.events, member=name, now=now)
    try:
        registry.enrol(name, role=Role.CONTROLLER, public_key=identity)
        registry.add_operator(FIRST_OPERATOR, hash_password(password), OperatorRole.PUBLISH)
        events.append(
            EventName.OPERATOR_ADDED,
            facts={"operator": FIRST_OPERATOR, "role": OperatorRole.PUBLISH.value},
        )
    finally:
        registry.close()
        events.close()
    return password
