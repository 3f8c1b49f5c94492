"""People who use the console: what they may, where they are signed in, what they did."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from service.kinds import Role
from service.store.tables.columns import one_of, only_where


class StaffUser(SQLModel, table=True):
    """One person at the merchant's who may sign in to the console."""

    __tablename__ = "staff_user"
    __table_args__ = (one_of("role", Role, "role_known"),)

    id: str = Field(primary_key=True)
    login_lookup: bytes = Field(unique=True)  # keyed hash: two can't have the same login
    personal: bytes  # sealed JSON: login, name
    password_hash: str  # argon2id, with its own salt and costs in it
    totp_secret: bytes | None = None  # sealed; None: no second factor is asked for
    totp_step: int = 0  # the last half minute whose code was used: none is good twice
    role: str
    created_at: datetime
    disabled_at: datetime | None = None


class StaffUnit(SQLModel, table=True):
    """A sales unit that a person sees; they see no other."""

    __tablename__ = "staff_unit"

    user_id: str = Field(primary_key=True, foreign_key="staff_user.id")
    msn: str = Field(primary_key=True, foreign_key="sales_unit.msn")


class StaffSession(SQLModel, table=True):
    """Somebody is signed in; only the cookie's hash is kept."""

    __tablename__ = "staff_session"
    # What has ended is found without reading what has not.
    __table_args__ = (sa.Index("ix_staff_session_ends_at", "ends_at"),)

    token_hash: bytes = Field(primary_key=True)
    user_id: str = Field(foreign_key="staff_user.id", index=True)
    msn: str = Field(foreign_key="sales_unit.msn")  # the sales unit that is looked at
    seen_at: datetime
    ends_at: datetime


class StaffAct(SQLModel, table=True):
    """What a person did that is not an invoice's own history; append-only."""

    __tablename__ = "staff_act"

    id: str = Field(primary_key=True)  # sorts by time
    user_id: str = Field(foreign_key="staff_user.id", index=True)
    msn: str | None = None
    name: str
    subject: str | None = None
    reason: str | None = None
    at: datetime


class RefundRequest(SQLModel, table=True):
    """A refund above what one person may give alone: it waits for a second one."""

    __tablename__ = "refund_request"
    __table_args__ = (
        sa.Index("ix_refund_request_waiting", "msn", "id", **only_where("decided_at IS NULL")),
        # Two that wait at once would let the same money be agreed to twice.
        sa.Index(
            "uq_refund_request_one_waits",
            "invoice_id",
            unique=True,
            **only_where("decided_at IS NULL"),
        ),
        sa.CheckConstraint(
            "decided_by IS NULL OR is_agreed = false OR decided_by <> asked_by", name="two_people"
        ),
    )

    id: str = Field(primary_key=True)
    msn: str
    invoice_id: str = Field(foreign_key="invoice.id")
    amount_minor: int = Field(sa_type=sa.BigInteger)
    reason: str
    asked_by: str = Field(foreign_key="staff_user.id")
    asked_at: datetime
    decided_by: str | None = Field(default=None, foreign_key="staff_user.id")
    decided_at: datetime | None = None
    is_agreed: bool | None = None  # None: nobody has decided
