"""A receiver as tutorials write it: FastAPI, SQLModel, a session per request, one commit each.

    DATABASE_URL=… SECRET=… uvicorn tests.benchmarks.peers.tutorial:app

It is given what keeps it correct and no more: SQLite's pragmas of durability and BEGIN IMMEDIATE,
without which it answers "database is locked", and a row lock on PostgreSQL.
"""

# mypy: ignore-errors
# FastAPI is in an environment of its own, and not in the one that is checked.

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from sqlalchemy import UniqueConstraint, event
from sqlmodel import Field, Session, SQLModel, create_engine, select

DATABASE_URL = os.environ["DATABASE_URL"]
SECRET = os.environ["SECRET"]


class Invoice(SQLModel, table=True):
    """What is owed."""

    id: int | None = Field(default=None, primary_key=True)
    reference: str = Field(index=True, unique=True)
    amount_minor: int
    currency: str
    state: str
    updated_at: datetime | None = None


class VippsEvent(SQLModel, table=True):
    """What was received."""

    __table_args__ = (UniqueConstraint("reference", "name", "psp_reference"),)

    id: int | None = Field(default=None, primary_key=True)
    reference: str
    name: str
    psp_reference: str
    body: str
    received_at: datetime


class Transition(SQLModel, table=True):
    """What moved."""

    id: int | None = Field(default=None, primary_key=True)
    invoice_id: int = Field(foreign_key="invoice.id", index=True)
    from_state: str
    to_state: str
    vipps_event_id: int = Field(foreign_key="vippsevent.id")
    at: datetime


class OutgoingEvent(SQLModel, table=True):
    """What a merchant is told."""

    id: int | None = Field(default=None, primary_key=True)
    invoice_id: int = Field(foreign_key="invoice.id", index=True)
    type: str
    payload: str
    created_at: datetime


IS_SQLITE = DATABASE_URL.startswith("sqlite")
engine = create_engine(
    DATABASE_URL, connect_args={"check_same_thread": False, "timeout": 10} if IS_SQLITE else {}
)

if IS_SQLITE:

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


SQLModel.metadata.create_all(engine)
app = FastAPI()


def get_session() -> Iterator[Session]:
    """Give each request a session."""
    with Session(engine) as session:
        yield session


async def verified_body(request: Request) -> bytes:
    """Return the body if Vipps has signed it."""
    body = await request.body()
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    date = request.headers.get("x-ms-date", "")
    text = f"POST\n{request.url.path}\n{date};{request.headers['host']};{digest}"
    key = hmac.digest(SECRET.encode(), text.encode(), "sha256")
    expected = (
        "HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature="
        + base64.b64encode(key).decode()
    )
    if not hmac.compare_digest(expected, request.headers.get("authorization", "")):
        raise HTTPException(401)
    return body


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """Tell that it is up."""
    return {"status": "ok"}


@app.post("/webhooks/vipps/{msn}")
def receive(
    msn: str,
    body: Annotated[bytes, Depends(verified_body)],
    session: Annotated[Session, Depends(get_session)],
) -> dict[str, str]:
    """Store the event, move the invoice, and write what the merchant is told."""
    told = json.loads(body)
    now = datetime.now(UTC)
    named = select(Invoice).where(Invoice.reference == told["reference"]).with_for_update()
    invoice = session.exec(named).first()
    if invoice is None or invoice.id is None:
        raise HTTPException(404)
    received = VippsEvent(
        reference=told["reference"],
        name=told["name"],
        psp_reference=told["pspReference"],
        body=body.decode(),
        received_at=now,
    )
    session.add(received)
    session.flush()
    assert received.id is not None
    if told["name"] == "AUTHORIZED" and invoice.state == "pushed":
        session.add(
            Transition(
                invoice_id=invoice.id,
                from_state=invoice.state,
                to_state="authorized",
                vipps_event_id=received.id,
                at=now,
            )
        )
        invoice.state = "authorized"
        invoice.updated_at = now
        session.add(invoice)
        payload = {"type": "invoice.authorized", "invoice": invoice.model_dump(mode="json")}
        session.add(
            OutgoingEvent(
                invoice_id=invoice.id,
                type="invoice.authorized",
                payload=json.dumps(payload),
                created_at=now,
            )
        )
    session.commit()
    return {"status": "stored"}
