"""Sales units, and what belongs to them: Vipps keys, webhook secrets, API keys."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from service.kinds import Scope
from service.store.tables.columns import Json, one_of, only_where


class SalesUnit(SQLModel, table=True):
    """A Vipps sales unit: the tenant that everything belongs to."""

    __tablename__ = "sales_unit"
    __table_args__ = (
        one_of("currency", ("NOK", "DKK", "EUR"), "currency_of_a_market"),
        # Whoever sends asks which these are: none, nearly always.
        sa.Index("ix_sales_unit_recovering", "msn", **only_where("recovering_since IS NOT NULL")),
    )

    msn: str = Field(primary_key=True)
    name: str
    organisation_number: str
    contact_url: str
    terms_of_sale_url: str
    privacy_policy_url: str
    currency: str
    soft_dismiss_after_s: int
    max_payment_lifetime_s: int
    push_again_after_s: int
    max_pushes: int
    quiet_hours: str  # "21:00-08:00" in the unit's time zone; empty = none
    vipps_keys: bytes | None = None  # sealed JSON: clientId, clientSecret, subscriptionKey
    held_since: datetime | None = None  # Vipps said 401 or 403: its commands wait
    held_until: datetime | None = None  # then one of them tries again
    held_because: str | None = None
    recovering_since: datetime | None = None  # restored: sends nothing until Vipps has been read
    registrations_due_at: datetime | None = None  # when they are next compared with Vipps's
    created_at: datetime


class Registration(SQLModel, table=True):
    """One webhook registration at Vipps, with the secret that signs its deliveries."""

    __tablename__ = "registration"
    __table_args__ = (
        one_of("made_by", ("register", "setting"), "maker_known"),
        # The same registration stored twice would be verified twice.
        sa.Index(
            "uq_registration_vipps_id",
            "msn",
            "vipps_id",
            unique=True,
            **only_where("vipps_id IS NOT NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    msn: str = Field(foreign_key="sales_unit.msn", index=True)
    url: str  # as registered: the host and path that signatures cover
    vipps_id: str | None = None
    secret: bytes  # sealed
    made_by: str
    created_at: datetime
    delete_after: datetime | None = None  # replaced; also the lease of who deletes it at Vipps
    missing_since: datetime | None = None  # Vipps no longer lists it
    retired_at: datetime | None = None  # no longer accepted from then on


class ApiKey(SQLModel, table=True):
    """A merchant's API key; only its hash is kept."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    msn: str = Field(foreign_key="sales_unit.msn", index=True)
    # SHA-256 of the whole key. Enough for a secret of >= 128 random bits: there
    # is no dictionary to try (threats T35).
    key_hash: bytes = Field(unique=True)
    name: str
    scopes: list[str] = Field(default_factory=lambda: list(Scope), sa_type=Json)
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None  # to within minutes
    revoked_at: datetime | None = None


class DataKey(SQLModel, table=True):
    """A data key, wrapped by a master key; rotation re-wraps these rows only."""

    __tablename__ = "data_key"

    # The purpose is the key: two processes that start at once on an empty
    # database must end up with the same keys.
    purpose: str = Field(primary_key=True)
    wrapped: bytes
    created_at: datetime
