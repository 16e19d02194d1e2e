"""What the resources of the Web Manager are built from."""

from collections.abc import Callable
from dataclasses import dataclass

from mftgit.adapters.clock import Clock
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.registry.bans import BanRecords
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.controller.gate.proposals import Proposals
from mftgit.controller.members.orders import Orders
from mftgit.controller.members.reported import Reported
from mftgit.controller.members.visits import Visits
from mftgit.controller.members.volumes import Volumes
from mftgit.controller.operators.codes import Codes
from mftgit.controller.operators.vouching import Vouching
from mftgit.controller.review.reviews import Reviews
from mftgit.controller.views.definitions import Definitions
from mftgit.controller.views.editing import Editing
from mftgit.controller.views.history import History
from mftgit.controller.web.sessions import Sessions
from mftgit.model.access import Principal
from mftgit.model.rules.validate import Validator

LogIn = Callable[[str, str, str, str], Principal]
"""Takes name, password, one-time code and the client's address; raises NotAuthenticatedError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebParts:
    """The controller's records and doing halves, as the composition root hands them out."""

    folder: StateFolder
    bootstrap: Bootstrap
    registry: Registry
    events: EventStore
    store: GitStore
    validator: Validator
    clock: Clock
    sessions: Sessions
    log_in: LogIn
    codes: Codes
    vouching: Vouching
    proposals: Proposals
    reviews: Reviews
    history: History
    editing: Editing
    orders: Orders
    reported: Reported
    definitions: Definitions
    volumes: Volumes
    bans: BanRecords
    visits: Visits
