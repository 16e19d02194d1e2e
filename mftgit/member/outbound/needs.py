"""See that a member has what transfers need, before any of them is run here for the first time."""

from collections.abc import Sequence
from pathlib import Path

from mftgit.adapters.location_secrets import SecretsHere
from mftgit.member.outbound.copying.content import Changing
from mftgit.member.outbound.given.programs import check_programs
from mftgit.member.outbound.places.connections import Secrets
from mftgit.member.outbound.places.opening import prepare
from mftgit.model.configuration.plan import Job


def require(
    jobs: Sequence[Job], secrets: Secrets, *, secrets_dir: Path, commands_dir: Path
) -> None:
    """See that the programs, passwords and keys of ``jobs`` are here, and what their content is changed with.

    Raises:
        ConfigError: something is missing, or is not what it is taken for.
        MftgitError: something of this machine is in the way.
    """
    for job in jobs:
        check_programs(job.transfer, folder=commands_dir)
    for location in {
        each for job in jobs for each in (job.source, job.destination, job.fallback) if each
    }:
        prepare(location, secrets_dir=secrets_dir, secrets=secrets)
    for job in jobs:
        here = SecretsHere(folder=secrets_dir, values=secrets)
        with Changing(job.transfer, here).ready():
            pass
