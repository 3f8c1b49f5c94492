"""The capture guardian: before reserved money is lost, I hear of it."""

from datetime import timedelta

import pytest

from service.clockwork.attendant import Attendant
from service.ledger.acts import capture
from service.store.db import Database
from tests.builders import AMOUNT, NOW, ONLY_SQLITE, REFERENCE, Desk
from tests.service.ledger.life import Life, a_life

DAY = timedelta(days=1)


def _attend(desk: Desk, **time: float) -> None:
    desk.later(**time)
    Attendant(desk.context).attend_due()


def _reasons(desk: Desk) -> list[str]:
    told = [event["data"].get("reason") for event in desk.told()]
    return [reason for reason in told if reason]


def _authorized(database: Database, currency: str, guaranteed: timedelta | None = None) -> Life:
    life = a_life(database, currency=currency)
    at = NOW + guaranteed if guaranteed else None
    life.vipps[REFERENCE].guaranteed_until = at
    life.happens(REFERENCE, "AUTHORIZED")
    life.desk.read(life.vipps[REFERENCE])
    return life


@pytest.mark.parametrize(
    ("currency", "guaranteed", "days"),
    [("NOK", None, 180), ("DKK", None, 14), ("NOK", 7 * DAY, 7), ("DKK", 30 * DAY, 30)],
)
@ONLY_SQLITE
def test_guardian_warns_as_the_window_runs_out(
    database: Database, currency: str, guaranteed: timedelta | None, days: int
) -> None:
    """Before reserved money is lost I hear of it three times, by Vipps's own date if it has one."""
    life = _authorized(database, currency, guaranteed)

    warned = list[tuple[float, str]]()
    for _ in range(42):
        known = len(warned)
        _attend(life.desk, days=days / 40)
        passed = (life.desk.now() - NOW) / timedelta(days=days)
        warned += [(passed, reason) for reason in _reasons(life.desk)[known:]]

    assert [reason for _, reason in warned] == [f"capture_window_{p}" for p in (50, 80, 95)]
    assert all(
        -0.001 < at - share < 1 / 30
        for (at, _), share in zip(warned, (0.5, 0.8, 0.95), strict=True)
    )


@ONLY_SQLITE
def test_guarantee_is_kept_where_a_later_answer_leaves_it_out(database: Database) -> None:
    """The bank's own date stays the one that I am warned by; a new one takes its place."""
    life = _authorized(database, "NOK", 7 * DAY)
    vipps, kept = life.vipps[REFERENCE], list[object]()

    for told in (None, NOW + 5 * DAY, None):
        vipps.guaranteed_until = told
        life.desk.read(vipps)
        kept.append(life.desk.invoice().capture_guaranteed_until)

    assert kept == [NOW + 7 * DAY, NOW + 5 * DAY, NOW + 5 * DAY]


def test_guardian_is_silent_once_all_is_taken(database: Database) -> None:
    """What is captured in full can't be lost any more."""
    life = _authorized(database, "DKK")
    life.after(days=8)
    life.desk.act(capture)
    life.work()

    life.after(days=20)

    assert life.desk.invoice().captured_minor == AMOUNT
    assert _reasons(life.desk) == ["capture_window_50"]


def test_guardian_says_only_the_last_of_what_was_slept_through(database: Database) -> None:
    """After a pause I get one warning that says how late it is, not three."""
    life = _authorized(database, "DKK")

    _attend(life.desk, days=13, hours=12)
    _attend(life.desk, days=1)

    assert _reasons(life.desk) == ["capture_window_95"]
