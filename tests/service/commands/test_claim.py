"""Taking commands: due ones, one at a time per payment, each by one worker."""

from datetime import UTC, timedelta

import pytest
import sqlalchemy as sa

from service.clock import Clock
from service.commands.claim import LEASE_S, claim
from service.commands.due import READS_MAX, WRITES_MAX
from service.kinds import CommandKind
from service.ledger.acts import capture
from service.ledger.invoices import create_invoice
from service.store.db import Database
from service.store.leases import database_time
from service.store.tables import Command, CommandAttempt, Customer, SalesUnit
from tests.builders import (
    AMOUNT,
    MSN,
    NOW,
    ONLY_POSTGRESQL,
    OTHER_MSN,
    PHONE,
    THE_MERCHANT,
    Desk,
    a_desk,
    a_pushed_desk,
    an_authorized_desk,
    an_invoice,
)
from tests.service.commands.running import (
    accepted,
    an_answer,
    claimed,
    claimed_one,
    command,
    kinds,
    ran,
    settled,
)


def test_commands_of_one_payment_run_one_at_a_time_in_their_sequence(database: Database) -> None:
    """What was decided first is done first, and the next waits for its outcome."""
    desk = a_desk(database)
    desk.create()

    first = claimed(desk)
    none = claimed(desk)
    settled(desk, ran(desk, first[0], accepted(first[0])))
    second = claimed(desk)

    assert kinds(first) == [CommandKind.ATTACH_CATEGORY]
    assert none == []
    assert kinds(second) == [CommandKind.CREATE_PAYMENT]


def test_claimed_command_has_all_that_a_call_needs(database: Database) -> None:
    """A worker needs nothing more from the database to make the call."""
    desk = a_desk(database)
    desk.create()

    one = claimed_one(desk, "create_payment")

    assert one.body is not None and one.body["customer"] == {"phoneNumber": PHONE}
    assert (one.msn, one.keys.client_secret) == (MSN, "a-client-secret")
    assert (one.attempt, one.last_started_at) == (1, None)
    assert one.idempotency_key == one.id and len(one.id) <= 50
    assert (one.invoice_amount_minor, one.currency) == (AMOUNT, "NOK")
    assert PHONE not in repr(one) and "secret" not in repr(one)


def test_link_that_failed_once_holds_up_nobody(database: Database) -> None:
    """A courtesy that Vipps refuses just now does not delay the request itself."""
    desk = a_desk(database)
    desk.create()
    (link,) = claimed(desk)

    settled(desk, ran(desk, link, an_answer(503)))

    assert kinds(claimed(desk)) == [CommandKind.CREATE_PAYMENT]
    assert command(desk, link.id).status == "waiting"
    assert not command(desk, link.id).is_serial


def test_reads_do_not_stand_in_line(database: Database) -> None:
    """Looking is always possible, whatever else is under way."""
    desk, _ = an_authorized_desk(database)
    desk.act(capture)
    desk.later(seconds=10)

    found = claimed(desk)

    assert sorted(kinds(found)) == [CommandKind.CAPTURE, CommandKind.READ_PAYMENT]


def test_command_of_a_dead_worker_is_taken_again_with_the_same_key(database: Database) -> None:
    """A crash loses no command, and the key at Vipps stays the same."""
    desk = a_desk(database)
    desk.create()
    first = claimed_one(desk, "create_payment")

    desk.later(seconds=LEASE_S - 1)
    too_early = claimed(desk)
    desk.later(seconds=1)
    (again,) = claimed(desk)

    assert too_early == []
    assert (again.id, again.idempotency_key, again.body) == (
        first.id,
        first.idempotency_key,
        first.body,
    )
    assert (again.attempt, again.last_started_at) == (2, NOW)
    assert again.lease != first.lease


def test_worker_that_lost_its_lease_settles_nothing(database: Database) -> None:
    """Two workers that both ran a command settle it once."""
    desk = a_desk(database)
    desk.create()
    slow = claimed_one(desk, "create_payment")
    desk.later(seconds=LEASE_S)
    (fast,) = claimed(desk)

    late = settled(desk, ran(desk, slow, accepted(slow, 201)))
    before = desk.invoice().state
    in_time = settled(desk, ran(desk, fast, accepted(fast, 201)))
    after_done = settled(desk, ran(desk, fast, accepted(fast, 201)))

    assert (late, before) == ([False], "created")
    assert (in_time, after_done) == ([True], [False])
    assert desk.history()[1:] == ["push>pushed by response"]


def test_machine_whose_clock_runs_ahead_takes_nothing_from_others(database: Database) -> None:
    """A lease is over when the database says so; by the clock that is ahead, only waiting is."""
    desk = a_desk(database)
    ahead = Clock(real=lambda: NOW + timedelta(hours=1), of_database=lambda _: desk.now())
    vault = desk.context.vault

    def take(clock: Clock) -> list[str]:
        with database.transaction() as session:
            return [one.kind for one in claim(session, vault, clock, limit=32)]

    desk.times.append(NOW + timedelta(minutes=59))
    desk.create()  # by a machine whose clock is ahead
    desk.times.append(NOW)
    waits_for_others = take(desk.context.clock)
    first, meanwhile = take(ahead), take(ahead)
    desk.later(seconds=LEASE_S)

    assert waits_for_others == []
    assert (first, meanwhile) == ([CommandKind.ATTACH_CATEGORY], [])
    assert take(ahead) == [CommandKind.ATTACH_CATEGORY]


@ONLY_POSTGRESQL
def test_time_of_the_database_is_told(database: Database) -> None:
    """By the clock that all processes share, and in UTC as every instant."""
    with database.transaction() as session:
        said = Clock(of_database=database_time).shared_now(session)
        earlier, later = session.execute(sa.text("SELECT now(), clock_timestamp()")).one()

    assert earlier <= said <= later
    assert said.tzinfo is UTC


@ONLY_POSTGRESQL
def test_two_claimers_at_once_share_the_work(database: Database) -> None:
    """Two processes neither wait for each other nor take the same command."""
    desk = a_desk(database)
    for number in range(4):
        desk.create(reference=f"acme-2026-{number}", creation_hash=b"h" * 32)
    vault, clock = desk.context.vault, desk.context.clock

    with database.transaction() as one, database.transaction() as other:
        mine = claim(one, vault, clock, limit=3)
        theirs = claim(other, vault, clock, limit=3)

    assert (len(mine), len(theirs)) == (3, 1)
    assert len({c.payment_id for c in (*mine, *theirs)}) == 4
    assert claimed(desk) == []


def test_held_sales_unit_waits_and_others_go_on(database: Database) -> None:
    """Keys that Vipps refuses stop one sales unit, until one of its commands may try."""
    desk = a_desk(database, MSN, OTHER_MSN)
    desk.create()
    desk.write(lambda book: create_invoice(book, OTHER_MSN, an_invoice(), THE_MERCHANT))
    with database.transaction() as session:
        mine = sa.update(SalesUnit).where(sa.column("msn") == MSN)
        session.execute(mine.values(held_until=NOW + timedelta(seconds=60)))

    meanwhile = claimed(desk)
    desk.later(seconds=60)
    afterwards = {one.msn for one in claimed(desk)}

    assert [one.msn for one in meanwhile] == [OTHER_MSN]
    assert MSN in afterwards


def test_sales_unit_without_keys_waits(database: Database) -> None:
    """Without keys there is nothing to call with."""
    desk = a_desk(database)
    desk.create()
    with database.transaction() as session:
        session.execute(sa.update(SalesUnit).values(vipps_keys=None))

    assert claimed(desk) == []


def test_writes_to_one_payment_keep_to_vipps_limit(database: Database) -> None:
    """Five tries of a kind a minute per payment are all that Vipps takes."""
    desk = a_desk(database)
    desk.create()
    tries = 0
    for _ in range(WRITES_MAX + 1):
        for one in claimed(desk):
            tries += one.kind is CommandKind.CREATE_PAYMENT
            settled(desk, ran(desk, one, an_answer(500)))
        with database.transaction() as session:
            session.execute(sa.update(Command).values(next_attempt_at=desk.now()))
        desk.later(seconds=1)
    exhausted = tries
    desk.later(seconds=70)

    assert exhausted == WRITES_MAX
    assert CommandKind.CREATE_PAYMENT in kinds(claimed(desk))


def test_reads_of_one_payment_keep_to_vipps_limit_whoever_makes_them(database: Database) -> None:
    """However many processes look, and pages are open, Vipps is asked no more than it allows."""
    desk, _ = a_pushed_desk(database)
    payment = desk.payment()
    desk.change(lambda book, _, payment: book.plan_read(payment))
    read = CommandKind.READ_PAYMENT
    (waiting,) = desk.all(Command, Command.kind == read, Command.status == "waiting")
    by_others = {"command_id": waiting.id, "payment_id": payment.id, "kind": read}
    with database.transaction() as session:
        made = [{**by_others, "number": 100 + n, "started_at": NOW} for n in range(READS_MAX)]
        session.execute(sa.insert(CommandAttempt), made)

    exhausted = kinds(claimed(desk))
    desk.later(seconds=70)

    assert exhausted == []
    assert kinds(claimed(desk)) == [read]


@pytest.mark.parametrize("damage", ["erased person", "damaged body", "keys that are none"])
def test_unreadable_command_holds_up_no_other(database: Database, damage: str) -> None:
    """One row that can't be opened does not stop everybody's invoices."""
    desk = a_desk(database, MSN, OTHER_MSN)
    desk.create()
    bad = claimed_one(desk, "create_payment")
    settled(desk, ran(desk, bad, an_answer(500)))
    _damage(desk, damage, bad.id)
    desk.write(lambda book: create_invoice(book, OTHER_MSN, an_invoice(), THE_MERCHANT))
    desk.later(seconds=30)

    found = claimed(desk)

    assert {one.msn for one in found} == {OTHER_MSN}
    assert command(desk, bad.id).next_attempt_at == desk.now() + timedelta(seconds=LEASE_S)
    assert command(desk, bad.id).status == "waiting"


def _damage(desk: Desk, damage: str, key: str) -> None:
    with desk.context.database.transaction() as session:
        if damage == "erased person":
            session.execute(sa.update(Customer).values(wrapped_key=None, personal=None))
        elif damage == "damaged body":
            of_this = sa.update(Command).where(sa.column("id") == key)
            session.execute(of_this.values(body=b"damaged"))
        else:
            keys = b'{"clientId":"a b","clientSecret":"","subscriptionKey":""}'
            sealed = desk.context.vault.seal(keys, place=f"sales_unit:{MSN}:vipps_keys")
            mine = sa.update(SalesUnit).where(sa.column("msn") == MSN)
            session.execute(mine.values(vipps_keys=sealed))


def test_every_try_is_noted(database: Database) -> None:
    """Each call to Vipps leaves its status, code and trace behind."""
    desk = a_desk(database)
    desk.create()
    one = claimed_one(desk, "create_payment")

    settled(desk, ran(desk, one, an_answer(403, "5080")))

    attempts = desk.all(CommandAttempt, CommandAttempt.command_id == one.id)
    assert [(a.number, a.status, a.code, a.trace_id, a.latency_ms) for a in attempts] == [
        (1, 403, "5080", "trace-1", 12)
    ]


def test_claim_reads_only_what_is_open(database: Database) -> None:
    """Looking for work costs the same beside years of finished commands, and beside many open."""
    desk = a_desk(database)
    seen: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, sql: str, values: object, *_: object) -> None:
        seen.append((sql, values))

    sa.event.listen(database._writer, "before_cursor_execute", note)
    claimed(desk)
    sa.event.remove(database._writer, "before_cursor_execute", note)

    sql, values = next((sql, values) for sql, values in seen if "FROM command" in sql)
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.transaction() as session:
        if not database.is_sqlite:  # it would read a small table whole
            session.execute(sa.text("SET LOCAL enable_seqscan = off"))
        explained = session.connection().exec_driver_sql(
            f"{explain} {sql}",
            values,  # type: ignore[arg-type]
        )
        steps = [str(row[-1]) for row in explained]
    by_time = [step for step in steps if "ix_command_due" in step]
    # SQLite names the index of a constraint by its table.
    of_payment = (
        "payment_id=? AND number<?" if database.is_sqlite else "uq_command_payment_id_number"
    )
    before = [step for step in steps if of_payment in step]
    assert (len(by_time), len(before)) == (1, 1)
    assert not [step for step in steps if step.startswith("SCAN") or "Seq Scan" in step]
