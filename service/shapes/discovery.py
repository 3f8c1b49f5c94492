"""What the service says of itself."""

from typing import Annotated, Literal

from typing_extensions import TypedDict

from service.events.shapes import Instant, StateName, one_of
from statemachine import Trigger


class MachineState(TypedDict):
    """One state of the machine."""

    name: StateName
    payable: bool
    meaning: str


MachineTransition = TypedDict(
    "MachineTransition",
    {
        "trigger": Annotated[str, one_of(Trigger)],
        "from": StateName | None,
        "to": StateName,
        "guard": str | None,
    },
)


class Machine(TypedDict):
    """The table that invoices live by."""

    states: list[MachineState]
    transitions: list[MachineTransition]
    mermaid: str


class SigningKey(TypedDict):
    """One public key."""

    id: str
    publicKey: str
    algorithm: Literal["ed25519"]


class SigningKeys(TypedDict):
    """What `v1a` signatures are verified with."""

    keys: list[SigningKey]


class Health(TypedDict):
    """The process answers."""

    status: Literal["up"]


class Unpublished(TypedDict):
    """A sales unit whose events the broker does not take."""

    salesUnit: str
    reason: str
    since: Instant
    waiting: int


class RecoveringUnit(TypedDict):
    """A restored sales unit that sends nothing until it knows what Vipps did since."""

    salesUnit: str
    since: Instant
    leftToRead: int


class Readiness(TypedDict):
    """Whether the process can do its work, and what of it can't be done."""

    status: Literal["ready", "not_ready"]
    database: Literal["ok", "away", "outdated"]
    workers: dict[str, bool]
    heldSalesUnits: list[str]
    recovering: list[RecoveringUnit]
    missingRegistrations: list[str]
    unpublished: list[Unpublished]
