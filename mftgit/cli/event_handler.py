"""``mftgit event-handler``: see whether events reach where they are to go."""

from dataclasses import replace

import click

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import Name, dir_option, json_option, print_json
from mftgit.cli.orders import user
from mftgit.cli.transfer.here import Active, read_active
from mftgit.cli.transfer.patience import Patience
from mftgit.errors import ConfigError
from mftgit.member.handlers.opening import Surroundings
from mftgit.member.handlers.trial import Step, try_handler
from mftgit.member.secrets import Unsealer
from mftgit.model.handlers.handler import AnyEventHandler
from mftgit.model.names import EventHandlerName
from mftgit.model.printable import printable

FAILED = 1


@click.group(name="event-handler")
def event_handler() -> None:
    """See whether events reach where event handlers bring them; `mftgit status` tells how far they are."""


@event_handler.command(
    epilog="""\b
Examples:
  mftgit event-handler test oncall --dir /var/lib/mftgit
  mftgit event-handler test oncall --dir /var/lib/mftgit --json
"""
)
@click.argument("name", type=Name())
@dir_option
@json_option
def test(name: EventHandlerName, folder: StateFolder, as_json: bool) -> int:
    """Bring one event, EventHandlerTested, to where event handler NAME brings them, and tell each step with its time.

    It is tried from this machine, as the confirmed revision has it, whether the member runs or not, and whatever
    the handler includes. It exits with 1 where a step fails.
    """
    active = read_active(folder)
    handler = _handler(active, name)
    steps: list[Step] = []

    def tell(step: Step) -> None:
        steps.append(step)
        if not as_json:
            patience.aside(lambda: _print(step))

    clock = SystemClock()
    with Patience("waiting for the other side", clock=clock) as patience:
        try_handler(
            handler,
            lambda: _surroundings(folder, active, handler),
            by=user(),
            clock=clock,
            tell=tell,
        )
    good = all(step.ok for step in steps)
    if as_json:
        print_json(
            {
                "member": active.generation.member.name,
                "event_handler": name,
                "type": handler.KIND,
                "revision": active.revision,
                "ok": good,
                "steps": [step.as_json() for step in steps],
            }
        )
    return 0 if good else FAILED


def _handler(active: Active, name: EventHandlerName) -> AnyEventHandler:
    found = active.generation.event_handlers.get(name)
    if found is not None:
        return found
    known = ", ".join(sorted(active.generation.event_handlers)) or "none"
    where = f"on {active.generation.member.name} under revision {active.revision[:12]}"
    raise ConfigError(f"the event handler {name} is not active {where}; here are active: {known}")


def _surroundings(folder: StateFolder, active: Active, handler: AnyEventHandler) -> Surroundings:
    """Return where ``handler`` works, its secrets decrypted as the running member does it; raises ConfigError."""
    needed = {secret for _, secret in handler.secrets()}
    generation = active.generation
    sealed = {name: each for name, each in generation.sealed.items() if name in needed}
    alone = replace(generation, event_handlers={handler.name: handler}, sealed=sealed)
    unsealed = Unsealer(folder.age_key).unseal(alone, active.parts, fresh=True)
    return Surroundings(
        folder=folder,
        cluster=generation.cluster.name,
        member=generation.member.name,
        secrets=SecretsHere(folder=folder.secrets, values=unsealed.secrets),
        clock=SystemClock(),
    )


def _print(step: Step) -> None:
    word = click.style("ok    ", fg="green") if step.ok else click.style("FAILED", fg="red")
    click.echo(f"  {step.step:14} {word} {step.ms:9.1f} ms")
    if step.error is not None:
        click.echo(f"    {printable(step.error)}")
