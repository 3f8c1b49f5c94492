"""Requests for payment that went stale while Vipps, or the service, was away: over real HTTP.

The sandbox listens on a socket; its clock and the service's are one, so that an hour passes in a
moment. What really happened is in the sandbox's own ledger.
"""

from datetime import timedelta

import pytest

from service.clockwork.attendant import Attendant
from service.ledger.acts import push
from service.store.db import Database
from service.vipps import VippsKeys
from tests.builders import AMOUNT, MSN, NOW, ONLY_SQLITE, REFERENCE, THE_MERCHANT
from tests.service.commands.play import Play, playing_over_a_socket
from tests.service.ledger.checks import broken_rules

pytestmark = pytest.mark.anyio

_CREATE = "create_payment"
MINUTE = timedelta(minutes=1)
_KEYS = VippsKeys(MSN, "a-client", "a-client-secret", "a-subscription-key")
# With eleven minutes or less left a request goes without an end of its own.
TEN_LEFT = NOW + 10 * MINUTE + timedelta(seconds=30)


async def _try_in_vain(play: Play, chaos: dict[str, float]) -> None:
    """Let Vipps be called once while it is like this, and then be well again."""
    await play.client.get_events(_KEYS, REFERENCE)  # a token, which Vipps gave before that
    await play.sandbox("PUT", "/chaos", chaos)
    while not any(c.attempts for c in play.desk.commands(_CREATE)):
        await play.run_due()
        play.desk.later(seconds=5)
    await play.sandbox("PUT", "/chaos", {})


async def _made(play: Play) -> list[str]:
    return [reference for effect, reference, _ in await play.effects() if effect == "created"]


@pytest.mark.parametrize("is_tried", [True, False], ids=["vipps away", "service away"])
async def test_last_minutes_that_ran_out_meanwhile_ask_nobody(
    database: Database, is_tried: bool
) -> None:
    """What was to be paid within ten minutes is not asked for an hour later: it expires."""
    async with playing_over_a_socket(database) as play:
        play.desk.create(payable_until=TEN_LEFT)
        if is_tried:
            await _try_in_vain(play, {"status5xx": 1})
        play.desk.later(hours=1)
        await play.work()
        Attendant(play.desk.context).attend_due()

        made = await _made(play)

    assert made == []
    assert play.desk.history() == ["create>created by api", "expire>expired by clock"]
    assert play.desk.payment().state == "refused"
    assert broken_rules(database) == []


@ONLY_SQLITE
@pytest.mark.parametrize("is_tried", [True, False], ids=["vipps away", "service away"])
async def test_link_that_waited_an_hour_is_made_anew_once(
    database: Database, is_tried: bool
) -> None:
    """A payment on the page without an end gets its ten minutes when Vipps is back."""
    async with playing_over_a_socket(database) as play:
        play.desk.create(flow="WEB_REDIRECT", push=False)
        play.desk.act(lambda b, i, _: push(b, i, THE_MERCHANT, user_flow="WEB_REDIRECT"))
        if is_tried:
            await _try_in_vain(play, {"status5xx": 1})
        play.desk.later(hours=1)
        await play.work()

        made = await _made(play)

    creates, payment = play.desk.commands(_CREATE), play.desk.payment()
    assert made == [REFERENCE]
    assert [c.status for c in creates] == ["dropped", "done"]
    assert len({c.idempotency_key for c in creates}) == 2
    assert payment.created_at >= NOW + timedelta(hours=1)
    assert payment.redirect_url is not None
    assert play.desk.invoice().state in ("pushed", "soft_dismissed")
    assert broken_rules(database) == []


@ONLY_SQLITE
async def test_link_that_was_made_unheard_and_ran_out_is_no_push(database: Database) -> None:
    """The answer was lost and the ten minutes ran out: nobody is sent to the dead payment."""
    async with playing_over_a_socket(database) as play:
        play.desk.create(flow="WEB_REDIRECT", push=False)
        play.desk.act(lambda b, i, _: push(b, i, THE_MERCHANT, user_flow="WEB_REDIRECT"))
        await _try_in_vain(play, {"timeoutAfterActing": 1})
        play.desk.later(hours=1)
        await play.work()

        effects = await play.effects()

    assert effects == [("created", REFERENCE, AMOUNT), ("expired", REFERENCE, AMOUNT)]
    assert [c.status for c in play.desk.commands(_CREATE)] == ["done"]
    assert play.desk.payment().state == "expired"
    assert broken_rules(database) == []


@ONLY_SQLITE
async def test_end_that_is_too_near_by_vipps_clock_is_rebuilt(database: Database) -> None:
    """6120 over the wire: the request goes out again at once, without an end of its own."""
    async with playing_over_a_socket(database) as play:
        play.desk.create(payable_until=NOW + timedelta(seconds=700))
        ends_at_first = play.desk.payment().expires_at
        await play.sandbox("POST", "/clock", {"advanceSeconds": 60})
        await play.work()

        made = await _made(play)

    first, second = play.desk.commands(_CREATE)
    assert ends_at_first is not None and first.answer is not None
    assert made == [REFERENCE]
    assert (first.answer["code"], first.status) == ("6120", "dropped")
    assert (second.status, play.desk.payment().expires_at) == ("done", None)
    assert play.desk.history()[1].startswith("push>pushed by ")
    assert play.desk.invoice().problem is None
    assert broken_rules(database) == []
