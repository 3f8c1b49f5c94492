"""What a sandbox is told when it is made."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SalesUnitKeys:
    """Name the only keys that open this sales unit."""

    msn: str
    client_id: str
    client_secret: str = field(repr=False)
    subscription_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Hold everything that shapes a sandbox; the defaults need no keys and no file.

    `database_path` None keeps all state in memory. A sales unit that is not named in
    `sales_units` is opened by any keys, so that a developer can start without some.
    `retry_scale` multiplies every waiting time between delivery attempts (tests set it
    near zero); signatures and the receiver's time to answer are never scaled.
    """

    public_url: str = "http://127.0.0.1:8080"
    database_path: Path | None = None
    seed: int = 1
    sales_units: tuple[SalesUnitKeys, ...] = ()
    has_rate_limits: bool = True
    # The amounts that fail in Vipps's test environment fail here too.
    has_failing_amounts: bool = True
    token_lifetime_s: int = 3600
    retry_scale: float = 1.0
    # Vipps gives the receiver ten seconds (facts: Webhooks API, Delivery).
    answer_timeout_s: float = 10.0
    deliveries_in_flight_max: int = 32
    # One at a time keeps a registration's events in order, as Vipps promises. Benchmarks
    # that only need order within a payment raise it.
    deliveries_per_registration_max: int = 1
    # How many payments, with what belongs to them, are kept in memory: about 300 MB. Older
    # ones that are not open any more are read from the file, or gone where there is none.
    kept_max: int = 50_000
    # How long after a consent the Userinfo API does not know of it yet, in real time.
    userinfo_delay_s: float = 1.0
    # How long a chaos answer stays away before a gateway's 504 ends the wait.
    silence_s: float = 30.0
