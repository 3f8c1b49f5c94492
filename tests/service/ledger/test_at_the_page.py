"""What the customer does on the invoice page, down to what Vipps is asked for."""

from datetime import date, datetime, timedelta
from typing import Any

import orjson
import pytest

from service.errors import Conflict, InvalidInput
from service.ledger.at_the_page import pay, put_off
from service.ledger.elsewhere import PaidElsewhere, paid_elsewhere
from service.ledger.people import open_sealed
from service.ledger.returning import came_back
from service.store.db import Database
from service.store.tables import CommandAttempt
from tests.builders import MSN, NOW, ONLY_SQLITE, REFERENCE, Desk
from tests.service.ledger.life import Life, a_life, a_policy

WORDING = "page-1"
LINK: dict[str, Any] = {"flow": "WEB_REDIRECT", "phone_number": None}
SECOND, THIRD = f"{REFERENCE}-2", f"{REFERENCE}-3"


@pytest.fixture
def by_link(database: Database) -> Life:
    """Give an invoice by link, whose customer is not known."""
    return a_life(database, is_pushed=False, **LINK)


def click(life: Life, **choice: Any) -> None:
    """Let the customer press the button, and Vipps answer."""
    _click(life.desk, **choice)
    life.work()


def _click(desk: Desk, **choice: Any) -> None:
    chosen = {"wording": None} | choice
    desk.write(lambda book: pay(book, book.invoice_by_reference(MSN, REFERENCE), **chosen))


def later(life: Life, day: date | None = None) -> None:
    """Let the customer put it off."""
    life.desk.write(lambda book: put_off(book, book.invoice_by_reference(MSN, REFERENCE), day))


def come_back(life: Life) -> None:
    """Let Vipps send the customer back to the page."""
    life.desk.write(lambda book: came_back(book, book.invoice_by_reference(MSN, REFERENCE)))


def asked(life: Life) -> list[dict[str, Any]]:
    """Return what Vipps was asked to make, oldest first."""
    desk = life.desk
    rows = sorted(desk.commands("create_payment"), key=lambda row: row.created_at)
    customer_id = desk.invoice().customer_id
    with desk.context.database.snapshot() as session:
        return [
            orjson.loads(
                open_sealed(
                    session,
                    desk.context.vault,
                    row.body or b"",
                    place=f"command:{row.id}:body",
                    customer_ids=[customer_id],
                )
            )
            for row in rows
        ]


def test_click_makes_a_payment_of_ten_minutes_that_asks_for_the_number(by_link: Life) -> None:
    """Nothing is made at Vipps before the click, and then what the contract says."""
    before = asked(by_link)

    click(by_link, wording=WORDING)

    (body,) = asked(by_link)
    assert before == []
    assert (body["userFlow"], body["profile"]) == ("WEB_REDIRECT", {"scope": "phoneNumber"})
    assert "expiresAt" not in body
    assert body["returnUrl"].endswith(
        f"{by_link.desk.context.vault.page_token(by_link.desk.invoice().id)}/back"
    )
    assert by_link.desk.invoice().state == "pushed"
    assert by_link.desk.payment().sharing == WORDING


@ONLY_SQLITE
def test_second_click_goes_on_with_the_same_payment(by_link: Life) -> None:
    """Who comes back to the page does not pay twice, nor wait for another payment."""
    click(by_link, wording=WORDING)

    click(by_link, wording=WORDING)
    by_link.after(minutes=5)
    click(by_link, wording=WORDING)

    assert len(asked(by_link)) == 1


@ONLY_SQLITE
def test_change_of_mind_about_sharing_makes_another_payment(by_link: Life) -> None:
    """Who would rather not share is not sent to the question again."""
    click(by_link, wording=WORDING)

    click(by_link, wording=None)

    assert ["profile" in body for body in asked(by_link)] == [True, False]
    assert [by_link.desk.payment(r).state for r in (REFERENCE, SECOND)] == ["terminated", "created"]
    assert by_link.desk.history()[-1] == "push>pushed by webhook"


@ONLY_SQLITE
def test_refusal_to_share_can_be_paid_without_sharing(by_link: Life) -> None:
    """The customer reopens what ended with their refusal, while there is time."""
    click(by_link, wording=WORDING)
    by_link.happens(REFERENCE, "ABORTED")

    click(by_link, wording=None)

    assert by_link.desk.history()[-3:] == [
        "abort>aborted by webhook",
        "reopen>created by customer",
        "push>pushed by webhook",
    ]
    assert "profile" not in asked(by_link)[-1]
    by_link.happens(SECOND, "ABORTED")
    by_link.desk.later(days=15)
    with pytest.raises(Conflict):
        _click(by_link.desk)


@ONLY_SQLITE
def test_request_in_the_app_gives_way_only_to_who_was_told(database: Database) -> None:
    """A click alone never takes away the request that the customer may be looking at."""
    life = a_life(database)

    with pytest.raises(Conflict, match="waits in the app"):
        _click(life.desk)
    click(life, is_instead=True)

    assert [life.desk.payment(r).state for r in (REFERENCE, SECOND)] == ["terminated", "created"]
    assert asked(life)[1]["userFlow"] == "WEB_REDIRECT"
    assert "profile" not in asked(life)[1]  # the number is known, with consent


def test_app_is_asked_again_when_paying_here_lapses(database: Database) -> None:
    """Who went to the page and did not pay finds the request in the app again, uncounted."""
    life = a_life(database)
    click(life, is_instead=True)

    life.after(minutes=11)

    assert [body["userFlow"] for body in asked(life)] == [
        "PUSH_MESSAGE",
        "WEB_REDIRECT",
        "PUSH_MESSAGE",
    ]
    assert life.desk.payment(THIRD).state == "created"
    assert life.desk.invoice().own_pushes == 0
    life.after(hours=1)
    assert len(asked(life)) == 3


@ONLY_SQLITE
def test_app_is_asked_again_also_after_two_tries_here(database: Database) -> None:
    """A second click that replaced the first one's payment changes nothing about that."""
    life = a_life(database)
    click(life, is_instead=True)
    life.after(minutes=11)
    click(life, is_instead=True)

    life.after(minutes=11)

    assert [body["userFlow"] for body in asked(life)][-2:] == ["WEB_REDIRECT", "PUSH_MESSAGE"]


@ONLY_SQLITE
def test_putting_off_moves_what_was_asked_for(database: Database) -> None:
    """Pay later on the page is a signal of its own, with the customer as its source."""
    life = a_life(database)

    later(life)

    assert life.desk.history()[-1] == "soft_dismiss>soft_dismissed by customer"
    assert life.desk.told_types()[-1] == "invoice.soft_dismissed"
    life.happens(REFERENCE, "AUTHORIZED")
    assert life.desk.invoice().state == "authorized"


@ONLY_SQLITE
def test_day_is_kept_without_a_transition_where_nothing_is_asked(database: Database) -> None:
    """On a created or postponed invoice only the day changes."""
    life = a_life(database, is_pushed=False, push=False)

    later(life, date(2026, 11, 25))
    created = life.desk.history(), life.desk.invoice().ask_on
    life.after(days=3, hours=1)
    later(life)
    later(life, date(2026, 11, 28))

    assert created == (["create>created by api"], date(2026, 11, 25))
    assert life.desk.invoice().ask_on == date(2026, 11, 28)
    assert life.desk.history()[-1] == "soft_dismiss>soft_dismissed by inference"


def test_customer_is_asked_on_the_chosen_day_and_not_before(database: Database) -> None:
    """The next push goes out on that morning, whatever the policy would have done."""
    life = a_life(database, due_date=date(2026, 11, 26), payable_until=NOW + timedelta(days=12))
    later(life, date(2026, 11, 27))

    life.until(datetime.fromisoformat("2026-11-27T07:59:00Z"))
    before = len(asked(life))
    life.until(datetime.fromisoformat("2026-11-27T08:01:00Z"))

    assert before == 1
    (_, made) = (at for at, _ in life.did("create_payment"))
    assert made >= datetime.fromisoformat("2026-11-27T08:00:00Z")  # nine o'clock in Oslo
    invoice = life.desk.invoice()
    assert (invoice.state, invoice.own_pushes, invoice.ask_on) == ("pushed", 0, None)


@ONLY_SQLITE
def test_chosen_day_knows_the_night(database: Database) -> None:
    """A merchant whose quiet hours last till ten is obeyed on that day too."""
    life = a_life(database, payable_until=NOW + timedelta(days=12))
    a_policy(database, quiet_hours="20:00-10:00")
    later(life, date(2026, 11, 27))

    life.until(datetime.fromisoformat("2026-11-27T08:59:00Z"))
    before = len(asked(life))
    life.until(datetime.fromisoformat("2026-11-27T09:01:00Z"))

    assert (before, len(asked(life))) == (1, 2)


@ONLY_SQLITE
def test_long_request_is_made_anew_on_the_chosen_day(database: Database) -> None:
    """Where a request lives for weeks in the app, the chosen day brings a new one."""
    life = a_life(database, currency="DKK", payable_until=NOW + timedelta(days=30))
    later(life, date(2026, 12, 1))

    life.until(datetime.fromisoformat("2026-12-01T08:01:00Z"))

    assert [life.desk.payment(r).state for r in (REFERENCE, SECOND)] == ["terminated", "created"]
    assert life.desk.history()[-1] == "push>pushed by webhook"


@ONLY_SQLITE
@pytest.mark.parametrize("day", [date(2026, 11, 22), date(2026, 12, 5), date(2027, 12, 5)])
def test_day_on_which_nobody_can_be_asked_is_refused(database: Database, day: date) -> None:
    """Not today, and not when it can't be paid any more."""
    life = a_life(database, payable_until=datetime.fromisoformat("2026-12-05T07:00:00Z"))

    with pytest.raises(InvalidInput):
        later(life, day)

    assert life.desk.invoice().state == "pushed"


@ONLY_SQLITE
def test_unknown_customer_chooses_no_day(by_link: Life) -> None:
    """Nobody is promised to be asked in an app whose number is not known."""
    with pytest.raises(InvalidInput):
        later(by_link, date(2026, 11, 25))


@ONLY_SQLITE
def test_page_does_nothing_once_it_was_paid_another_way(by_link: Life) -> None:
    """Nobody pays twice because a page was still open."""

    def told(book: Any, invoice: Any, ask: Any) -> None:
        paid_elsewhere(book, invoice, ask, PaidElsewhere("bank"))

    by_link.desk.act(told)

    for act in (_click, lambda desk: later(by_link)):
        with pytest.raises(Conflict):
            act(by_link.desk)
    assert asked(by_link) == []


def test_return_without_a_decision_is_putting_it_off(by_link: Life) -> None:
    """Who comes back, and Vipps says that nothing was decided, has postponed."""
    click(by_link, wording=WORDING)

    come_back(by_link)
    by_link.work()

    assert by_link.desk.history()[-1] == "soft_dismiss>soft_dismissed by customer"
    by_link.happens(REFERENCE, "AUTHORIZED")
    assert by_link.desk.invoice().state == "authorized"


@ONLY_SQLITE
def test_return_after_approval_is_no_putting_off(by_link: Life) -> None:
    """The read that follows a return tells the truth, also before the webhook does."""
    click(by_link, wording=WORDING)
    by_link.are_webhooks_lost = True
    by_link.happens(REFERENCE, "AUTHORIZED")

    come_back(by_link)
    by_link.work()

    assert by_link.desk.history()[-1] == "authorize>authorized by poll"
    assert by_link.desk.payment().returned_by is None


@ONLY_SQLITE
def test_read_from_before_the_return_says_nothing_about_it(by_link: Life) -> None:
    """A read that was on its way while the customer approved is not believed on that."""
    click(by_link, wording=WORDING)
    desk = by_link.desk
    with desk.context.database.transaction() as session:
        mine = desk.commands("create_payment")[0]
        row: dict[str, Any] = {"command_id": mine.id, "payment_id": mine.payment_id}
        session.add(CommandAttempt(number=9, kind=mine.kind, started_at=desk.now(), **row))
    desk.later(seconds=1)
    come_back(by_link)

    desk.read(by_link.vipps[REFERENCE], read_id=mine.id)
    after_the_early_one = desk.invoice().state
    desk.read(by_link.vipps[REFERENCE])

    assert (after_the_early_one, desk.invoice().state) == ("pushed", "soft_dismissed")


@ONLY_SQLITE
def test_return_from_the_app_moves_nothing(database: Database) -> None:
    """Only payments of the page lead back to it."""
    life = a_life(database)

    come_back(life)
    life.work()

    assert life.desk.invoice().state == "pushed"
