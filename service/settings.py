"""Settings from the environment: `BETALBAR_*`, read once, at start (contract, section 8)."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

import sqlalchemy as sa
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from service.errors import SettingsInvalid

_PREFIX = "BETALBAR_"

# 128 bits at least, in hexadecimal: it is stored as a plain hash, so it must not be guessable.
API_KEY_LENGTH_MIN = 32

Source = PydanticBaseSettingsSource

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Norway's long-living payments last at most 24 hours, others' 60 days (facts, section 1).
LIFETIME_S = {"NOK": 86_400, "DKK": 5_184_000, "EUR": 5_184_000}

# A finer proof than the books themselves, and by law kept as long where nothing else keeps it:
# Norway and Denmark five years after the accounting year (bokføringsloven § 13, bogføringsloven
# § 12), Finland six after the calendar year in which it ended (kirjanpitolaki 2:10). Eight cover
# each.
BOOKS_DAYS_MIN = 2_922
# With an archive the law is served by that. What readers go back to is here for a quarter.
ARCHIVED_DAYS_MIN = 90
# What a receiver has missed can be sent again for a week at least.
DELIVERIES_DAYS_MIN = 7

TIME_ZONES = {"NOK": "Europe/Oslo", "DKK": "Europe/Copenhagen", "EUR": "Europe/Helsinki"}


@dataclass(frozen=True, slots=True)
class QuietHours:
    """The hours of a day, local time, in which nobody is asked; may span midnight."""

    start: time
    end: time


def parse_quiet_hours(text: str) -> QuietHours | None:
    """Read `21:00-08:00`; empty = none. Raises: ValueError."""
    if not text:
        return None
    start, _, end = text.partition("-")
    return QuietHours(time.fromisoformat(start), time.fromisoformat(end))


def _networks(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())


class Settings(BaseSettings):
    """One process's settings; field `x` is the variable `BETALBAR_X`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        frozen=True,
        extra="ignore",
        env_ignore_empty=False,
        use_attribute_docstrings=True,
    )

    # It may hold a password, as may the broker's.
    database_url: str = Field(default="sqlite:///betalbar.db", repr=False)
    """`postgresql://…` for more than one process or machine."""
    database_direct_url: str = Field(default="", repr=False)
    """PostgreSQL's own, where that one is PgBouncer's, in transaction mode; empty: it is not."""
    host: str = "127.0.0.1"
    """Where to listen."""
    port: int = Field(default=8080, ge=1, le=65535)
    """The port to listen on."""
    public_url: str = ""
    """What Vipps and customers reach; https unless Vipps is on the loopback."""
    vipps_url: str = ""
    """Empty: the built-in sandbox; `https://apitest.vipps.no`; `https://api.vipps.no`."""
    vipps_client_id: str = Field(default="", repr=False)
    """The first sales unit's keys, as the portal shows them."""
    vipps_client_secret: str = Field(default="", repr=False)
    """The same; a secret."""
    vipps_subscription_key: str = Field(default="", repr=False)
    """The same; a secret."""
    vipps_msn: str = Field(default="", pattern=r"^([0-9]{4,10})?$")
    """The first sales unit's merchant serial number; the sandbox takes `123456`."""
    vipps_webhook_secret: str = Field(default="", repr=False)
    """A webhook secret that is known already; else `betalbar webhooks register` gets one."""
    merchant_name: str = "Demo merchant"
    """The first sales unit's identity."""
    organisation_number: str = "999999999"
    """The same: its organisation number."""
    contact_url: str = "https://example.com/contact"
    """The same: where customers get help."""
    terms_url: str = "https://example.com/terms"
    """The same: its terms of sale."""
    privacy_url: str = "https://example.com/privacy"
    """The same: its privacy policy."""
    currency: Literal["NOK", "DKK", "EUR"] = "NOK"
    """`NOK`, `DKK` or `EUR`; it also says the time zone."""
    api_key: str = Field(default="", repr=False)
    """An API key for the first sales unit, for containers; else `betalbar keys create`. With a
    real Vipps of 32 characters at least, such as `openssl rand -hex 32` makes."""
    master_keys: str = Field(default="", repr=False)
    """32-byte keys in URL-safe base64, newest first, comma-separated; empty: one is made beside
    the database (mode 0600), never with a real Vipps."""
    soft_dismiss_after_s: int = Field(default=600, ge=1)
    """When a silent customer counts as having postponed."""
    max_payment_lifetime_s: int = Field(default=0, ge=0)
    """0: what Vipps allows, 86400 for NOK, else 5184000."""
    push_again_after_s: int = Field(default=172_800, ge=1)
    """How long after a payment lapsed to ask again."""
    max_pushes: int = Field(default=3, ge=1)
    """How often Betalbar asks by itself."""
    quiet_hours: str = "21:00-08:00"
    """When it does not, local time; empty: never quiet."""
    subscriber_allow: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()
    """Networks (`10.0.0.0/8,…`) where subscribers may be although they are not public, http and
    every port included."""
    broker_url: str = Field(default="", repr=False)
    """`nats://…` or `tls://…` (several of one cluster: comma-separated): each event to NATS
    JetStream as a CloudEvent, see docs/broker.md."""
    broker_credentials: str = ""
    """A file that proves who we are to that broker: NATS credentials (`.creds`), or an NKey's
    seed."""
    # From that day on MobilePay is called Vipps (facts, section 7).
    mobilepay_until: date = date(2027, 1, 12)
    """The day from which Danish and Finnish invoice pages say Vipps where they said MobilePay."""
    webhook_tolerance_s: int = Field(default=300, ge=1, le=900)
    """How far Vipps's clock and ours may be apart."""
    key_calls_per_minute: int = Field(default=60_000, ge=1)
    """How many requests an API key may send to one process in a minute; more get 429."""
    metrics_key: str = Field(default="", repr=False)
    """What Prometheus shows as its bearer token at `/metrics`; empty: open to this machine
    alone, and closed with a real Vipps."""
    traces_url: str = Field(default="", repr=False)
    """Where OpenTelemetry traces go, `http://collector:4318/v1/traces`, with the extra
    `betalbar[otel]`; empty: none are made."""
    attempts_kept_days: int = Field(default=90, ge=1, le=3650)
    """How long each try of a delivery stays in its log."""
    deliveries_kept_days: int = Field(default=0, ge=0, le=36_500)
    """How long a delivery that has ended stays, from then on, at least 7; 0: for good."""
    bodies_kept_days: int = Field(default=0, ge=0, le=36_500)
    """How long the bodies and headers of Vipps's events stay, from the last change of an invoice
    that is at an end; 0: for good; at least 2922 (eight years), or 90 with an archive."""
    events_kept_days: int = Field(default=0, ge=0, le=36_500)
    """The same for the events of the feed."""
    archive_folder: str = ""
    """A folder that deliveries, bodies and events are written to before they are deleted, as
    sealed as they were; empty: they are gone."""
    refund_alone_max_minor: int = Field(default=0, ge=0)
    """The most, in minor units, that one person gives back of an invoice in the console; above it
    a second one must agree; 0: no limit."""
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()
    """Networks (`127.0.0.1,10.0.0.0/8,…`) of the proxies in front: whom they name in
    `X-Forwarded-For` is believed, and their connections stand for many; empty: nobody is."""
    connections_max: int = Field(default=2_000, ge=10)
    """How many connections a process has at once; those beyond get 503."""
    connections_per_address_max: int = Field(default=500, ge=1)
    """How many of them from one address (of IPv6: one /64), proxies excepted."""
    log: Literal["json", "console"] = "console"
    """`json` or `console`, to standard error."""

    @field_validator("database_url")
    @classmethod
    def _database_known(cls, value: str) -> str:
        try:
            url = sa.make_url(value)
        except sa.exc.ArgumentError:
            raise ValueError("not a URL") from None
        except ValueError:
            several = "several servers are written /DATABASE?host=A:5432&host=B:5432"
            raise ValueError(f"the port is no number; {several}") from None
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise ValueError("starts with sqlite:/// or postgresql://")
        if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
            raise ValueError("names a file: what is only in memory would be lost")
        return value

    @field_validator("database_direct_url")
    @classmethod
    def _direct_url_of_postgresql(cls, value: str) -> str:
        if value and not value.startswith("postgresql://"):
            raise ValueError("starts with postgresql://")
        return value

    @field_validator("quiet_hours")
    @classmethod
    def _quiet_hours_readable(cls, value: str) -> str:
        try:
            parse_quiet_hours(value)
        except ValueError:
            raise ValueError("two times of day such as 21:00-08:00, or empty") from None
        return value

    @field_validator("broker_url")
    @classmethod
    def _broker_reachable_by_nats(cls, value: str) -> str:
        parts = [_split(part.strip()) for part in value.split(",")] if value else []
        if not all(part and part.scheme in ("nats", "tls") and part.hostname for part in parts):
            raise ValueError("a URL such as nats://broker.example:4222 or tls://broker.example")
        return value

    @field_validator("broker_credentials")
    @classmethod
    def _credentials_there(cls, value: str) -> str:
        if value and not Path(value).is_file():
            raise ValueError("a file that is there: NATS credentials, or an NKey's seed")
        return value

    @field_validator("vipps_url", "public_url", "traces_url")
    @classmethod
    def _url_complete(cls, value: str) -> str:
        if value and (
            urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc
        ):
            raise ValueError("a URL such as https://pay.example.com")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        if self.is_database_pooled and self.database_url.startswith("sqlite"):
            raise ValueError("BETALBAR_DATABASE_DIRECT_URL is for PostgreSQL behind PgBouncer")
        self._require_kept_long_enough()
        if self.is_vipps_real:
            self._require_fit_for_a_real_vipps()
        return self

    def _require_kept_long_enough(self) -> None:
        """Raises: ValueError, where a slip of the pen would delete what the law wants kept."""
        least = ARCHIVED_DAYS_MIN if self.archive_folder else BOOKS_DAYS_MIN
        for name, days, days_min in (
            ("DELIVERIES", self.deliveries_kept_days, DELIVERIES_DAYS_MIN),
            ("BODIES", self.bodies_kept_days, least),
            ("EVENTS", self.events_kept_days, least),
        ):
            if 0 < days < days_min:
                would_do = f", or {ARCHIVED_DAYS_MIN} with BETALBAR_ARCHIVE_FOLDER"
                rest = would_do if days_min == BOOKS_DAYS_MIN else ""
                raise ValueError(f"BETALBAR_{name}_KEPT_DAYS must be at least {days_min}{rest}")

    def _require_fit_for_a_real_vipps(self) -> None:
        if not self.base_url.startswith("https://"):
            raise ValueError("BETALBAR_PUBLIC_URL must be https with a real Vipps")
        needed = ("client_id", "client_secret", "subscription_key", "msn")
        missing = [n for n in needed if not getattr(self, f"vipps_{n}")]
        if 0 < len(missing) < len(needed):
            names = ", ".join(f"BETALBAR_VIPPS_{n.upper()}" for n in missing)
            raise ValueError(f"{names} must be set too")
        if 0 < len(self.api_key) < API_KEY_LENGTH_MIN:
            raise ValueError(
                f"BETALBAR_API_KEY has {API_KEY_LENGTH_MIN} characters at least with a real Vipps:"
                " `openssl rand -hex 32` makes one that nobody guesses"
            )

    @property
    def has_built_in_sandbox(self) -> bool:
        """Tell whether this process plays Vipps itself."""
        return not self.vipps_url

    @property
    def is_vipps_real(self) -> bool:
        """Tell whether Vipps is anywhere but on this machine."""
        return not self.has_built_in_sandbox and not is_loopback(self.vipps_url)

    @property
    def is_vipps_production(self) -> bool:
        """Tell whether Order Management may be called: everywhere but at `apitest`."""
        return urlsplit(self.vipps_url).hostname != "apitest.vipps.no"

    @property
    def local_url(self) -> str:
        """Return where this process listens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """Return the URL that Vipps and customers reach, without a slash at the end."""
        return self.public_url or self.local_url

    @property
    def upstream_url(self) -> str:
        """Return where Vipps is."""
        return self.vipps_url or self.local_url

    @property
    def direct_url(self) -> str:
        """Return where the database itself is, whatever stands before it."""
        return self.database_direct_url or self.database_url

    @property
    def is_database_pooled(self) -> bool:
        """Tell whether PgBouncer stands before the database."""
        return bool(self.database_direct_url)

    @property
    def msn(self) -> str:
        """Return the first sales unit's MSN; the sandbox needs none to be set."""
        return self.vipps_msn or ("" if self.is_vipps_real else "123456")

    @property
    def payment_lifetime_s(self) -> int:
        """Return how long one payment of the first sales unit may live."""
        return self.max_payment_lifetime_s or LIFETIME_S[self.currency]

    @property
    def key_file(self) -> Path:
        """Return where a master key is kept when none is set."""
        path = sa.make_url(self.database_url).database
        is_file = self.database_url.startswith("sqlite")
        return Path(f"{path}.keys" if is_file else "betalbar.keys")


def _split(url: str) -> SplitResult | None:
    """Return a URL's parts, or None where its port or brackets can't be read."""
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else None
    except ValueError:
        return None


class _Given(Settings):
    """Settings that are handed over, whatever the process's own environment says."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: Source,
        *others: Source,
        **named: Source,
    ) -> tuple[Source, ...]:
        """Take what is given, and nothing else."""
        return (init_settings,)


def is_loopback(url: str) -> bool:
    """Tell whether a URL's host is this machine's loopback, by name or number."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings; `environment` replaces the process's own, for tests.

    Raises: SettingsInvalid, naming each variable."""
    try:
        if environment is None:
            return Settings()
        ours = ((name, v) for name, v in environment.items() if name.startswith(_PREFIX))
        return _Given.model_validate({n.removeprefix(_PREFIX).lower(): v for n, v in ours})
    except ValidationError as error:
        lines = [_line(e["loc"], e["msg"]) for e in error.errors(include_input=False)]
        raise SettingsInvalid("\n".join(lines)) from None


def _line(location: tuple[int | str, ...], text: str) -> str:
    reason = text.removeprefix("Value error, ")
    return f"{_PREFIX}{str(location[0]).upper()}: {reason}" if location else reason
