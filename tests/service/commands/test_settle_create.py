"""What Vipps's answer to a request for payment means for the invoice."""

from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from service.commands.run import Ran, Reading
from service.ledger.acts import cancel, push
from service.store.db import Database
from service.store.tables import Customer, Payment, SalesUnit, Transition
from service.vipps import CommandVerdict, Then
from tests.builders import (
    AMOUNT,
    REFERENCE,
    THE_MERCHANT,
    Desk,
    VippsPayment,
    a_desk,
)
from tests.service.commands.running import (
    accepted,
    an_answer,
    claimed,
    claimed_one,
    command,
    ran,
    settled,
    waits_s,
)

_CREATE = "create_payment"


_ANEW = CommandVerdict(Then.ASK_ANEW, 60.0, None)


def _a_create(database: Database, **invoice: Any) -> tuple[Desk, Any]:
    desk = a_desk(database)
    desk.create(**invoice)
    return desk, claimed_one(desk, _CREATE)


def _bodies(desk: Desk) -> list[dict[str, Any]]:
    """Return the body of every request for payment, opened."""
    customer = desk.all(Customer)[0]
    box = desk.context.vault.customer_box(customer.id, customer.wrapped_key)
    return [
        orjson.loads(box.open(c.body or b"", place=f"command:{c.id}:body"))
        for c in desk.commands(_CREATE)
    ]


def _problem(desk: Desk) -> dict[str, Any]:
    problem = desk.invoice().problem
    assert problem is not None
    return problem


def test_yes_pushes_the_invoice_and_looks_soon(database: Database) -> None:
    """When Vipps has made the request, the customer has been asked."""
    desk, one = _a_create(database)

    settled(desk, ran(desk, one, accepted(one, 201), redirect_url="https://pay.vipps.no/?token=x"))

    (read,) = desk.commands("read_payment")
    last = desk.all(Transition)[-1]
    assert desk.history()[-1] == "push>pushed by response"
    assert (last.evidence_id, last.payment_reference) == (one.id, REFERENCE)
    assert command(desk, one.id).status == "done"
    assert (desk.payment().state, desk.payment().has_pushed) == ("created", True)
    assert b"token" not in (desk.payment().redirect_url or b"")
    assert waits_s(desk, read.id) == 5.0


def test_yes_after_the_webhook_pushes_no_second_time(database: Database) -> None:
    """Whichever says it first, the invoice is pushed once."""
    desk, one = _a_create(database)
    vipps = VippsPayment()
    desk.report(vipps.happens("CREATED"), vipps.happens("AUTHORIZED"))

    settled(desk, ran(desk, one, accepted(one, 201)))

    assert desk.history()[1:] == [
        "push>pushed by webhook",
        "authorize>authorized by webhook",
    ]
    assert (desk.payment().state, command(desk, one.id).status) == ("authorized", "done")


def test_yes_after_an_approval_only_completes_the_command(database: Database) -> None:
    """An answer that comes after the approval moves nothing back."""
    desk, one = _a_create(database)
    desk.report(VippsPayment().happens("AUTHORIZED"))

    settled(desk, ran(desk, one, accepted(one, 201)))

    assert desk.history()[1:] == ["authorize>authorized by webhook"]
    assert desk.payment().state == "authorized"


def test_yes_lets_an_early_lapse_count(database: Database) -> None:
    """A request that lapsed before we heard that it was made ends as postponed."""
    desk, one = _a_create(database)
    vipps = VippsPayment()
    vipps.happens("CREATED")
    desk.report(vipps.happens("EXPIRED"))

    settled(desk, ran(desk, one, accepted(one, 201)))

    assert desk.history()[1:] == [
        "push>pushed by response",
        "soft_dismiss>soft_dismissed by webhook",
    ]


@pytest.mark.parametrize("status", [None, 500, 503, 429, 423])
def test_unclear_answer_asks_again_with_the_same_key_and_shows_it(
    database: Database, status: int | None
) -> None:
    """While Vipps is away, the invoice waits and says why; nothing is asked twice."""
    desk, one = _a_create(database)

    settled(desk, ran(desk, one, an_answer(status)))
    waited_s = waits_s(desk, one.id)
    problem = _problem(desk)
    desk.later(hours=2)
    (again,) = [c for c in claimed(desk) if c.kind == _CREATE]

    assert 3 < waited_s < 61
    assert (problem["command"], problem["status"]) == (_CREATE, status)
    assert desk.invoice().state == "created"
    assert (again.id, again.body) == (one.id, one.body)
    settled(desk, ran(desk, again, accepted(again, 201)))
    assert (desk.invoice().problem, desk.invoice().state) == (None, "pushed")


def test_silence_is_no_problem_any_more_once_the_customer_has_said_no(database: Database) -> None:
    """What could not be asked was asked: nothing says that it is tried again."""
    desk, one = _a_create(database)
    vipps = VippsPayment()
    vipps.happens("CREATED")

    settled(desk, ran(desk, one, an_answer(None)))
    shown = _problem(desk)
    desk.report(vipps.happens("ABORTED"))

    assert "tried again" in shown["detail"]
    assert (desk.invoice().state, desk.invoice().problem) == ("aborted", None)


@pytest.mark.parametrize(("status", "code"), [(409, None), (409, "4020"), (409, "4150")])
def test_conflict_about_our_own_payment_adopts_it(
    database: Database, status: int, code: str | None
) -> None:
    """A request that got through although we never heard so is taken as ours."""
    desk, one = _a_create(database)
    vipps = VippsPayment()
    vipps.happens("CREATED")

    settled(desk, ran(desk, one, an_answer(status, code), vipps))

    assert desk.history()[1:] == ["push>pushed by poll"]
    assert desk.payment().state == "created"
    assert command(desk, one.id).status == "done"
    assert len(desk.all(Payment)) == 1


@pytest.mark.parametrize("differs", ["owner", "amount"])
def test_conflict_about_a_strangers_payment_takes_the_next_name(
    database: Database, differs: str
) -> None:
    """A reference that somebody else used at Vipps is left to them."""
    desk, one = _a_create(database)
    stranger = VippsPayment(amount_minor=AMOUNT + 1 if differs == "amount" else AMOUNT)
    stranger.happens("CREATED", "AUTHORIZED")
    owner = "inv_other" if differs == "owner" else one.invoice_id

    settled(desk, ran(desk, one, an_answer(409, "4150"), stranger, owner=owner))

    assert (desk.payment().state, command(desk, one.id).status) == ("refused", "failed")
    assert desk.payment(f"{REFERENCE}-2").state == "requested"
    assert desk.invoice().state == "created"
    assert [body["reference"] for body in _bodies(desk)] == [REFERENCE, f"{REFERENCE}-2"]


def test_conflict_whose_read_failed_waits(database: Database) -> None:
    """As long as nobody can tell whose payment it is, no second one is asked for (I9)."""
    desk, one = _a_create(database)
    settled(desk, ran(desk, one, an_answer(None)))
    desk.later(minutes=5)
    (again,) = [c for c in claimed(desk) if c.kind == _CREATE]

    settled(desk, ran(desk, again, an_answer(409, "4150")))

    assert len(desk.all(Payment)) == 1
    assert command(desk, one.id).status == "waiting"


def test_conflict_about_an_unknown_payment_waits_a_minute(database: Database) -> None:
    """A payment may show a moment late; after a minute the name is used elsewhere."""
    desk, one = _a_create(database)

    settled(desk, ran(desk, one, an_answer(409, "4150"), is_absent=True))
    too_early = len(desk.all(Payment))
    desk.later(minutes=2)
    (again,) = [c for c in claimed(desk) if c.kind == _CREATE]
    settled(desk, ran(desk, again, an_answer(409, "4150"), is_absent=True))

    assert too_early == 1
    assert desk.payment(f"{REFERENCE}-2").state == "requested"


def test_next_name_without_consent_is_shown(database: Database) -> None:
    """Who has withdrawn meanwhile is not asked under another name."""
    desk, one = _a_create(database)
    with database.transaction() as session:
        session.execute(sa.update(Customer).values(consent=None))
    stranger = VippsPayment()
    stranger.happens("CREATED")

    done = settled(desk, ran(desk, one, an_answer(409, "4150"), stranger, owner="inv_other"))

    assert done == [True]
    assert _problem(desk)["code"] == "consent_missing"
    assert desk.told_types()[-1] == "invoice.needs_attention"


def test_expiry_not_allowed_is_tried_once_without(database: Database) -> None:
    """A sales unit without long-living payments still asks, for ten minutes."""
    desk, one = _a_create(database)

    settled(desk, ran(desk, one, an_answer(403, "5050")))
    (again,) = [c for c in claimed(desk) if c.kind == _CREATE]

    assert again.id != one.id and again.body is not None
    assert "expiresAt" not in again.body
    assert {**again.body, "expiresAt": 0} == {**(one.body or {}), "expiresAt": 0}
    assert desk.payment().expires_at is None
    settled(desk, ran(desk, again, an_answer(403, "5050")))
    assert _problem(desk)["code"] == "5050"
    assert desk.payment().state == "refused"


@pytest.mark.parametrize("code", ["5080", "6110", "7010"])
def test_push_that_vipps_refuses_leaves_the_link(database: Database, code: str) -> None:
    """Who can't be asked in the app can still be sent the link."""
    desk, one = _a_create(database)

    settled(desk, ran(desk, one, an_answer(403, code)))

    told = desk.told()[-1]
    assert (_problem(desk)["code"], _problem(desk)["traceId"]) == (code, "trace-1")
    assert desk.invoice().state == "created"
    assert (told["type"], told["data"]["reason"]) == ("invoice.needs_attention", "push_refused")
    assert told["data"]["invoice"]["problem"]["code"] == code
    assert "push" in told["data"]["invoice"]["availableActions"]
    assert command(desk, one.id).status == "failed"


@pytest.mark.parametrize(
    ("code", "field"), [("4040", None), ("5040", None), ("6010", None), (None, "amount.value")]
)
def test_wrong_amount_or_currency_fails_the_invoice(
    database: Database, code: str | None, field: str | None
) -> None:
    """Where no payment can be made at all, the invoice says so."""
    desk, one = _a_create(database)
    details = [{"name": field, "reason": "wrong"}] if field else []

    settled(desk, ran(desk, one, an_answer(400, code, extraDetails=details)))

    assert desk.history()[-1] == "fail>failed by response"
    assert desk.told()[-1]["data"]["invoice"]["problem"]["code"] == code
    assert desk.payment().state == "refused"


def test_wrong_phone_number_does_not_fail_the_invoice(database: Database) -> None:
    """A number that Vipps does not take is no reason to give up the invoice."""
    desk, one = _a_create(database)

    settled(desk, ran(desk, one, an_answer(400, "4070")))

    assert desk.invoice().state == "created"
    assert desk.told_types()[-1] == "invoice.needs_attention"


def test_refused_keys_hold_the_sales_unit_and_fail_nothing(database: Database) -> None:
    """Wrong keys are mended by a person, and then everything goes on."""
    desk, one = _a_create(database)

    settled(desk, ran(desk, one, an_answer(401)))
    unit = _unit(desk)
    idle = claimed(desk)
    desk.later(hours=2)
    (again,) = [c for c in claimed(desk) if c.kind == _CREATE]
    settled(desk, ran(desk, again, accepted(again, 201)))

    assert unit.held_since is not None and unit.held_until is not None
    assert unit.held_because == "Vipps does not accept this sales unit's keys."
    assert idle == []
    assert again.id == one.id
    assert desk.invoice().state == "pushed"
    assert _unit(desk).held_since is None


def _unit(desk: Desk) -> SalesUnit:
    unit: SalesUnit = desk.all(SalesUnit)[0]
    return unit


def test_refused_request_that_was_to_be_replaced_is(database: Database) -> None:
    """A link instead of the request: if the request is refused, the link follows at once."""
    desk, one = _a_create(database)
    desk.change(lambda b, i, _: push(b, i, THE_MERCHANT, user_flow="WEB_REDIRECT"))

    settled(desk, ran(desk, one, an_answer(403, "5080")))

    assert [c.status for c in desk.commands("cancel_payment")] == ["dropped"]
    assert desk.payment(f"{REFERENCE}-2").user_flow == "WEB_REDIRECT"


@pytest.mark.parametrize(("status", "code"), [(403, "5080"), (403, "5050"), (400, "4040")])
def test_refused_request_that_was_withdrawn_terminates(
    database: Database, status: int, code: str
) -> None:
    """What I withdrew and Vipps never made is withdrawn."""
    desk, one = _a_create(database)
    desk.act(cancel)
    before = desk.invoice().state

    settled(desk, ran(desk, one, an_answer(status, code)))

    assert before == "created"
    assert desk.history()[-1] == "terminate>terminated by api"
    assert [c.status for c in desk.commands("cancel_payment")] == ["dropped"]
    assert [c.status for c in desk.commands(_CREATE)] == ["failed"]


def _erased_under_way(database: Database, *, is_tried: bool) -> tuple[Desk, Any]:
    """Return a request to a person who is erased, whose body nobody can read any more."""
    desk = a_desk(database)
    desk.create()
    if is_tried:
        one = claimed_one(desk, _CREATE)
        settled(desk, ran(desk, one, an_answer(None)))
        desk.later(seconds=90)
    with database.transaction() as session:
        gone = {"erased_at": desk.now(), "wrapped_key": None, "personal": None}
        session.execute(sa.update(Customer).values(**gone))
    return desk, claimed_one(desk, _CREATE)


@pytest.mark.parametrize("is_tried", [False, True])
def test_request_to_the_erased_that_vipps_does_not_know_is_given_up(
    database: Database, is_tried: bool
) -> None:
    """Whose number is forgotten is not asked, and no command waits for it for ever."""
    desk, one = _erased_under_way(database, is_tried=is_tried)

    settled(desk, Ran(one, an_answer(404), _ANEW, None, None, desk.now(), is_absent=True))

    assert one.is_outdated and one.body is None
    assert (desk.payment().state, _problem(desk)["code"]) == ("refused", "customer_erased")
    assert [c.status for c in desk.commands(_CREATE)] == ["dropped"]


def test_request_to_the_erased_that_vipps_has_is_taken_in(database: Database) -> None:
    """What reached the customer before the erasure is still theirs to pay."""
    desk, one = _erased_under_way(database, is_tried=True)
    vipps = VippsPayment()
    vipps.happens("CREATED")
    reading = Reading(vipps.log(), vipps.snapshot(one.invoice_id))

    settled(desk, Ran(one, an_answer(200), _ANEW, reading, None, desk.now()))

    assert (desk.invoice().state, desk.payment().state) == ("pushed", "created")
    assert [c.status for c in desk.commands(_CREATE)] == ["done"]


def test_request_to_the_erased_is_read_again_where_the_read_failed(database: Database) -> None:
    """Nothing is given up on a guess: the customer may have the request."""
    desk, one = _erased_under_way(database, is_tried=True)

    settled(desk, Ran(one, an_answer(500), _ANEW, None, None, desk.now()))

    assert command(desk, one.id).status == "waiting"
    assert desk.payment().state == "requested"
