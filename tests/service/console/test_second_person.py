"""A refund above the limit is asked for by one person and agreed to by another, or not at all."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from service.kinds import Role
from service.staff.users import NewPerson, add_user
from service.store.db import Database
from service.store.tables import Act, Command, RefundRequest, StaffAct
from tests.builders import MSN, NOW, ONLY_SQLITE, a_context
from tests.service.console.conftest import PASSWORD, Desk, open_desk
from tests.service.console.test_invoices import PAGE, REFERENCE, act, form_of
from tests.service.console.test_overview import send


@pytest.fixture
def strict(database: Database) -> Iterator[Desk]:
    """Give a console in which nobody gives back more than 500.00 alone."""
    made = a_context(database, REFUND_ALONE_MAX_MINOR="50000")
    with open_desk(made) as opened:
        with database.transaction() as session:
            new = NewPerson(
                "second", "Second", Role.FINANCE, (MSN,), PASSWORD, has_second_factor=False
            )
            add_user(session, made.vault, new, now=NOW)
        send(opened, REFERENCE, "CREATED", "AUTHORIZED", "CAPTURED")
        opened.sign_in("finance")
        yield opened


def requests(desk: Desk) -> list[RefundRequest]:
    """Return every refund that was asked for, oldest first."""
    with desk.context.database.snapshot() as session:
        return list(session.exec(select(RefundRequest).order_by(col(RefundRequest.id))))


def refunds(desk: Desk) -> list[int | None]:
    """Return the amounts of the refunds that were decided."""
    with desk.context.database.snapshot() as session:
        made = select(Command.amount_minor).where(Command.kind == "refund")
        return sorted(session.exec(made), key=lambda amount: amount or 0)


def decide(desk: Desk, name: str, request_id: str) -> int:
    """Send the form of the second person."""
    form = form_of(desk, PAGE, request=request_id)
    return desk.http.post(f"{PAGE}/refund-{name}", data=form).status_code


def test_large_refund_waits_for_a_second_person(strict: Desk) -> None:
    """Nothing goes to Vipps until another one agrees; the history names both."""
    assert act(strict, "refund", amount="500,01", reason="Came back").status_code == 303
    (asked,) = requests(strict)
    assert refunds(strict) == []
    assert decide(strict, "agree", asked.id) == 409

    strict.sign_in("second")
    assert decide(strict, "agree", asked.id) == 303
    assert decide(strict, "agree", asked.id) == 409

    (agreed,) = requests(strict)
    with strict.context.database.snapshot() as session:
        made = session.exec(select(Act).where(Act.name == "refund")).one()
        noted = session.exec(select(StaffAct.name).order_by(col(StaffAct.id))).all()
    assert refunds(strict) == [50_001]
    assert (agreed.is_agreed, agreed.decided_by) == (True, made.actor.removeprefix("user:"))
    assert made.reason == f"Came back (asked for by user:{asked.asked_by})"
    assert [name for name in noted if "refund" in name] == ["refund.asked", "refund.agreed"]


@ONLY_SQLITE
def test_small_ones_are_counted_together(strict: Desk) -> None:
    """Two of 300.00 are 600.00, also while the first is still on its way."""
    assert act(strict, "refund", amount="300").status_code == 303
    assert act(strict, "refund", amount="300").status_code == 303

    assert refunds(strict) == [30_000]
    assert [request.amount_minor for request in requests(strict)] == [30_000]


@ONLY_SQLITE
def test_one_waits_at_a_time_and_can_be_let_be(strict: Desk) -> None:
    """Who asked takes it back, another declines; then there is room for the next."""
    act(strict, "refund")
    (first,) = requests(strict)
    assert first.amount_minor == 200_000
    assert act(strict, "refund").status_code == 409
    assert decide(strict, "decline", first.id) == 303
    assert act(strict, "refund", amount="1000").status_code == 303
    strict.sign_in("second")
    assert decide(strict, "decline", requests(strict)[-1].id) == 303

    assert [request.is_agreed for request in requests(strict)] == [False, False]
    assert refunds(strict) == []


@ONLY_SQLITE
def test_paid_elsewhere_is_no_way_around_it(strict: Desk) -> None:
    """Its refund of what was captured counts as one."""
    answer = act(strict, "paid-elsewhere", refund="yes")

    assert answer.status_code == 409
    assert "second person" in answer.text
    assert (refunds(strict), requests(strict)) == ([], [])


@ONLY_SQLITE
@pytest.mark.parametrize("fields", [{"amount": "2000.01"}, {"reason": ""}, {"sequence": "1"}])
def test_wrong_one_is_not_asked_for(strict: Desk, fields: dict[str, str]) -> None:
    """What could not be refunded can't wait either."""
    assert act(strict, "refund", **fields).status_code in (409, 422)
    assert requests(strict) == []


@ONLY_SQLITE
def test_lesser_roles_and_others_decide_nothing(strict: Desk) -> None:
    """Support can't agree, and nobody by another invoice's page."""
    act(strict, "refund")
    (asked,) = requests(strict)
    send(strict, "acme-0002", "CREATED", "AUTHORIZED", "CAPTURED")
    strict.sign_in("second")
    form = form_of(strict, PAGE, request=asked.id)
    other = strict.http.post("/console/invoices/acme-0002/refund-agree", data=form)
    strict.sign_in("support")

    assert other.status_code == 404
    assert decide(strict, "agree", asked.id) == 403
    assert refunds(strict) == []


def test_database_itself_demands_two(strict: Desk) -> None:
    """The last guard, should the code ever be wrong."""
    act(strict, "refund")
    (asked,) = requests(strict)
    alone = sa.update(RefundRequest).values(
        decided_by=asked.asked_by, decided_at=NOW, is_agreed=True
    )

    with pytest.raises(IntegrityError), strict.context.database.transaction() as session:
        session.execute(alone)
