"""What becomes of an invoice, told over real HTTP between real processes."""

from datetime import UTC, datetime, timedelta

from tests.flows.client import a_name
from tests.flows.processes import HTTP, eventually
from tests.flows.stack import API_KEY, Shop, Stack

MAIN_STORY = ["invoice.created", "invoice.pushed", "invoice.authorized", "invoice.captured"]


def test_main_story_push_to_captured_is_told_once_in_order(stack: Stack, shop: Shop) -> None:
    """I send an invoice, my customer approves, I capture: I am told of each step, once."""
    name, api = a_name("story"), stack.api

    api.create(name)
    api.reaches(name, "pushed")
    stack.phone.approve(name)
    api.reaches(name, "authorized")
    api.act(name, "capture", wait_s=10)
    eventually(lambda: shop.told(name) == MAIN_STORY, what="told")

    assert api.invoice(name)["aggregate"]["capturedAmount"]["value"] == 20_000
    effects = [e["effect"] for e in stack.phone.effects(name)]
    assert effects == ["created", "authorized", "captured"]
    mine = [r for r in shop.app.received if name.encode() in r.body]
    assert all(r.is_verified for r in mine)
    assert [r.event["sequence"] for r in mine] == [1, 2, 3, 4]
    assert [h["sequence"] for h in api.history(name)] == [1, 2, 3, 4]


def test_feed_shows_the_bytes_that_the_subscriber_got(stack: Stack, shop: Shop) -> None:
    """What I read in the feed is byte for byte what I was sent."""
    name = a_name("feed")
    stack.api.create(name, wait_s=10)
    eventually(lambda: len(shop.told(name)) == 2, what="told")
    mine = [r for r in shop.app.received if name.encode() in r.body]

    url = f"{stack.service[-1].url}/v1/events?limit=200"
    found, cursor = b"", "_first"
    while b'"tryLater":true' not in found:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        answer = HTTP.get(f"{url}&cursor={cursor}", headers=headers)
        found, cursor = found + answer.content, answer.json()["cursor"]

    assert [found.count(r.body) for r in mine] == [1, 1]
    assert [r.webhook_id for r in mine] == [r.event["id"] for r in mine]


def test_automatic_capture_takes_the_money_without_being_asked(stack: Stack, shop: Shop) -> None:
    """With `capture: automatic` an approved invoice is captured by itself, once."""
    name = a_name("auto")

    stack.api.create(name, capture="automatic")
    stack.phone.approve(name)
    captured = stack.api.reaches(name, "captured")

    assert captured["aggregate"]["capturedAmount"]["value"] == 20_000
    effects = [e["effect"] for e in stack.phone.effects(name)]
    assert effects == ["created", "authorized", "captured"]
    eventually(lambda: shop.told(name) == MAIN_STORY, what="told")


def test_partial_capture_refund_and_release_add_up(stack: Stack, shop: Shop) -> None:
    """I take a part, give some of it back, release the rest: the sums are Vipps's own."""
    name, api = a_name("parts"), stack.api
    api.create(name)
    stack.phone.approve(name)
    api.reaches(name, "authorized")

    answers = [
        api.act(name, "capture", {"amount": nok(12_000)}, wait_s=20),
        api.act(name, "refund", {"amount": nok(5_000)}, wait_s=20),
        api.act(name, "cancel", wait_s=20),
    ]

    assert [a.status_code for a in answers] == [200, 200, 200], [a.text for a in answers]
    found = api.invoice(name)
    assert found["state"] == "captured"
    assert found["aggregate"] == stack.phone.payments()[name]["aggregate"]
    sums = {key: value["value"] for key, value in found["aggregate"].items()}
    assert sums == {
        "authorizedAmount": 20_000,
        "capturedAmount": 12_000,
        "refundedAmount": 5_000,
        "cancelledAmount": 8_000,
    }
    again = ["invoice.captured", "invoice.captured"]
    eventually(lambda: shop.told(name) == [*MAIN_STORY, *again], what="told")
    too_much = api.act(name, "refund", {"amount": nok(7_001)})
    assert (too_much.status_code, too_much.json()["code"]) == (409, "amount_too_high")
    assert api.act(name, "refund", wait_s=20).json()["state"] == "refunded"


def test_cancel_before_authorization_withdraws_the_request(stack: Stack, shop: Shop) -> None:
    """A request that I cancel in time can't be approved any more; the invoice is terminated."""
    name, api = a_name("withdrawn"), stack.api
    api.create(name, wait_s=10)

    answer = api.act(name, "cancel", wait_s=20)

    assert (answer.status_code, answer.json()["state"]) == (200, "terminated")
    assert stack.phone.act("approve", name) == 409
    told = ["invoice.created", "invoice.pushed", "invoice.terminated"]
    eventually(lambda: shop.told(name) == told, what="told")


def test_cancel_after_authorization_releases_the_money(stack: Stack, shop: Shop) -> None:
    """Cancelling an approved invoice gives the reservation back."""
    name, api = a_name("released"), stack.api
    api.create(name)
    stack.phone.approve(name)
    api.reaches(name, "authorized")

    answer = api.act(name, "cancel", wait_s=20)

    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert answer.json()["aggregate"]["cancelledAmount"]["value"] == 20_000
    told = [*MAIN_STORY[:3], "invoice.cancelled"]
    eventually(lambda: shop.told(name) == told, what="told")


def test_customer_who_says_no_aborts_the_invoice(stack: Stack, shop: Shop) -> None:
    """My customer declines: I am told, and I may ask again."""
    name = a_name("declined")
    stack.api.create(name)

    stack.phone.reject(name)
    aborted = stack.api.reaches(name, "aborted")

    assert aborted["availableActions"] == ["push", "paid-elsewhere"]
    told = ["invoice.created", "invoice.pushed", "invoice.aborted"]
    eventually(lambda: shop.told(name) == told, what="told")


def test_payment_that_lapses_postpones_or_ends_the_invoice(lonely: Stack) -> None:
    """A request that lapses ends an invoice that was payable as long; a longer one goes on."""
    api, short, long = lonely.api, a_name("short"), a_name("long")
    soon = datetime.now(UTC) + timedelta(hours=2)
    api.create(short, payableUntil=soon.strftime("%Y-%m-%dT%H:%M:%SZ"), wait_s=10)
    api.create(long, wait_s=10)

    lonely.phone.advance(25 * 3600)

    api.reaches(short, "expired")
    postponed = api.reaches(long, "soft_dismissed")
    assert "push" in postponed["availableActions"]


def nok(value: int) -> dict[str, object]:
    """Return an amount in Norwegian øre."""
    return {"currency": "NOK", "value": value}
