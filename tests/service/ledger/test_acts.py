"""What a merchant may ask of an invoice, and what remains to be asked for."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.errors import Conflict, InvalidInput, NotFound
from service.ledger.acts import cancel, capture, push, refund, soft_dismiss
from service.ledger.book import Book
from service.ledger.types import Ask
from service.store.db import Database
from service.store.tables import Act, Command, Customer, InvoiceRecord, Transition
from tests.builders import (
    AMOUNT,
    MSN,
    NOW,
    REFERENCE,
    Desk,
    VippsPayment,
    a_desk,
    a_pushed_desk,
    an_authorized_desk,
)
from tests.service.commands.running import claimed_one

Acting = Callable[[Book, InvoiceRecord, Ask], None]


def _refusal(desk: Desk, act: Acting, **ask: Any) -> str:
    with pytest.raises(Conflict) as refused:
        desk.act(act, **ask)
    return refused.value.code


def _push(desk: Desk, **how: Any) -> None:
    def work(book: Book) -> None:
        push(book, book.invoice_by_reference(MSN, REFERENCE), Ask(actor="key_test"), **how)

    desk.write(work)


@pytest.mark.parametrize(
    ("states", "refused"),
    [
        ((), (capture, refund, soft_dismiss)),
        (("CREATED",), (capture, refund)),
        (("CREATED", "AUTHORIZED"), (push, soft_dismiss, refund)),
        (("CREATED", "AUTHORIZED", "CAPTURED"), (push, soft_dismiss, capture, cancel)),
        (("CREATED", "ABORTED"), (soft_dismiss, capture, cancel, refund)),
        (("CREATED", "TERMINATED"), (push, soft_dismiss, capture, cancel, refund)),
    ],
)
def test_act_that_the_state_does_not_allow_changes_nothing(
    database: Database, states: tuple[str, ...], refused: tuple[Acting, ...]
) -> None:
    """I am told what is possible instead, and nothing has happened."""
    desk = a_desk(database)
    desk.create()
    vipps = VippsPayment()
    for name in states:
        desk.report(vipps.happens(name))
    before = (desk.invoice().version, len(desk.all(Command)), len(desk.all(Act)))

    codes = {_refusal(desk, act) for act in refused}

    assert codes == {"action_refused"}
    assert (desk.invoice().version, len(desk.all(Command)), len(desk.all(Act))) == before


def test_act_on_an_unknown_invoice_is_not_found(database: Database) -> None:
    """What does not exist, or is another sales unit's, is not found."""
    desk = a_desk(database)

    with pytest.raises(NotFound):
        desk.act(capture, "nobody-2026-1")


def test_capture_counts_what_is_under_way(database: Database) -> None:
    """Two captures can't take more together than is reserved."""
    desk, vipps = an_authorized_desk(database)
    desk.act(capture, amount_minor=150_000)

    too_much = _refusal(desk, capture, amount_minor=50_001)
    desk.act(capture)
    nothing_left = _refusal(desk, capture)

    assert (too_much, nothing_left) == ("amount_too_high", "amount_too_high")
    assert [c.amount_minor for c in desk.commands("capture")] == [150_000, 50_000]
    assert desk.invoice().captured_minor == 0
    assert vipps.sums()[1] == 0


def test_capture_told_before_its_answer_is_counted_once(database: Database) -> None:
    """When I hear of one capture, all that remains can be asked for, to the last øre."""
    desk, vipps = an_authorized_desk(database)
    desk.act(capture, amount_minor=500)
    one = claimed_one(desk, "capture")

    desk.report(vipps.happens("CAPTURED", amount_minor=500, idempotencyKey=one.idempotency_key))
    desk.act(capture)

    assert [c.amount_minor for c in desk.commands("capture")] == [500, AMOUNT - 500]


def test_capture_by_somebody_else_leaves_ours_counted(database: Database) -> None:
    """What was captured elsewhere is not mistaken for what we asked for."""
    desk, vipps = an_authorized_desk(database)
    desk.act(capture, amount_minor=500)
    claimed_one(desk, "capture")

    desk.report(vipps.happens("CAPTURED", amount_minor=700, idempotencyKey="by-hand"))

    assert _refusal(desk, capture, amount_minor=AMOUNT - 1_199) == "amount_too_high"


def test_capture_that_failed_can_be_asked_for_again(database: Database) -> None:
    """What Vipps refused is not counted."""
    desk, _ = an_authorized_desk(database)
    desk.act(capture)
    desk.settle_commands("failed")

    desk.act(capture)

    assert [c.amount_minor for c in desk.commands("capture")] == [AMOUNT, AMOUNT]


def test_refund_counts_what_is_under_way(database: Database) -> None:
    """Two refunds can't give back more together than was taken."""
    desk, vipps = an_authorized_desk(database)
    desk.report(vipps.happens("CAPTURED", amount_minor=1_000))
    desk.act(refund, amount_minor=400)

    too_much = _refusal(desk, refund, amount_minor=601)
    desk.act(refund)

    assert too_much == "amount_too_high"
    assert [c.amount_minor for c in desk.commands("refund")] == [400, 600]


def test_cancel_takes_all_that_remains_or_nothing(database: Database) -> None:
    """Vipps releases the whole rest, so another amount is a mistake."""
    desk, vipps = an_authorized_desk(database)
    desk.report(vipps.happens("CAPTURED", amount_minor=500))

    with pytest.raises(InvalidInput) as wrong:
        desk.act(cancel, amount_minor=AMOUNT)
    desk.act(cancel, amount_minor=AMOUNT - 500)

    assert [error.field for error in wrong.value.errors] == ["amount"]
    assert len(desk.commands("cancel_payment")) == 1


def test_cancel_before_authorization_with_a_part_is_wrong(database: Database) -> None:
    """An invoice is withdrawn as a whole."""
    desk, _ = a_pushed_desk(database)

    with pytest.raises(InvalidInput):
        desk.act(cancel, amount_minor=1)

    assert desk.invoice().closing is None


@pytest.mark.parametrize("act", [capture, refund])
def test_amount_in_another_currency_is_wrong(database: Database, act: Acting) -> None:
    """A hundred euro are not a hundred kroner."""
    desk, vipps = an_authorized_desk(database)
    desk.report(vipps.happens("CAPTURED", amount_minor=500))

    with pytest.raises(InvalidInput) as wrong:
        desk.act(act, amount_minor=100, currency="EUR")

    assert [error.field for error in wrong.value.errors] == ["amount.currency"]


def test_soft_dismiss_is_stored_with_who_and_why(database: Database) -> None:
    """A postponement that I note is in the history as mine."""
    desk, _ = a_pushed_desk(database)

    desk.act(soft_dismiss, reason="customer called", source="operator")

    last = desk.all(Transition)[-1]
    assert desk.history()[-1] == "soft_dismiss>soft_dismissed by operator"
    assert (last.actor, last.reason) == ("key_test", "customer called")
    assert last.evidence_id == desk.all(Act, Act.name == "soft-dismiss")[0].id


@pytest.mark.parametrize("end", ["ABORTED", "EXPIRED"])
def test_push_of_an_ended_invoice_reopens_it(database: Database, end: str) -> None:
    """A customer who changed their mind can be asked again."""
    due = NOW + timedelta(hours=1)
    desk, vipps = a_pushed_desk(database, payable_until=due)
    desk.report(vipps.happens(end))
    desk.later(hours=2)

    desk.act(push)

    new = desk.payment(f"{REFERENCE}-2")
    assert desk.history()[-1] == "reopen>created by api"
    assert desk.invoice().payable_until == desk.now() + timedelta(days=1)
    assert new.expires_at == desk.now() + timedelta(days=1, seconds=-60)


def test_push_within_the_time_keeps_payable_until(database: Database) -> None:
    """Asking again is no extension."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("ABORTED"))
    until = desk.invoice().payable_until

    desk.act(push)

    assert desk.invoice().payable_until == until


def test_push_with_a_new_payable_until_takes_it(database: Database) -> None:
    """I can give the customer more time."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("EXPIRED"))

    _push(desk, payable_until=NOW + timedelta(days=90))

    assert desk.invoice().payable_until == NOW + timedelta(days=90)


@pytest.mark.parametrize("until", [NOW, NOW + timedelta(days=1)])
def test_push_with_an_impossible_payable_until_is_wrong(database: Database, until: Any) -> None:
    """It must lie ahead, and not before the due date."""
    desk, _ = a_pushed_desk(database, due_date=date(2026, 12, 1))

    with pytest.raises(InvalidInput) as wrong:
        _push(desk, payable_until=until)

    assert [error.field for error in wrong.value.errors] == ["payableUntil"]
    assert desk.commands("cancel_payment") == []


def test_push_of_a_payable_invoice_past_its_time_is_refused(database: Database) -> None:
    """No request is made past payableUntil; a new one must be named."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("EXPIRED"))
    desk.later(days=15)

    assert _refusal(desk, push) == "payable_until_passed"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"consent": {"grantedAt": "2026", "withdrawnAt": "2026"}}, "consent_withdrawn"),
        ({"consent": None}, "consent_missing"),
        ({"erased_at": NOW, "wrapped_key": None, "personal": None}, "customer_erased"),
    ],
)
def test_push_without_consent_is_refused_and_a_link_is_not(
    database: Database, changed: dict[str, Any], code: str
) -> None:
    """Who withdrew consent is not asked in the app, and can still pay by link."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("ABORTED"))
    with database.transaction() as session:
        session.execute(sa.update(Customer).values(**changed))

    refused = _refusal(desk, push)
    _push(desk, user_flow="WEB_REDIRECT")

    assert refused == code
    assert desk.payment(f"{REFERENCE}-2").user_flow == "WEB_REDIRECT"


def test_push_of_an_invoice_without_a_customer_is_refused(database: Database) -> None:
    """There must be somebody to ask."""
    desk = a_desk(database)
    desk.create(phone_number=None, flow="WEB_REDIRECT")

    with pytest.raises(Conflict) as refused:
        _push(desk, user_flow="PUSH_MESSAGE")

    assert refused.value.code == "customer_missing"
