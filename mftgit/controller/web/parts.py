"""What the resources of the Web Manager are built from."""

from collections.abc import Callable
from dataclasses import dataclass

from mftgit.adapters.ban_records import BanRecords
from mftgit.adapters.clock import Clock
from mftgit.adapters.event_store import EventStore
from mftgit.adapters.git_store import GitStore
from mftgit.adapters.registry import Registry
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.controller.codes import Codes
from mftgit.controller.definitions import Definitions
from mftgit.controller.editing import Editing
from mftgit.controller.history import History
from mftgit.controller.orders import Orders
from mftgit.controller.proposals import Proposals
from mftgit.controller.reported import Reported
from mftgit.controller.reviews import Reviews
from mftgit.controller.visits import Visits
from mftgit.controller.volumes import Volumes
from mftgit.controller.vouching import Vouching
from mftgit.controller.web.sessions import Sessions
from mftgit.model.access import Principal
from mftgit.model.validate import Validator

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
