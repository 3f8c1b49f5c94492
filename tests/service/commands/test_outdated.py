"""Requests for payment that waited too long, or that nobody wants any more: contract section 5."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from service.clockwork.attendant import Attendant
from service.ledger.acts import cancel, push
from service.store.db import Database
from service.store.tables import CommandAttempt
from tests.builders import AMOUNT, NOW, REFERENCE, THE_MERCHANT, Desk, VippsPayment, a_desk
from tests.service.commands.play import Play, playing
from tests.service.commands.running import (
    an_answer,
    claimed,
    claimed_one,
    command,
    ran,
    settled,
    waits_s,
)
from tests.service.ledger.checks import broken_rules

pytestmark = pytest.mark.anyio

_CREATE = "create_payment"
HOUR = timedelta(hours=1)
NO_ANSWER = an_answer(None)
ABSENT = an_answer(404)


def _tried(database: Database, **invoice: Any) -> Desk:
    """Return a service whose request for payment got no answer."""
    desk = a_desk(database)
    desk.create(**invoice)
    settled(desk, ran(desk, claimed_one(desk, _CREATE), NO_ANSWER))
    return desk


def _looks(desk: Desk, *, is_absent: bool = True, vipps: VippsPayment | None = None) -> str:
    """Let the worker look instead of asking; return the command's status then."""
    one = next(c for c in claimed(desk) if c.kind == _CREATE)
    assert one.is_outdated
    result = ran(desk, one, ABSENT, vipps, is_absent=is_absent, is_instead=True)
    settled(desk, result)
    return command(desk, one.id).status


def _effects(*expected: tuple[str, str]) -> list[tuple[str, str, int]]:
    return [(effect, reference, AMOUNT) for effect, reference in expected]


async def _away(play: Play, *, acting: bool = False) -> None:
    """Let Vipps be away: no call does anything, or each does and nobody hears of it."""
    plan = {"timeoutAfterActing": 1} if acting else {"status5xx": 1}
    await play.sandbox("PUT", "/chaos", plan)


async def _back(play: Play) -> None:
    await play.sandbox("PUT", "/chaos", {})


async def _try_once(play: Play) -> None:
    """Let the worker try until it has asked for the payment."""
    while not play.desk.all(CommandAttempt, CommandAttempt.kind == _CREATE):
        await play.run_due()
        play.desk.later(seconds=5)


async def _tries(play: Play, until: datetime) -> None:
    """Let the worker try until then."""
    while play.desk.now() < until:
        await play.run_due()
        play.desk.later(minutes=15)


async def test_request_that_waited_a_day_gets_an_end_that_is_ahead(database: Database) -> None:
    """Vipps was away for a day: my customer is asked all the same, once, for another day."""
    async with playing(database) as play:
        play.desk.create()
        first_end = play.desk.payment().expires_at
        await _away(play)
        await _tries(play, NOW + 24 * HOUR)
        await _back(play)
        await play.work()

        effects = await play.effects()

    payment = play.desk.payment()
    creates = play.desk.commands(_CREATE)
    assert first_end is not None and first_end - NOW < 24 * HOUR
    assert effects == _effects(("created", REFERENCE))
    assert payment.expires_at is not None and payment.expires_at > NOW + 47 * HOUR
    assert payment.created_at >= NOW + 24 * HOUR
    assert [c.status for c in creates] == ["dropped", "done"]
    assert len({c.idempotency_key for c in creates}) == 2
    assert play.desk.invoice().problem is None
    assert broken_rules(database) == []


async def test_request_that_was_made_unheard_is_found_and_not_made_again(
    database: Database,
) -> None:
    """The answer was lost and the time ran: the read finds it before anything is rebuilt."""
    async with playing(database) as play:
        play.desk.create()
        await play.run_due()  # the token, and the link in the app
        await _away(play, acting=True)
        await _try_once(play)
        await _away(play)
        await _tries(play, NOW + 23 * HOUR + timedelta(minutes=55))
        await _back(play)
        await play.work()

        effects = await play.effects()

    assert effects[:1] == _effects(("created", REFERENCE))
    assert [c.status for c in play.desk.commands(_CREATE)] == ["done"]
    assert play.desk.history()[1].startswith("push>pushed by ")
    assert broken_rules(database) == []


async def test_end_that_came_too_near_on_its_way_is_rebuilt(database: Database) -> None:
    """Vipps's own clock says 6120: the request goes out anew, without an end of its own."""
    payable_until = NOW + timedelta(seconds=700)
    async with playing(database) as play:
        play.desk.create(payable_until=payable_until)
        assert play.desk.payment().expires_at is not None
        await play.sandbox("POST", "/clock", {"advanceSeconds": 60})
        await play.work()

        effects = await play.effects()

    assert effects == _effects(("created", REFERENCE))
    assert play.desk.payment().expires_at is None
    assert play.desk.payment().ends_at == play.desk.payment().created_at + timedelta(minutes=10)
    assert play.desk.invoice().state == "pushed"
    assert [c.status for c in play.desk.commands(_CREATE)] == ["dropped", "done"]


async def test_clocks_that_differ_by_hours_are_shown(database: Database) -> None:
    """By our clock there was time: another body would fare no better, so a person must look."""
    async with playing(database) as play:
        play.desk.create()
        await play.sandbox("POST", "/clock", {"advanceSeconds": 86_000})
        await play.work()

    problem = play.desk.invoice().problem
    assert problem is not None and problem["code"] == "6120"
    assert play.desk.told_types()[-1] == "invoice.needs_attention"
    assert [c.status for c in play.desk.commands(_CREATE)] == ["failed"]


async def test_withdrawn_while_vipps_is_away_is_never_asked_for(database: Database) -> None:
    """What I withdrew before Vipps came back never reaches the customer's phone."""
    async with playing(database) as play:
        play.desk.create()
        await _away(play)
        await _try_once(play)
        play.desk.act(cancel)
        await _tries(play, NOW + HOUR)
        waiting = play.desk.invoice().state
        await _back(play)
        await play.work()

        effects = await play.effects()

    assert waiting == "created"
    assert effects == []
    assert play.desk.history()[-1] == "terminate>terminated by api"
    assert {c.status for c in play.desk.commands(_CREATE, "cancel_payment")} == {"dropped"}
    assert broken_rules(database) == []


async def test_withdrawn_although_it_was_made_is_withdrawn_at_vipps(database: Database) -> None:
    """The request was made and nobody heard: it is found, withdrawn there, and only then ended."""
    async with playing(database) as play:
        play.desk.create()
        await play.run_due()  # the token, and the link in the app
        await _away(play, acting=True)
        await _try_once(play)
        play.desk.act(cancel)
        await _back(play)
        await play.work()

        effects = await play.effects()

    assert effects == _effects(("created", REFERENCE), ("terminated", REFERENCE))
    assert play.desk.invoice().state == "terminated"
    assert broken_rules(database) == []


async def test_not_payable_any_more_when_vipps_is_back_expires(database: Database) -> None:
    """Vipps was away until nobody should pay: no request is made, and the invoice expires."""
    async with playing(database) as play:
        play.desk.create(payable_until=NOW + HOUR)
        await _away(play)
        await _tries(play, NOW + 2 * HOUR)
        Attendant(play.desk.context).attend_due()
        before = play.desk.invoice().state
        await _back(play)
        await play.work()
        Attendant(play.desk.context).attend_due()

        effects = await play.effects()

    assert before == "created"  # a payment may live
    assert effects == []
    assert play.desk.history()[-1] == "expire>expired by clock"
    assert broken_rules(database) == []


def test_keys_refused_all_the_time_let_the_invoice_expire_in_time(database: Database) -> None:
    """What was never tried made nothing: it expires without Vipps's word, at its time."""
    desk = a_desk(database)
    desk.create(payable_until=NOW + HOUR)
    desk.later(hours=1)

    rounds = [Attendant(desk.context).attend_due() for _ in range(3)]

    assert rounds == [True, True, False]
    assert desk.history() == ["create>created by api", "expire>expired by clock"]
    assert {c.status for c in desk.commands()} == {"dropped"}


def test_absence_is_believed_only_a_minute_after_the_last_try(database: Database) -> None:
    """A request still on its way could arrive after the read: it is waited for."""
    desk = _tried(database)
    desk.act(cancel)
    desk.later(seconds=30)

    early = _looks(desk)
    (create,) = desk.commands(_CREATE)
    state, wait_s = desk.invoice().state, waits_s(desk, create.id)
    desk.later(seconds=wait_s)
    late = _looks(desk)

    assert (early, state, wait_s) == ("waiting", "created", 60.0)
    assert (late, desk.invoice().state) == ("dropped", "terminated")
    assert [c.status for c in desk.commands("cancel_payment")] == ["dropped"]


def test_look_is_no_try(database: Database) -> None:
    """However often it is looked, the last try stays when it was, and Vipps's limit is kept."""
    desk = _tried(database)
    desk.act(cancel)
    desk.later(seconds=30)
    _looks(desk)

    kinds = [row.kind for row in desk.all(CommandAttempt)]

    assert sorted(kinds) == ["create_payment", "read_payment"]


def test_read_that_fails_proves_nothing(database: Database) -> None:
    """Neither silence nor another no ends what may live at Vipps."""
    desk = _tried(database)
    desk.act(cancel)
    desk.later(hours=1)

    status = _looks(desk, is_absent=False)

    assert (status, desk.invoice().state) == ("waiting", "created")


def test_strangers_payment_is_not_taken_for_the_lost_one(database: Database) -> None:
    """Another shop's payment has our reference: nothing of ours lives, and mine is withdrawn."""
    desk = _tried(database)
    desk.act(cancel)
    desk.later(hours=1)
    stranger = VippsPayment()
    stranger.happens("CREATED")
    one = next(c for c in claimed(desk) if c.kind == _CREATE)

    settled(desk, ran(desk, one, ABSENT, stranger, owner="inv_other", is_instead=True))

    assert desk.invoice().state == "terminated"


def test_replaced_before_it_was_made_is_made_only_once(database: Database) -> None:
    """I asked again while the first request got no answer: my customer is asked once."""
    desk = _tried(database)
    desk.change(lambda b, i, _: push(b, i, THE_MERCHANT, user_flow="WEB_REDIRECT"))
    desk.later(hours=1)

    _looks(desk)

    assert desk.payment().state == "refused"
    assert desk.payment(f"{REFERENCE}-2").user_flow == "WEB_REDIRECT"
    assert [c.status for c in desk.commands("cancel_payment")] == ["dropped"]
    assert broken_rules(database) == []


def test_told_by_a_webhook_meanwhile_ends_the_request(database: Database) -> None:
    """A webhook knows more than a read that answers 404 for a moment."""
    desk = _tried(database, payable_until=NOW + HOUR)
    desk.report(VippsPayment().happens("CREATED"))
    desk.later(hours=2)

    status = _looks(desk)

    assert (status, desk.invoice().state) == ("done", "pushed")


def test_payment_that_vipps_has_forgotten_holds_up_no_end(database: Database) -> None:
    """Vipps once said yes and knows nothing of it now: withdrawn, the invoice can end."""
    desk = a_desk(database)
    desk.create()
    one = claimed_one(desk, _CREATE)
    settled(desk, ran(desk, one, an_answer(201, reference=REFERENCE)))
    desk.later(minutes=2)
    for read in claimed(desk):
        settled(desk, ran(desk, read, ABSENT, is_absent=True))
    before = desk.payment().state
    desk.act(cancel)
    for asked in claimed(desk):
        settled(desk, ran(desk, asked, ABSENT, is_absent=True))

    assert before == "created"  # nobody waits for its end: it may only be out of sight
    assert desk.history()[-1] == "terminate>terminated by api"
    assert "invoice.payment_ended" in desk.told_types()
    assert desk.invoice().problem is None
