"""What happens because time passes: dismissed, asked again, expired, warned, each at its time."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa

from service.clockwork.attendant import Attendant
from service.ledger.acts import cancel, push
from service.store.db import Database
from service.store.tables import Command, Customer, Transition
from tests.builders import (
    AMOUNT,
    NOW,
    ONLY_SQLITE,
    REFERENCE,
    Desk,
    VippsPayment,
    a_desk,
    a_pushed_desk,
)
from tests.service.ledger.checks import broken_rules
from tests.service.ledger.life import a_life, a_policy

DAY = timedelta(days=1)


def _attend(desk: Desk, **time: float) -> None:
    desk.later(**time)
    Attendant(desk.context).attend_due()


def _reasons(desk: Desk) -> list[str]:
    told = [event["data"].get("reason") for event in desk.told()]
    return [reason for reason in told if reason]


def test_sixty_days_of_silence_end_expired(database: Database) -> None:
    """In Denmark one request lives for sixty days; it is postponed, watched, and ends in time."""
    life = a_life(database, currency="DKK", payable_until=NOW + 60 * DAY)
    life.are_webhooks_lost = True

    life.after(days=60, hours=1)

    desk = life.desk
    assert desk.history() == [
        "create>created by api",
        "push>pushed by webhook",
        "soft_dismiss>soft_dismissed by inference",
        "expire>expired by poll",
    ]
    assert desk.all(Transition)[-1].recorded_at - (NOW + 60 * DAY) < timedelta(seconds=10)
    assert desk.invoice().attend_at is None
    assert len(life.did("create_payment")) == 1
    assert len(life.did("read_payment")) < 85
    assert broken_rules(database) == []


def test_norwegian_chain_asks_by_policy_and_ends_by_the_clock(database: Database) -> None:
    """Requests live a day; three more follow by day, the last at nine on the due date."""
    life = a_life(database, due_date=date(2026, 12, 6), payable_until=NOW + 20 * DAY)

    life.after(days=25)

    asked = [at for at, _ in life.did("create_payment")]
    references = [reference for _, reference in life.did("create_payment")]
    assert references == [REFERENCE, *(f"{REFERENCE}-{n}" for n in (2, 3, 4))]
    assert asked[-1] == datetime(2026, 12, 6, 8, 0, tzinfo=UTC)
    assert all(7 <= at.hour < 20 for at in asked[1:])
    assert all(
        later - sooner >= 3 * DAY - timedelta(minutes=2) for sooner, later in pairwise(asked[:-1])
    )
    assert life.desk.history()[-1] == "expire>expired by clock"
    assert life.desk.invoice().own_pushes == 3
    assert life.desk.all(Transition)[-1].recorded_at == NOW + 20 * DAY
    assert life.desk.invoice().attend_at is None
    assert broken_rules(database) == []


def test_dismissal_is_inferred_only_from_a_read(database: Database) -> None:
    """Time alone says nothing: only Vipps's word that the customer has not acted does."""
    desk, vipps = a_pushed_desk(database)

    _attend(desk, minutes=11)
    by_time_alone = desk.invoice().state
    (due,) = desk.all(Command, Command.kind == "read_payment", Command.status == "waiting")
    desk.read(vipps, read_id=due.id)

    last = desk.all(Transition)[-1]
    assert by_time_alone == "pushed"
    assert desk.history()[-1] == "soft_dismiss>soft_dismissed by inference"
    assert (last.evidence_id, last.confirmed_at) == (due.id, desk.now())


def test_dismissal_is_not_inferred_too_soon_nor_against_vipps_word(database: Database) -> None:
    """A minute after the push nobody has postponed anything; and who approves has not either."""
    desk, vipps = a_pushed_desk(database)

    _attend(desk, minutes=9)
    desk.read(vipps)
    too_soon = desk.invoice().state
    desk.later(minutes=2)
    vipps.happens("AUTHORIZED")
    desk.read(vipps)

    assert too_soon == "pushed"
    assert desk.history()[-2:] == ["push>pushed by webhook", "authorize>authorized by poll"]


@pytest.mark.parametrize(
    ("name", "state"),
    [("AUTHORIZED", "authorized"), ("ABORTED", "aborted"), ("EXPIRED", "soft_dismissed")],
)
def test_inferred_dismissal_leaves_every_outcome_possible(
    database: Database, name: str, state: str
) -> None:
    """It is a label of ours: whatever Vipps says afterwards counts."""
    desk, vipps = a_pushed_desk(database)
    desk.later(minutes=11)
    desk.read(vipps)

    desk.report(vipps.happens(name))

    assert desk.invoice().state == state
    assert "refused" not in [outcome for outcome, _ in desk.outcomes()]


def test_lapse_is_told_with_vipps_own_word(database: Database) -> None:
    """A request that ran out makes the invoice postponed, with that webhook as evidence."""
    desk, vipps = a_pushed_desk(database)

    desk.report(vipps.happens("EXPIRED"))

    last = desk.all(Transition)[-1]
    assert desk.history()[-1] == "soft_dismiss>soft_dismissed by webhook"
    assert last.evidence_id.startswith("vev_") and last.evidence_hash is not None
    assert desk.invoice().attend_at is not None


def test_invoice_never_expires_while_a_payment_may_live(database: Database) -> None:
    """As long as Vipps has not said how it ended, the customer may be paying."""
    desk, vipps = a_pushed_desk(database, payable_until=NOW + DAY)

    for _ in range(40):
        due_at = desk.invoice().attend_at
        assert due_at is not None
        desk.times.append(max(due_at, desk.now()))
        _attend(desk)
        desk.read(vipps)

    assert desk.now() > NOW + 20 * DAY
    assert desk.invoice().state == "soft_dismissed"
    desk.report(vipps.happens("AUTHORIZED"))
    assert desk.invoice().state == "authorized"


def test_invoice_whose_request_was_never_answered_does_not_expire(database: Database) -> None:
    """Vipps may have made the payment although it never said so."""
    desk = a_desk(database)
    desk.create(payable_until=NOW + DAY)

    _attend(desk, days=3)

    assert desk.invoice().state == "created"


def test_link_that_nobody_opened_expires_by_the_clock(database: Database) -> None:
    """Where nothing was made at Vipps, the end of the time is the end."""
    desk = a_desk(database)
    desk.create(flow="WEB_REDIRECT", payable_until=NOW + DAY)

    _attend(desk, days=1, seconds=-1)
    before = desk.invoice().state
    _attend(desk, seconds=1)

    assert (before, desk.history()[-1]) == ("created", "expire>expired by clock")
    assert desk.all(Transition)[-1].actor == "clock"
    assert desk.invoice().attend_at is None


def test_time_that_was_slept_through_expires_and_asks_nobody(database: Database) -> None:
    """After a month without the service, an invoice that ended meanwhile is not sent again."""
    desk, vipps = a_pushed_desk(database, payable_until=NOW + 10 * DAY)
    desk.report(vipps.happens("EXPIRED"))

    _attend(desk, days=30)

    assert desk.history()[-1] == "expire>expired by clock"
    assert len(desk.commands("create_payment")) == 1
    assert _reasons(desk) == []


def test_push_that_is_late_waits_for_the_morning(database: Database) -> None:
    """A restart at three in the morning wakes nobody."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("EXPIRED"))
    desk.read(vipps)

    _attend(desk, days=3, hours=16)
    at_night = len(desk.commands("create_payment"))
    due_at = desk.invoice().attend_at
    _attend(desk, hours=6)

    assert at_night == 1
    assert due_at == datetime(2026, 11, 26, 7, 0, tzinfo=UTC)
    assert len(desk.commands("create_payment")) == 2


def test_push_without_consent_is_told_once_and_not_tried_again(database: Database) -> None:
    """Who withdrew consent is not asked again; I am told so once, not every second."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("EXPIRED"))
    desk.read(vipps)
    with database.transaction() as session:
        session.execute(sa.update(Customer).values(consent={"withdrawnAt": "2026-11-22"}))

    for _ in range(4):
        _attend(desk, days=2)

    assert _reasons(desk) == ["consent_withdrawn"]
    assert len(desk.commands("create_payment")) == 1
    assert desk.invoice().attend_at == desk.invoice().payable_until


def test_push_by_the_merchant_is_not_counted(database: Database) -> None:
    """What I ask for myself goes at once and takes nothing from the policy."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("EXPIRED"))

    desk.act(push)

    assert desk.invoice().own_pushes == 0
    assert len(desk.commands("create_payment")) == 2


@pytest.mark.parametrize(("name", "state"), [("ABORTED", "aborted"), ("TERMINATED", "terminated")])
def test_end_leaves_nothing_to_attend_to(database: Database, name: str, state: str) -> None:
    """What has ended and is confirmed costs nothing any more."""
    desk, vipps = a_pushed_desk(database)
    while_open = desk.invoice().attend_at

    desk.report(vipps.happens(name))
    desk.read(vipps)

    assert while_open is not None
    assert (desk.invoice().state, desk.invoice().attend_at) == (state, None)


@ONLY_SQLITE
def test_settled_invoice_is_left_alone_after_a_year(database: Database) -> None:
    """Refunds by hand are seen for a year; then the invoice rests."""
    life = a_life(database, capture="automatic")
    life.happens(REFERENCE, "AUTHORIZED")

    life.after(days=400)

    desk = life.desk
    assert (desk.invoice().state, desk.invoice().captured_minor) == ("captured", AMOUNT)
    assert len(life.did("capture")) == 1
    assert desk.invoice().attend_at is None
    assert _reasons(desk) == []


def test_attending_moves_no_etag_where_nothing_visible_changed(database: Database) -> None:
    """An ETag that I hold is not outdated by looking."""
    desk, vipps = a_pushed_desk(database)
    desk.read(vipps)
    before = desk.invoice()

    _attend(desk, seconds=31)

    after = desk.invoice()
    assert (after.version, after.updated_at) == (before.version, before.updated_at)
    assert before.attend_at is not None and after.attend_at is not None
    assert after.attend_at > desk.now() > before.attend_at
    assert desk.payment().looked_at == desk.now()


def test_webhook_that_no_read_confirms_is_flagged_once(database: Database) -> None:
    """I hear of a webhook that Vipps's own log does not know, once, after an hour."""
    desk, vipps = a_pushed_desk(database)
    desk.read(vipps)
    desk.report(VippsPayment(events=list(vipps.events)).happens("AUTHORIZED"))

    _attend(desk, minutes=59)
    _attend(desk, minutes=2)
    within = _reasons(desk)
    desk.read(vipps)
    _attend(desk, minutes=2)
    _attend(desk, days=1)

    assert within == []
    assert _reasons(desk) == ["unconfirmed"]


def test_webhook_that_a_read_confirms_is_not_flagged(database: Database) -> None:
    """What both witnesses say is not worth a word."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("AUTHORIZED"))

    desk.read(vipps)
    _attend(desk, hours=2)

    assert _reasons(desk) == []
    assert None not in [t.confirmed_at for t in desk.all(Transition)[1:]]


def test_read_of_another_payment_confirms_nothing(database: Database) -> None:
    """Each payment's webhooks are confirmed by its own log."""
    desk, first = a_pushed_desk(database)
    desk.read(first)
    desk.report(VippsPayment(events=list(first.events)).happens("EXPIRED"))
    desk.act(push)
    second = VippsPayment(f"{REFERENCE}-2")
    desk.report(second.happens("CREATED"))
    desk.read(second)

    _attend(desk, hours=1)
    _attend(desk, minutes=1)

    assert _reasons(desk) == ["unconfirmed"]


def test_newer_payment_of_a_paid_invoice_is_watched_to_its_end(database: Database) -> None:
    """If I was paid by the older request, the newer one is read until Vipps says it is gone."""
    life = a_life(database)
    life.happens(REFERENCE, "EXPIRED")
    life.desk.act(push)
    life.work()
    newer = f"{REFERENCE}-2"
    life.happens(REFERENCE, "AUTHORIZED")
    life.desk.settle_commands("failed")  # Vipps would not withdraw it
    life.are_webhooks_lost = True
    life.vipps[newer].happens("AUTHORIZED")

    life.after(days=2)

    desk = life.desk
    assert _reasons(desk).count("authorized_when_closed") == 1
    assert desk.payment(newer).cancelled_minor == AMOUNT
    assert desk.invoice().authorized_by == desk.payment().id
    assert desk.invoice().state == "authorized"


def test_cancel_that_was_asked_for_is_not_hindered_by_the_clock(database: Database) -> None:
    """While an invoice is being withdrawn, nothing is asked and nothing expires before Vipps."""
    desk, vipps = a_pushed_desk(database, payable_until=NOW + DAY)
    desk.act(cancel)

    _attend(desk, days=2)
    desk.report(vipps.happens("TERMINATED"))

    assert desk.history()[-1] == "terminate>terminated by webhook"


def test_policy_of_every_sales_unit_is_its_own(database: Database) -> None:
    """How long silence means "later" is my setting."""
    desk, vipps = a_pushed_desk(database)
    a_policy(database, soft_dismiss_after_s=86_400)

    desk.later(hours=23)
    desk.read(vipps)
    before = desk.invoice().state
    desk.later(hours=2)
    desk.read(vipps)

    assert (before, desk.invoice().state) == ("pushed", "soft_dismissed")


def test_attend_at_is_what_the_rows_say_after_every_change(database: Database) -> None:
    """Nothing can be forgotten: each change computes anew when to look again."""
    desk, vipps = a_pushed_desk(database)
    pushed = desk.invoice().attend_at
    desk.report(vipps.happens("EXPIRED"))
    lapsed = desk.invoice().attend_at
    desk.act(push)
    asked = desk.invoice().attend_at

    assert pushed == NOW + timedelta(seconds=5)
    assert lapsed == NOW + timedelta(hours=1)  # that webhook is not confirmed yet
    assert asked == NOW + timedelta(seconds=5)
