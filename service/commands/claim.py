"""Taking commands that are due, each by one worker, each in its payment's line."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa
import structlog
from sqlmodel import Session

from service.cause import NOBODY, Cause, cause_of
from service.clock import Clock
from service.commands.due import due
from service.commands.outdated import is_outdated
from service.ids import new_id
from service.kinds import CommandKind
from service.ledger.people import open_sealed
from service.store.inserts import table_of
from service.store.tables import (
    Command,
    CommandAttempt,
    CommandStatus,
    Customer,
)
from service.vault import SealBroken, Vault
from service.vipps import VippsKeys

# A command makes at most four calls of ten seconds, and a commit; a worker that dies frees it
# after this.
LEASE_S = 50

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A command as its worker has it; `lease` fences the settlement.

    `is_accepted`: Vipps has said yes already, and only its log is still waited for.
    `is_outdated`: it must not be sent any more as it is, see `outdated`; or it can't be: the
    person it is about was erased, and its body is lost with their key."""

    id: str
    lease: str
    attempt: int
    kind: CommandKind
    msn: str
    invoice_id: str
    payment_id: str
    reference: str
    currency: str
    invoice_amount_minor: int
    idempotency_key: str
    is_accepted: bool
    is_outdated: bool
    body: dict[str, Any] | None = field(repr=False)
    amount_minor: int | None
    act_id: str | None
    keys: VippsKeys = field(repr=False)
    last_started_at: datetime | None  # of the last call before this one
    awaits_number: bool  # who pays was asked to share it, and it has not come yet
    # Tries that ended: those cut off by a kill say nothing about how Vipps fares.
    tries: int
    is_unread: bool  # restored: its payment was not read at Vipps since
    cause: Cause = NOBODY


def claim(session: Session, vault: Vault, clock: Clock, *, limit: int) -> list[Claimed]:
    """Take up to `limit` due commands: leased, their tries counted, their bodies opened."""
    now, business_now = clock.shared_now(session), clock.business_now()
    # What was decided by a machine whose clock runs ahead is not late because of that.
    later = max(now, clock.now())
    rows = due(session, now, later=later, limit=limit)
    opened = [(row.id, _open_or_none(session, vault, row, business_now)) for row in rows]
    claimed = [one for _, one in opened if one is not None]
    _lease(session, claimed, now)
    _put_off(session, [key for key, one in opened if one is None], now)
    return claimed


def _open_or_none(
    session: Session, vault: Vault, row: sa.Row[Any], business_now: datetime
) -> Claimed | None:
    """Open a command; None where that fails, so that it holds up no other.

    Keys that are no keys, or a body that was changed, may not stop all the rest."""
    try:
        return _open(session, vault, row, business_now)
    except (SealBroken, ValueError, KeyError) as error:
        if isinstance(error, SealBroken) and _is_of_the_erased(session, row):
            return _open(session, vault, row, business_now, is_erased=True)
        log.error("command_unreadable", command=row.id, reason=type(error).__name__)
        return None


def _is_of_the_erased(session: Session, row: sa.Row[Any]) -> bool:
    customer = session.get(Customer, row.customer_id) if row.customer_id else None
    return customer is not None and customer.erased_at is not None


def _open(
    session: Session,
    vault: Vault,
    row: sa.Row[Any],
    business_now: datetime,
    *,
    is_erased: bool = False,
) -> Claimed:
    body = None if is_erased else _body(session, vault, row)
    return Claimed(
        id=row.id,
        lease=new_id("lease"),
        attempt=row.attempts + 1,
        kind=CommandKind(row.kind),
        msn=row.msn,
        invoice_id=row.invoice_id,
        payment_id=row.payment_id,
        reference=row.reference,
        currency=row.currency,
        invoice_amount_minor=row.invoice_amount_minor,
        idempotency_key=row.idempotency_key,
        is_accepted=200 <= ((row.answer or {}).get("status") or 0) < 300,
        is_outdated=is_erased or is_outdated(row, body or {}, business_now),
        body=body,
        amount_minor=row.amount_minor,
        act_id=row.act_id,
        keys=open_keys(vault, row.msn, row.vipps_keys),
        awaits_number=bool(row.awaits_number),
        is_unread=row.is_unread,
        cause=cause_of(row.cause),
        **_tries_so_far(session, row),
    )


def open_keys(vault: Vault, msn: str, sealed: bytes) -> VippsKeys:
    """Open a sales unit's keys for Vipps."""
    known = orjson.loads(vault.open(sealed, place=f"sales_unit:{msn}:vipps_keys"))
    return VippsKeys(
        msn=msn,
        client_id=known["clientId"],
        client_secret=known["clientSecret"],
        subscription_key=known["subscriptionKey"],
    )


def _body(session: Session, vault: Vault, row: sa.Row[Any]) -> dict[str, Any] | None:
    if row.body is None:
        return None
    place = f"command:{row.id}:body"
    plain = open_sealed(session, vault, row.body, place=place, customer_ids=[row.customer_id])
    opened: dict[str, Any] = orjson.loads(plain)
    return opened


def _tries_so_far(session: Session, row: sa.Row[Any]) -> dict[str, Any]:
    if row.attempts == 0:
        return {"last_started_at": None, "tries": 0}
    tried = table_of(CommandAttempt).c
    so_far = sa.select(
        # Only calls of this kind: a look in between asks for nothing.
        sa.func.max(sa.case((tried.kind == row.kind, tried.started_at))).label("last_started_at"),
        sa.func.count(tried.latency_ms).label("tries"),
    )
    found = session.execute(so_far.where(tried.command_id == row.id)).one()
    return dict(found._mapping)


def _put_off(session: Session, unreadable: list[str], now: datetime) -> None:
    """Let what can't be opened wait as long as a lease; a person may mend it meanwhile."""
    if unreadable:
        table = table_of(Command)
        later = now + timedelta(seconds=LEASE_S)
        late = sa.update(table).where(table.c.id.in_(unreadable)).values(next_attempt_at=later)
        session.execute(late)


def _lease(session: Session, claimed: list[Claimed], now: datetime) -> None:
    if not claimed:
        return
    until = now + timedelta(seconds=LEASE_S)
    session.execute(
        _TAKE,
        [
            {"key": c.id, "new_lease": c.lease, "attempt": c.attempt, "until": until}
            for c in claimed
        ],
    )
    session.execute(
        _TRY,
        [
            {
                "command_id": c.id,
                "number": c.attempt,
                "payment_id": c.payment_id,
                # What Vipps counts: these are only read about.
                "kind": CommandKind.READ_PAYMENT if c.is_accepted or c.is_outdated else c.kind,
                "started_at": now,
            }
            for c in claimed
        ],
    )


_command = table_of(Command)
_TAKE = (
    sa.update(_command)
    .where(_command.c.id == sa.bindparam("key"))
    .values(
        status=CommandStatus.RUNNING,
        lease=sa.bindparam("new_lease"),
        attempts=sa.bindparam("attempt"),
        next_attempt_at=sa.bindparam("until"),
    )
)
_TRY = sa.insert(table_of(CommandAttempt))
