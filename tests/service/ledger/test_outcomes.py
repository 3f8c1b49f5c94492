"""Every outcome that a stored Vipps event can have (contract, section 4)."""

import hashlib
from datetime import timedelta
from typing import Any

import orjson
import pytest

from service.ledger.record import record
from service.store.db import Database
from service.store.tables import Command, Event, Payment, StoredVippsEvent, Transition
from statemachine import Outcome
from tests.builders import (
    AMOUNT,
    MSN,
    NOW,
    OTHER_MSN,
    REFERENCE,
    Desk,
    VippsPayment,
    a_desk,
    a_pushed_desk,
    a_vipps_event,
    an_authorized_desk,
    nok,
    received,
)


def _reads_due(desk: Desk) -> list[float]:
    """Return in how many seconds each read that waits is due."""
    reads = desk.all(Command, Command.kind == "read_payment", Command.status == "waiting")
    return [(read.next_attempt_at - desk.now()).total_seconds() for read in reads]


def test_applied_event_moves_the_invoice_and_is_kept_as_it_came(database: Database) -> None:
    """What moved my invoice is kept, byte for byte, and readable by the service alone."""
    desk = a_desk(database)
    desk.create()
    body = VippsPayment().happens("CREATED")

    outcomes = desk.report(body)

    stored: StoredVippsEvent = desk.all(StoredVippsEvent)[0]
    assert outcomes == [Outcome.APPLIED]
    assert desk.history() == ["create>created by api", "push>pushed by webhook"]
    assert desk.context.vault.open(stored.raw, place=f"vipps_event:{stored.id}:raw") == body
    assert stored.raw_hash == hashlib.sha256(body).digest()
    assert body not in bytes(stored.raw)
    assert (stored.applied_at, stored.source) == (NOW, "webhook")
    assert (stored.payment_id, stored.invoice_id) == (desk.payment().id, desk.invoice().id)


def test_applied_webhook_has_a_read_planned_that_confirms_it(database: Database) -> None:
    """A webhook is believed at once, and confirmed within seconds."""
    desk, vipps = a_pushed_desk(database)
    before = desk.all(Transition)[-1].confirmed_at
    planned = _reads_due(desk)

    desk.later(seconds=2)
    desk.read(vipps)

    assert (before, planned) == (None, [1.0])
    assert desk.all(Transition)[-1].confirmed_at == NOW + timedelta(seconds=2)


def test_read_event_is_confirmed_at_once(database: Database) -> None:
    """What a read brings needs no second read."""
    desk = a_desk(database)
    desk.create()
    vipps = VippsPayment()
    vipps.happens("CREATED", "AUTHORIZED")

    desk.read(vipps)

    assert desk.history()[1:] == ["push>pushed by poll", "authorize>authorized by poll"]
    assert all(row.confirmed_at == NOW for row in desk.all(Transition)[1:])


def test_early_event_waits_and_becomes_applied_with_both_times(database: Database) -> None:
    """CAPTURED that overtakes AUTHORIZED counts as soon as it can."""
    desk, vipps = a_pushed_desk(database)
    authorized = vipps.happens("AUTHORIZED")
    captured = vipps.happens("CAPTURED")
    first = desk.report(captured)
    planned = _reads_due(desk)
    desk.later(seconds=30)

    second = desk.report(authorized)

    row = desk.all(StoredVippsEvent, StoredVippsEvent.name == "CAPTURED")[0]
    assert (first, second) == ([Outcome.EARLY], [Outcome.APPLIED])
    assert planned == [0.0]
    assert (row.outcome, row.received_at) == ("applied", NOW)
    assert row.applied_at == NOW + timedelta(seconds=30)
    assert desk.invoice().state == "captured"
    assert desk.payment().captured_minor == AMOUNT


def test_early_event_in_one_batch_with_what_it_waits_for_is_applied(database: Database) -> None:
    """Events of one moment in the wrong order end as in the right one."""
    desk, vipps = a_pushed_desk(database)
    vipps.happens("AUTHORIZED", "CAPTURED")
    vipps.happens("REFUNDED", amount_minor=500)
    _, authorized, captured, refunded = vipps.webhooks()

    outcomes = desk.report_at_once(refunded, captured, authorized)

    assert outcomes == [Outcome.EARLY, Outcome.EARLY, Outcome.APPLIED]
    assert {row.outcome for row in desk.all(StoredVippsEvent)} == {"applied"}
    assert desk.history()[2:] == [
        "authorize>authorized by webhook",
        "capture>captured by webhook",
        "refund>captured by webhook",
    ]


def test_duplicate_a_thousand_times_changes_nothing_more(database: Database) -> None:
    """However often Vipps repeats itself, my invoice moves once."""
    desk, vipps = a_pushed_desk(database)
    body = vipps.happens("AUTHORIZED")
    desk.report(body)
    version, told = desk.invoice().version, len(desk.told())

    outcomes = [o for _ in range(10) for o in desk.report_at_once(*[body] * 100)]

    assert outcomes == [Outcome.DUPLICATE] * 1000
    assert len(desk.all(StoredVippsEvent)) == 1002
    assert (desk.invoice().version, len(desk.told())) == (version, told)


def test_duplicate_in_one_batch_moves_once(database: Database) -> None:
    """Copies that arrive in the same instant are still copies."""
    desk, vipps = a_pushed_desk(database)

    outcomes = desk.report_at_once(*[vipps.happens("AUTHORIZED")] * 5)

    assert outcomes == [Outcome.APPLIED] + [Outcome.DUPLICATE] * 4
    assert desk.history()[2:] == ["authorize>authorized by webhook"]


@pytest.mark.parametrize("first", [Outcome.EARLY, Outcome.UNSUCCESSFUL, Outcome.REFUSED])
def test_duplicate_of_what_was_not_applied_is_one_too(database: Database, first: Outcome) -> None:
    """A copy of something already judged is not judged, nor flagged, again."""
    desk, _ = a_pushed_desk(database)
    said: dict[Outcome, dict[str, Any]] = {
        Outcome.EARLY: a_vipps_event("CAPTURED"),
        Outcome.UNSUCCESSFUL: a_vipps_event("AUTHORIZED", success=False),
        Outcome.REFUSED: a_vipps_event("AUTHORIZED", amount=nok(1)),
    }

    outcomes = desk.report(said[first], said[first], said[first])

    assert outcomes == [first, Outcome.DUPLICATE, Outcome.DUPLICATE]
    assert desk.told_types().count("invoice.needs_attention") == (first is Outcome.REFUSED)


def test_stale_event_is_kept_and_changes_nothing(database: Database) -> None:
    """CREATED after AUTHORIZED tells nothing new."""
    desk = a_desk(database)
    desk.create()
    vipps = VippsPayment()
    created, authorized = vipps.happens("CREATED"), vipps.happens("AUTHORIZED")

    outcomes = desk.report(authorized, created)

    assert outcomes == [Outcome.APPLIED, Outcome.STALE]
    assert desk.history() == ["create>created by api", "authorize>authorized by webhook"]


def test_unsuccessful_event_is_kept_and_its_success_later_counts(database: Database) -> None:
    """A capture that failed took no money; the same one succeeding later does."""
    desk, _ = an_authorized_desk(database)
    failed = a_vipps_event("CAPTURED", success=False)

    outcomes = desk.report(failed, {**failed, "success": True})

    assert outcomes == [Outcome.UNSUCCESSFUL, Outcome.APPLIED]
    assert desk.invoice().captured_minor == AMOUNT


_REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("currency_differs", a_vipps_event("CAPTURED", amount={"currency": "DKK", "value": 1})),
    ("amount_exceeds_authorized", a_vipps_event("CAPTURED", amount=nok(AMOUNT + 1))),
    ("amount_exceeds_authorized", a_vipps_event("CANCELLED", amount=nok(AMOUNT + 1))),
    ("amount_exceeds_authorized", a_vipps_event("REFUNDED", amount=nok(AMOUNT + 1))),
    ("amount_differs", a_vipps_event("AUTHORIZED", amount=nok(AMOUNT - 1))),
    ("already_authorized", a_vipps_event("TERMINATED")),
    ("already_authorized", a_vipps_event("ABORTED")),
    ("msn_differs", a_vipps_event("CAPTURED", msn=OTHER_MSN)),
]


@pytest.mark.parametrize(("reason", "event"), _REFUSED)
def test_refused_event_is_kept_flagged_and_read_about(
    database: Database, reason: str, event: dict[str, Any]
) -> None:
    """A contradiction moves no money: I am told, and Vipps's own log is read."""
    desk, _ = an_authorized_desk(database, capture="automatic")
    desk.settle_commands()
    before = desk.invoice()

    outcomes = desk.report(event)

    told = desk.told()[-1]
    assert outcomes == [Outcome.REFUSED]
    assert (Outcome.REFUSED, reason) in desk.outcomes()
    assert (told["type"], told["data"]["reason"]) == ("invoice.needs_attention", reason)
    assert told["sequence"] == before.sequence == desk.invoice().sequence
    assert desk.invoice().captured_minor == 0
    assert _reads_due(desk) == [0.0]


def test_refused_event_stops_automatic_capture(database: Database) -> None:
    """After a contradiction nothing is captured by itself."""
    desk, vipps = a_pushed_desk(database, capture="automatic")
    desk.report(a_vipps_event("AUTHORIZED", amount=nok(1)), vipps.happens("AUTHORIZED"))

    desk.read(vipps)

    assert desk.invoice().state == "authorized"
    assert desk.commands("capture") == []


def test_key_applied_with_another_amount_is_refused(database: Database) -> None:
    """One Vipps event takes money once, also where Vipps contradicts itself."""
    desk, _ = an_authorized_desk(database)
    event = a_vipps_event("CAPTURED", amount=nok(100))

    outcomes = desk.report(event, {**event, "amount": nok(200)})

    assert outcomes == [Outcome.APPLIED, Outcome.REFUSED]
    assert desk.invoice().captured_minor == 100


def test_event_of_another_sales_unit_does_not_hide_our_own(database: Database) -> None:
    """What somebody else's event says is flagged once, and can't take my event's place."""
    desk, vipps = a_pushed_desk(database)
    ours = orjson.loads(vipps.happens("AUTHORIZED"))
    foreign = {**ours, "msn": OTHER_MSN}

    outcomes = desk.report(foreign, foreign, ours)

    assert outcomes == [Outcome.REFUSED, Outcome.DUPLICATE, Outcome.APPLIED]
    assert desk.told_types().count("invoice.needs_attention") == 1
    assert desk.invoice().state == "authorized"


def test_event_of_another_sales_unit_does_not_hide_the_log(database: Database) -> None:
    """A read brings what a mislabelled webhook could not."""
    desk, vipps = a_pushed_desk(database)
    desk.report({**orjson.loads(vipps.happens("AUTHORIZED")), "msn": OTHER_MSN})

    desk.read(vipps)

    assert desk.history()[-1] == "authorize>authorized by poll"


def test_unmatched_event_is_kept_and_touches_nobody(database: Database) -> None:
    """Another shop on my sales unit gets its payments without disturbing mine."""
    desk = a_desk(database, MSN, OTHER_MSN)
    desk.create()

    outcomes = desk.report(a_vipps_event(reference="another-shop-1"))

    assert outcomes == [Outcome.UNMATCHED]
    assert desk.outcomes() == [("unmatched", "unknown_reference")]
    assert desk.payment().state == "requested"


@pytest.mark.parametrize(
    ("body", "outcome", "reason"),
    [
        (b"{", Outcome.MALFORMED, "body"),
        (orjson.dumps(a_vipps_event(amount=nok(-1))), Outcome.MALFORMED, "amount.value"),
        (orjson.dumps({"eventType": "recurring.charge-captured.v1"}), Outcome.IGNORED, "another"),
        (orjson.dumps(a_vipps_event("CELEBRATED")), Outcome.IGNORED, "unknown_name"),
    ],
)
def test_unusable_event_is_kept_and_answered(
    database: Database, body: bytes, outcome: Outcome, reason: str
) -> None:
    """What is proven to be Vipps's is kept, whatever it says."""
    desk = a_desk(database)
    desk.create()

    outcomes = desk.report(body)

    row = desk.all(StoredVippsEvent)[0]
    assert outcomes == [outcome]
    assert row.reason is not None and row.reason.startswith(reason)
    assert desk.history() == ["create>created by api"]


def test_reference_of_another_sales_unit_is_not_ours(database: Database) -> None:
    """The same reference under another sales unit is another payment."""
    desk = a_desk(database, MSN, OTHER_MSN)
    desk.create()
    event = a_vipps_event("AUTHORIZED", msn=OTHER_MSN)

    outcomes = desk.write(lambda book: record(book, [received(event, msn=OTHER_MSN)]))

    assert outcomes == [Outcome.UNMATCHED]
    assert desk.payment().state == "requested"


def test_payment_alone_changes_without_a_transition(database: Database) -> None:
    """An older request that lapses is told, and leaves the invoice where it is."""
    desk, _ = an_authorized_desk(database)
    with database.transaction() as session:
        session.add(
            Payment(
                id="pay_older",
                msn=MSN,
                invoice_id=desk.invoice().id,
                attempt=0,
                reference=f"{REFERENCE}-0",
                user_flow="PUSH_MESSAGE",
                state="created",
                ends_at=NOW,
                created_at=NOW,
                updated_at=NOW,
            )
        )
    sequence = desk.invoice().sequence

    outcomes = desk.report(a_vipps_event("EXPIRED", reference=f"{REFERENCE}-0"))

    told, event = desk.told()[-1], desk.all(Event)[-1]
    assert outcomes == [Outcome.APPLIED]
    assert (told["type"], told["sequence"]) == ("invoice.payment_ended", sequence)
    assert told["data"]["reason"] == "earlier_payment"
    assert "transition" not in told["data"] and not event.is_transition
    assert desk.payment(f"{REFERENCE}-0").state == "expired"
    assert desk.invoice().sequence == sequence
