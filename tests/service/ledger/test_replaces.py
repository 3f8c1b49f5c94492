"""A corrected invoice: the one it replaces ends first, then it is sent, once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.errors import Conflict, InvalidInput
from service.ledger.acts import cancel, push
from service.store.db import Database
from service.store.tables import Customer, Invoice
from tests.builders import (
    NOW,
    ONLY_SQLITE,
    REFERENCE,
    Desk,
    VippsPayment,
    a_desk,
    a_pushed_desk,
    an_authorized_desk,
)
from tests.service.ledger.checks import broken_rules
from tests.service.ledger.life import a_life

CORRECTED = "acme-2026-000123-b"


def _correct(desk: Desk, reference: str = CORRECTED, **changed: Any) -> Invoice:
    return desk.create(
        reference=reference,
        amount_minor=150_000,
        creation_hash=reference.encode(),
        **{"terms": {"replaces": REFERENCE}, **changed},
    )


def _creates(desk: Desk, reference: str = CORRECTED) -> int:
    invoice = desk.invoice(reference)
    return len([c for c in desk.commands("create_payment") if c.invoice_id == invoice.id])


def test_correction_of_what_was_never_sent_goes_at_once(database: Database) -> None:
    """The wrong invoice ends in the same breath in which the right one is sent."""
    desk = a_desk(database)
    desk.create(push=False)

    _correct(desk)

    assert desk.history(REFERENCE)[-1] == "terminate>terminated by api"
    assert _creates(desk) == 1


def test_correction_waits_for_the_end_of_the_other(database: Database) -> None:
    """The customer never has both requests: the first is taken back, then the second comes."""
    desk, vipps = a_pushed_desk(database)

    _correct(desk)
    meanwhile = (_creates(desk), len(desk.commands("cancel_payment")))
    desk.report(vipps.happens("TERMINATED"))

    assert meanwhile == (0, 1)
    assert desk.invoice(REFERENCE).state == "terminated"
    assert _creates(desk) == 1
    desk.report(vipps.happens("TERMINATED"), VippsPayment(CORRECTED).happens("CREATED"))
    assert _creates(desk) == 1


@pytest.mark.parametrize(("end", "state"), [("ABORTED", "aborted"), ("EXPIRED", "terminated")])
def test_correction_is_sent_however_the_other_ends(
    database: Database, end: str, state: str
) -> None:
    """A no to the wrong invoice is no answer to the right one."""
    desk, vipps = a_pushed_desk(database)
    _correct(desk)

    desk.report(vipps.happens(end))

    assert desk.invoice(REFERENCE).state == state
    assert _creates(desk) == 1


def test_customer_faster_on_the_replaced_one_is_released_first(database: Database) -> None:
    """If the wrong amount was approved meanwhile, it is let go before the right one is asked."""
    desk, vipps = a_pushed_desk(database, capture="automatic")
    _correct(desk)

    desk.report(vipps.happens("AUTHORIZED"))
    desk.read(vipps)
    while_reserved = _creates(desk)
    desk.report(vipps.happens("CANCELLED"))

    assert while_reserved == 0
    assert desk.commands("capture") == []
    assert desk.invoice(REFERENCE).state == "cancelled"
    assert _creates(desk) == 1


@pytest.mark.parametrize("name", ["AUTHORIZED", "CAPTURED"])
def test_replaced_one_that_is_paid_is_refused(database: Database, name: str) -> None:
    """What is paid is not corrected behind the customer's back."""
    desk, vipps = an_authorized_desk(database)
    if name == "CAPTURED":
        desk.report(vipps.happens("CAPTURED"))

    with pytest.raises(Conflict) as refused:
        _correct(desk)

    assert refused.value.code == "replaced_is_paid"
    assert desk.all(Invoice, Invoice.reference == CORRECTED) == []


@pytest.mark.parametrize("has_ended", [False, True])
def test_second_correction_of_the_same_is_refused(database: Database, has_ended: bool) -> None:
    """One invoice has one correction; the correction itself may be corrected."""
    desk, vipps = a_pushed_desk(database)
    _correct(desk)
    if has_ended:
        desk.report(vipps.happens("TERMINATED"))

    with pytest.raises(Conflict) as refused:
        _correct(desk, f"{CORRECTED}-c")
    _correct(desk, f"{CORRECTED}-d", terms={"replaces": CORRECTED})

    assert refused.value.code == "replaced_already"
    assert desk.invoice(CORRECTED).state == "terminated"


def test_correction_of_an_ended_invoice_closes_it_for_good(database: Database) -> None:
    """The old one can't be sent again beside the new one."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("ABORTED"))

    _correct(desk)

    assert _creates(desk) == 1
    with pytest.raises(Conflict) as refused:
        desk.act(push, REFERENCE)
    assert refused.value.code == "replaced_already"


def test_correction_can_not_be_pushed_while_the_other_is_open(database: Database) -> None:
    """Also by hand there are never two requests."""
    desk, vipps = a_pushed_desk(database)
    _correct(desk)

    with pytest.raises(Conflict) as refused:
        desk.act(push, CORRECTED)
    desk.report(vipps.happens("TERMINATED"))
    desk.settle_commands()
    desk.report(VippsPayment(CORRECTED, amount_minor=150_000).happens("CREATED"))
    desk.act(push, CORRECTED)

    assert refused.value.code == "replaced_is_open"


def test_correction_that_was_cancelled_meanwhile_is_not_sent(database: Database) -> None:
    """What I withdrew before it was sent stays withdrawn."""
    desk, vipps = a_pushed_desk(database)
    _correct(desk)
    desk.act(cancel, CORRECTED)

    desk.report(vipps.happens("TERMINATED"))

    assert desk.invoice(CORRECTED).state == "terminated"
    assert _creates(desk) == 0


@pytest.mark.parametrize("changed", [{"push": False}, {"flow": "WEB_REDIRECT"}])
def test_correction_that_is_not_to_be_pushed_is_not(
    database: Database, changed: dict[str, Any]
) -> None:
    """By link nothing is made at Vipps before the customer clicks."""
    desk, vipps = a_pushed_desk(database)
    _correct(desk, **changed)

    desk.report(vipps.happens("TERMINATED"))

    assert desk.invoice(REFERENCE).state == "terminated"
    assert _creates(desk) == 0


@ONLY_SQLITE
def test_correction_without_consent_withdraws_nothing(database: Database) -> None:
    """If the right one can't be sent I am told at once, and the wrong one stays as it is."""
    desk, _ = a_pushed_desk(database)
    with database.transaction() as session:
        session.execute(sa.update(Customer).values(consent={"withdrawnAt": "2026-11-22"}))

    with pytest.raises(Conflict) as refused:
        _correct(desk)

    assert refused.value.code == "consent_withdrawn"
    assert desk.commands("cancel_payment") == []


@ONLY_SQLITE
@pytest.mark.parametrize("replaced", ["acme-unknown-1", CORRECTED])
def test_correction_names_another_invoice_of_mine(database: Database, replaced: str) -> None:
    """It must exist, and nothing replaces itself."""
    desk = a_desk(database)

    with pytest.raises(InvalidInput):
        _correct(desk, terms={"replaces": replaced})


def test_replaced_one_that_ends_by_the_clock_sends_the_correction(database: Database) -> None:
    """Vipps may never answer the withdrawal: the request's own end frees the correction."""
    life = a_life(database, payable_until=NOW + timedelta(hours=6))
    _correct(life.desk)
    life.desk.settle_commands("failed")

    life.after(hours=7)

    assert life.desk.invoice(REFERENCE).state == "expired"
    assert _creates(life.desk) == 1


def test_two_corrections_at_once_leave_one(database: Database) -> None:
    """Two colleagues correct the same invoice in the same second: one gets a no."""
    desk, vipps = a_pushed_desk(database)
    names = [f"{CORRECTED}-{n}" for n in range(4)]

    with ThreadPoolExecutor(4) as pool:
        refused = list(pool.map(lambda name: _is_refused(desk, name), names))
    desk.report(vipps.happens("TERMINATED"))

    assert sorted(refused) == [False, True, True, True]
    assert len(desk.commands("create_payment")) == 2
    assert len(desk.commands("cancel_payment")) == 1
    assert broken_rules(database) == []


def _is_refused(desk: Desk, name: str) -> bool:
    try:
        _correct(desk, name)
    except Conflict as refused:
        assert refused.code == "replaced_already"
        return True
    return False
