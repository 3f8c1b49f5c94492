"""Subscriptions in the console: how each fares, what went to it, and mending it."""

import re

import pytest
from markupsafe import escape
from playwright.sync_api import Page, expect
from sqlmodel import col, select

from service.outbox import health, readiness, subscriptions
from service.outbox.fanout import fan_out
from service.store.tables import Attempt, Delivery, DeliveryStatus, StaffAct
from tests.browser import SMALL, is_too_wide
from tests.builders import MSN, NOW, ONLY_SQLITE, OTHER_MSN
from tests.service.console.conftest import Desk
from tests.service.console.test_invoices import form_of
from tests.service.console.test_overview import HOSTILE, send, sign_in
from tests.service.outbox.wire import LOOPBACK

pytestmark = ONLY_SQLITE

URL = "http://127.0.0.1:9/in"


def subscribe(desk: Desk, *, msn: str = MSN, text: str | None = None) -> str:
    """Make a subscription, whose ping has failed and which is owed an invoice's event."""
    vault = desk.context.vault
    with desk.context.database.transaction() as session:
        made, _ = subscriptions.create(
            session,
            vault,
            msn=msn,
            url=URL,
            event_types=["*"],
            description=text,
            allow=LOOPBACK,
            now=NOW,
        )
        key = made.id
    send(desk, f"bill-{msn}", msn=msn)
    with desk.context.database.transaction() as session:
        fan_out(session, now=NOW, limit=10)
    return key


def test_delivery_is_read_and_sent_again(desk: Desk, page: Page) -> None:
    """What went, what was said, and one more try; at any width."""
    key = subscribe(desk, text=HOSTILE)
    end_deliveries(desk, key)
    sign_in(desk, page, "support")
    page.get_by_role("link", name="Subscriptions").click()
    page.get_by_role("link", name=HOSTILE).click()
    page.get_by_role("link", name="failed").click()
    page.locator("summary", has_text=f"bill-{MSN}").click()
    assert not is_too_wide(page)
    page.set_viewport_size({"width": SMALL[0], "height": SMALL[1]})
    assert not is_too_wide(page)

    page.get_by_role("button", name="Send again").and_(page.locator(":visible")).click()

    expect(page.locator(".health.pending")).to_have_count(1)
    assert page.evaluate("window.hit") is None
    assert acts(desk) == ["signed_in", "subscription.redeliver"]
    expect(page.get_by_role("button", name="Replay")).to_have_count(0)


def test_what_a_receiver_answers_is_shown_as_text(desk: Desk) -> None:
    """A stranger's bytes stand in my page, and are nothing but text (T38)."""
    key = subscribe(desk)
    delivery = first_delivery(desk, key)
    sealed = desk.context.vault.seal(HOSTILE.encode(), place=f"attempt:{delivery}:1:answer")
    with desk.context.database.transaction() as session:
        session.add(
            Attempt(delivery_id=delivery, number=1, at=NOW, status=500, latency_ms=7, answer=sealed)
        )
    desk.sign_in("support")

    page = desk.http.get(f"/console/subscriptions/{key}").text

    assert str(escape(HOSTILE)) in page
    assert HOSTILE not in page


def test_window_is_counted_and_then_replayed(desk: Desk) -> None:
    """The preview sends nothing and is not written down; the replay is, with its reason."""
    key = subscribe(desk)
    end_deliveries(desk, key)
    enable(desk, key)
    desk.sign_in("admin")
    path = f"/console/subscriptions/{key}"
    window = {"mode": "failed", "from": "2026-11-22", "to": "2026-11-22", "reason": "Was down"}

    counted = desk.http.post(f"{path}/replay", data=form_of(desk, path, **window, dry="yes"))
    before = statuses(desk, key)
    replayed = desk.http.post(f"{path}/replay", data=form_of(desk, path, **window))

    assert "1 event would be sent again" in counted.text
    assert "1 event sent again" in replayed.text
    assert before.count(DeliveryStatus.PENDING) == 0
    assert statuses(desk, key).count(DeliveryStatus.PENDING) == 1
    assert acts(desk) == ["signed_in", "subscription.replay"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"mode": "everything"}, "mode"),
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-11-21"}, "to"),
        ({"reason": "x" * 501}, "reason"),
    ],
    ids=str,
)
def test_wrong_replay_is_refused_by_field(desk: Desk, wrong: dict[str, str], said: str) -> None:
    """Nothing is sent, and nothing written down."""
    key = subscribe(desk)
    desk.sign_in("admin")
    path = f"/console/subscriptions/{key}"
    window = {"mode": "all", "from": "2026-11-22", "to": "2026-11-22", "reason": "Was down"}

    answer = desk.http.post(f"{path}/replay", data=form_of(desk, path, **{**window, **wrong}))

    assert answer.status_code == 422
    assert said in answer.text
    assert acts(desk) == ["signed_in"]


def test_secret_is_shown_once(desk: Desk) -> None:
    """In the answer to the form, and in no address and on no other page."""
    key = subscribe(desk)
    desk.sign_in("admin")
    path = f"/console/subscriptions/{key}"

    answer = desk.http.post(f"{path}/rotate-secret", data=form_of(desk, path, reason="Leaked"))

    assert answer.status_code == 200
    assert re.search(r"whsec_[A-Za-z0-9+/=&;#]+", answer.text)
    assert "whsec_" not in desk.http.get(path).text


def test_subscription_is_stopped_and_started(desk: Desk) -> None:
    """What it is owed is kept meanwhile."""
    key = subscribe(desk)
    desk.sign_in("admin")
    path = f"/console/subscriptions/{key}"

    desk.http.post(f"{path}/disable", data=form_of(desk, path, reason="Moving"))
    stopped = desk.http.get(path).text
    refused = desk.http.post(
        f"{path}/replay",
        data=form_of(
            desk, path, mode="all", reason="x", **{"from": "2026-11-22", "to": "2026-11-22"}
        ),
    )
    desk.http.post(f"{path}/enable", data=form_of(desk, path, reason="Moved"))

    assert 'class="health disabled"' in stopped
    assert refused.status_code == 409
    assert 'class="health disabled"' not in desk.http.get(path).text
    assert statuses(desk, key).count(DeliveryStatus.PENDING) >= 1


def test_other_sales_units_and_lesser_roles_get_nothing(desk: Desk) -> None:
    """Another's subscription is not there; what a role may not do is refused."""
    theirs, ours = subscribe(desk, msn=OTHER_MSN), subscribe(desk)
    desk.sign_in("support")
    csrf = form_of(desk, "/console", reason="try")

    their_path, our_path = (f"/console/subscriptions/{key}" for key in (theirs, ours))
    reads = [desk.http.get(path).status_code for path in (their_path, our_path)]
    tried = [
        desk.http.post(f"{our_path}/{name}", data=csrf).status_code
        for name in ("enable", "disable", "rotate-secret", "replay")
    ]
    their_delivery = form_of(desk, "/console", delivery=first_delivery(desk, theirs))
    stolen = desk.http.post(f"{our_path}/redeliver", data=their_delivery)

    assert reads == [404, 200]
    assert set(tried) == {403}
    assert stolen.status_code == 404
    assert acts(desk) == ["signed_in"]


def end_deliveries(desk: Desk, key: str) -> None:
    """Let everything that this subscription is owed be given up."""
    with desk.context.database.transaction() as session:
        for delivery in session.exec(select(Delivery).where(col(Delivery.subscription_id) == key)):
            delivery.status = DeliveryStatus.FAILED
            session.add(delivery)


def enable(desk: Desk, key: str) -> None:
    """Let it be past its ping."""
    with desk.context.database.transaction() as session:
        row = readiness.lock(session, [key])[key]
        health.enable(session, desk.context.vault, row, now=NOW)


def statuses(desk: Desk, key: str) -> list[str]:
    """Return where this subscription's deliveries stand."""
    with desk.context.database.snapshot() as session:
        mine = select(Delivery).where(col(Delivery.subscription_id) == key)
        return [delivery.status for delivery in session.exec(mine)]


def first_delivery(desk: Desk, key: str) -> str:
    """Return the id of one of its deliveries."""
    with desk.context.database.snapshot() as session:
        mine = select(Delivery).where(col(Delivery.subscription_id) == key)
        return session.exec(mine.order_by(col(Delivery.id))).all()[0].id


def acts(desk: Desk) -> list[str]:
    """Return what people did, in order."""
    with desk.context.database.snapshot() as session:
        return [act.name for act in session.exec(select(StaffAct).order_by(col(StaffAct.id)))]
