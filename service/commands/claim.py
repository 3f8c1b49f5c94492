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
from service.commands.outdated import is_outdated
from service.ids import new_id
from service.kinds import CommandKind
from service.ledger.people import open_sealed
from service.store.inserts import table_of
from service.store.tables import (
    OPEN_STATUSES,
    Command,
    CommandAttempt,
    CommandStatus,
    Customer,
    Invoice,
    Payment,
    SalesUnit,
    Unread,
)
from service.vault import SealBroken, Vault
from service.vipps import VippsKeys

# A command makes at most four calls of ten seconds, and a commit; a worker that dies frees it
# after this.
LEASE_S = 50

# Vipps: 5 writes of a kind and 120 reads a minute per reference (facts, section 1). A read
# of ours is two calls, and people may look at the payment in the meantime. Vipps counts from
# the call's arrival, which is up to ten seconds after its try has begun.
RATE_WINDOW = timedelta(seconds=70)
WRITES_MAX = 5
READS_MAX = 40

# As text and not as parameters: only then does SQLite see that the partial indexes hold what
# is asked for, instead of reading every command there ever was.
_OPEN: tuple[sa.ColumnElement[str], ...] = tuple(
    sa.literal_column(f"'{status}'") for status in OPEN_STATUSES
)

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
    rows = session.execute(_due(session, now, later=later, limit=limit)).all()
    opened = [(row.id, _open_or_none(session, vault, row, business_now)) for row in rows]
    claimed = [one for _, one in opened if one is not None]
    _lease(session, claimed, now)
    _put_off(session, [key for key, one in opened if one is None], now)
    return claimed


def next_at(session: Session) -> datetime | None:
    """Return when the next command is due, or the next lease ends; None where none is open."""
    command = table_of(Command).c
    opened = sa.select(sa.func.min(command.next_attempt_at)).where(command.status.in_(_OPEN))
    first: datetime | None = session.scalars(opened).one()
    return first


def _due(session: Session, now: datetime, *, later: datetime, limit: int) -> sa.Select[Any]:
    command, payment = table_of(Command).c, table_of(Payment).c
    invoice, unit = table_of(Invoice).c, table_of(SalesUnit).c
    statement = (
        sa.select(
            *command,
            payment.reference,
            sa.and_(payment.sharing.is_not(None), payment.shared_at.is_(None)).label(
                "awaits_number"
            ),
            invoice.currency,
            invoice.amount_minor.label("invoice_amount_minor"),
            invoice.customer_id,
            invoice.state.label("invoice_state"),
            invoice.closing,
            invoice.payable_until,
            payment.replacement_flow,
            payment.ends_at,
            unit.vipps_keys,
            sa.exists().where(table_of(Unread).c.id == payment.id).label("is_unread"),
        )
        .join_from(table_of(Command), table_of(Payment), command.payment_id == payment.id)
        .join(table_of(Invoice), command.invoice_id == invoice.id)
        .join(table_of(SalesUnit), command.msn == unit.msn)
        .where(
            command.status.in_(_OPEN),
            command.next_attempt_at <= later,
            sa.or_(command.next_attempt_at <= now, command.status == CommandStatus.WAITING),
            sa.or_(unit.held_until.is_(None), unit.held_until <= now),
            unit.vipps_keys.is_not(None),
            sa.or_(unit.recovering_since.is_(None), command.kind == CommandKind.READ_PAYMENT),
            sa.or_(~_has_unread(), _is_its_turn()),
            ~_has_one_before(),
            _calls_so_far(now) < _calls_max(),
        )
        .order_by(command.next_attempt_at)
        .limit(limit)
    )
    if session.get_bind().dialect.name == "sqlite":
        return statement  # BEGIN IMMEDIATE has kept every other claimer out
    return statement.with_for_update(skip_locked=True, of=table_of(Command))


def _has_unread() -> sa.Exists:
    """Tell whether anything of the sales unit is unread: nearly always there is nothing."""
    return sa.exists().where(table_of(Unread).c.msn == table_of(Command).c.msn)


def _is_its_turn() -> sa.ColumnElement[bool]:
    """Tell what goes to Vipps of an invoice of which something is unread.

    Nothing before its payments are known (see `seeking`), and then the chain in its own order: of
    two payments of which we know neither's end, one could seem to live."""
    command, payment, unread = table_of(Command).c, table_of(Payment).c, table_of(Unread).c
    before = table_of(Payment).alias("payment_before").c
    is_unsought = sa.exists().where(unread.id == command.invoice_id)
    has_one_before = sa.exists().where(
        before.invoice_id == command.invoice_id,
        before.attempt < payment.attempt,
        before.id == unread.id,
    )
    return sa.and_(~is_unsought, ~has_one_before)


def _has_one_before() -> sa.Exists:
    """Tell whether an earlier command of the same payment is not settled yet."""
    command, before = table_of(Command), table_of(Command).alias("before")
    return sa.exists().where(
        command.c.is_serial,
        before.c.is_serial,
        before.c.payment_id == command.c.payment_id,
        before.c.number < command.c.number,
        before.c.status.in_(_OPEN),
    )


def _calls_so_far(now: datetime) -> sa.ScalarSelect[int]:
    command, tried = table_of(Command).c, table_of(CommandAttempt).c
    return (
        sa.select(sa.func.count())
        .where(
            tried.payment_id == command.payment_id,
            tried.kind == command.kind,
            tried.started_at > now - RATE_WINDOW,
            # Those beyond began under a clock that ran ahead, and was put right.
            tried.started_at < now + RATE_WINDOW,
        )
        .correlate(table_of(Command))
        .scalar_subquery()
    )


def _calls_max() -> sa.Case[int]:
    is_read = table_of(Command).c.kind == CommandKind.READ_PAYMENT
    return sa.case((is_read, READS_MAX), else_=WRITES_MAX)


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
    table = table_of(Command)
    until = now + timedelta(seconds=LEASE_S)
    session.execute(
        sa.update(table)
        .where(table.c.id == sa.bindparam("key"))
        .values(
            status=CommandStatus.RUNNING,
            lease=sa.bindparam("new_lease"),
            attempts=sa.bindparam("attempt"),
            next_attempt_at=until,
        ),
        [{"key": c.id, "new_lease": c.lease, "attempt": c.attempt} for c in claimed],
    )
    session.execute(
        sa.insert(table_of(CommandAttempt)),
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
