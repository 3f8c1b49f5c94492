"""Merchants' mutating requests that carried an `Idempotency-Key`."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class StoredAnswer(SQLModel, table=True):
    """The answer that the same key gets again, written with the effect itself."""

    __tablename__ = "stored_answer"
    # What is older than it must be kept is found without reading the rest.
    __table_args__ = (sa.Index("ix_stored_answer_created_at", "created_at"),)

    # Scope of a key: one sales unit, one route. A second request with the same
    # key waits on this row instead of acting twice.
    msn: str = Field(primary_key=True)
    route: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    body_hash: bytes
    status: int
    headers: str  # JSON
    body: bytes  # sealed, with the customer's own key where it shows one
    customer_id: str | None = None
    created_at: datetime
    busy_until: datetime | None = None  # the first request still waits for Vipps
