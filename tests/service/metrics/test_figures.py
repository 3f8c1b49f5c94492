"""What is counted: as the ledger has it, and without reading what has ended."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from service.clockwork.attendant import Attendant
from service.ledger.acts import capture
from service.metrics.figures import (
    Aged,
    AtRisk,
    Counted,
    Figures,
    Unpublished,
    figures,
    money_at_risk,
)
from service.store.db import Database
from service.store.tables import BrokerPosition, Delivery, Invoice, SalesUnit, Subscription
from tests.builders import (
    AMOUNT,
    MSN,
    NOW,
    ONLY_SQLITE,
    OTHER_MSN,
    REFERENCE,
    Desk,
    VippsPayment,
    a_desk,
    an_authorized_desk,
)

# As many rows as there are sales units.
_SMALL = ("SCAN fanout", "SCAN sales_unit", "SCAN registration")


def _figures(desk: Desk) -> Figures:
    with desk.context.database.snapshot() as session:
        return figures(session, now=NOW, has_broker=True)


def _at_risk(desk: Desk, msn: str = "") -> list[AtRisk]:
    with desk.context.database.snapshot() as session:
        return money_at_risk(session, msn)


def _after(desk: Desk, **time: float) -> None:
    """Let time pass, and the guardian look."""
    desk.later(**time)
    while Attendant(desk.context).attend_due():
        pass


def test_money_at_risk_grows_with_the_time_that_has_passed(database: Database) -> None:
    """Of 180 days in Norway I see when 50, 80 and 95 per cent are over."""
    desk, _ = an_authorized_desk(database)

    seen = []
    for days in (89, 2, 54, 28):  # 89, 91, 145 and 173 days
        _after(desk, days=days)
        seen.append(_at_risk(desk))

    assert seen == [[], *([AtRisk(MSN, "NOK", percent, 1, AMOUNT)] for percent in (50, 80, 95))]


def test_money_that_was_taken_is_not_at_risk(database: Database) -> None:
    """What I capture leaves the figure, part by part."""
    desk, vipps = an_authorized_desk(database)
    _after(desk, days=91)

    parts = []
    for part in (50_000, AMOUNT - 50_000):
        desk.act(capture, amount_minor=part)
        desk.report(vipps.happens("CAPTURED", amount_minor=part))
        desk.settle_commands()
        parts.append(_at_risk(desk))

    assert parts == [[AtRisk(MSN, "NOK", 50, 1, AMOUNT - 50_000)], []]


def test_money_at_risk_is_told_by_sales_unit(database: Database) -> None:
    """What another merchant has at risk is none of my figures."""
    desk, _ = an_authorized_desk(database)
    _after(desk, days=91)

    assert len(_at_risk(desk, MSN)) == 1
    assert _at_risk(desk, OTHER_MSN) == []


def test_figures_count_what_is_open(database: Database) -> None:
    """States, problems, calls that wait, and deliveries that were not made."""
    desk = a_desk(database)
    desk.create(reference="quiet-0001", creation_hash=b"1", push=False)
    desk.create()
    _a_delivery(desk, "pending")
    _a_delivery(desk, "failed")
    _a_delivery(desk, "delivered")
    with database.transaction() as session:
        shown = sa.update(Invoice).where(sa.column("reference") == REFERENCE)
        session.execute(shown.values(problem={"code": "5080"}))

    found = _figures(desk)

    assert found.invoices == [Counted(MSN, "created", 2)]
    assert found.problems == [Counted(MSN, "created", 1)]
    assert Counted(MSN, "create_payment", 1) in found.commands
    assert found.deliveries == [Counted(MSN, "pending", 1), Counted(MSN, "failed", 1)]
    assert found.subscriptions == [Counted(MSN, "unverified", 3)]
    desk.settle_commands()
    desk.report(VippsPayment().happens("CREATED"))
    assert _figures(desk).invoices == [Counted(MSN, "created", 1), Counted(MSN, "pushed", 1)]


def test_figures_tell_what_the_broker_has_not_got(database: Database) -> None:
    """How far behind each feed is, and since when and why it does not get on."""
    desk = a_desk(database)
    desk.create(push=False)
    at_first = _figures(desk).unpublished
    with database.transaction() as session:
        failing = {"reason": "stream_full", "failing_since": NOW - timedelta(seconds=90)}
        session.execute(sa.update(BrokerPosition).values(**failing))

    assert at_first == [Unpublished(MSN, "", 1, 0.0)]
    assert _figures(desk).unpublished == [Unpublished(MSN, "stream_full", 1, 90.0)]


def test_figures_tell_how_long_the_oldest_has_waited(database: Database) -> None:
    """What hangs is seen by its age, however few it is: a call, a read, an event, a sales unit."""
    desk = a_desk(database)
    desk.create()
    _a_delivery(desk, "pending")
    with database.transaction() as session:
        held = {"held_since": NOW - timedelta(seconds=30), "held_because": "401"}
        session.execute(sa.update(SalesUnit).where(sa.column("msn") == MSN).values(**held))

    with database.snapshot() as session:
        found = figures(session, now=NOW + timedelta(seconds=70), has_broker=False)

    assert Aged(MSN, "create_payment", 70.0) in found.commands_aged
    assert Aged(MSN, "delivery", 70.0) in found.events_aged
    assert [one.kind for one in found.events_aged] == ["delivery", "feed"]
    assert found.held == [Aged(MSN, "401", 100.0)]
    assert found.unregistered == []


def test_figures_of_who_is_disabled_are_not_the_oldest(database: Database) -> None:
    """A receiver that is gone is told of once, and does not hide that another waits."""
    desk = a_desk(database)
    _a_delivery(desk, "pending")
    with database.transaction() as session:
        session.execute(sa.update(Subscription).values(status="disabled"))

    assert _figures(desk).events_aged == []


@ONLY_SQLITE
def test_figures_are_found_by_their_indexes(database: Database) -> None:
    """A scrape beside years of finished rows costs what is open, and no more."""
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    with database.snapshot() as session:
        sa.event.listen(session.connection(), "before_cursor_execute", note)
        figures(session, now=NOW, has_broker=False)
    with database.snapshot() as session:
        connection = session.connection()
        plans = [
            str(connection.exec_driver_sql("EXPLAIN QUERY PLAN " + text, values).all())
            for text, values in statements
        ]

    names = ("at_risk", "state", "problem", "due", "due", "failed", "due", "subscription_msn")
    of_the_pile = [plan for plan in plans if not any(small in plan for small in _SMALL)]
    used = [next((n for n in names if f"_{n}" in plan), plan) for plan in of_the_pile]
    assert sorted(used) == sorted(names)


def _a_delivery(desk: Desk, status: str) -> None:
    key = f"sub_{status}"
    with desk.context.database.transaction() as session:
        session.add(
            Subscription(
                id=key,
                msn=MSN,
                url=b"sealed",
                event_types=["*"],
                secrets=b"sealed",
                from_position=0,
                created_at=NOW,
            )
        )
        session.flush()
        session.add(
            Delivery(
                id=f"dlv_{status}",
                msn=MSN,
                subscription_id=key,
                event_id="evt_1",
                line="inv_1",
                position=1,
                status=status,
                next_attempt_at=NOW,
                created_at=NOW,
            )
        )
