"""Customers: a person with a phone number, a consent, perhaps a Vipps `sub`."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from service.store.tables.columns import Json, only_where


class Customer(SQLModel, table=True):
    """One person as one sales unit knows them; readable only with the row's own key."""

    __tablename__ = "customer"
    __table_args__ = (
        # The same number inline twice is the same customer (contract, section 6).
        sa.Index(
            "uq_customer_phone",
            "msn",
            "phone_lookup",
            unique=True,
            **only_where("phone_lookup IS NOT NULL"),
        ),
        # Not unique: two payments that end in the same instant must both be taken in.
        sa.Index("ix_customer_sub", "msn", "sub_lookup", **only_where("sub_lookup IS NOT NULL")),
        sa.Index("ix_customer_newest", "msn", "id"),
    )

    id: str = Field(primary_key=True)
    msn: str = Field(foreign_key="sales_unit.msn")
    phone_lookup: bytes | None = None  # keyed hash; a bare hash of a number is no secret (T46)
    sub_lookup: bytes | None = None  # keyed hash of how Vipps names them to this sales unit
    wrapped_key: bytes | None = None  # dropping it makes all of this person unreadable
    personal: bytes | None = None  # sealed JSON: phoneNumber, name, sub
    consent: dict[str, str] | None = Field(default=None, sa_type=Json)  # as the API shows it
    created_at: datetime
    updated_at: datetime
    erased_at: datetime | None = None


class Withdrawal(SQLModel, table=True):
    """A number that may not be asked in the app; it outlives the customer's erasure.

    Only a keyed hash: enough to respect the wish, useless to whoever takes the database."""

    __tablename__ = "withdrawal"

    msn: str = Field(primary_key=True, foreign_key="sales_unit.msn")
    phone_lookup: bytes = Field(primary_key=True)
    withdrawn_at: datetime
