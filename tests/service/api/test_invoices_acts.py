"""Push, capture, refund, cancel, soft-dismiss: what is answered, when, and what is refused."""

import asyncio
from typing import Any

import pytest

from service.api.invoices import run_act
from service.api.schemas import ActIn
from service.errors import Conflict
from service.ledger.book import Book
from service.ledger.types import Ask
from service.store.tables import Act, Command, Invoice, InvoiceRecord
from statemachine import Trigger
from tests.service.api.shop import INVOICE, ONLY_SQLITE, Shop

pytestmark = pytest.mark.anyio

ONE = "/v1/invoices/acme-2026-000123"


def _nok(value: int) -> dict[str, Any]:
    return {"amount": {"currency": "NOK", "value": value}}


async def _authorized(shop: Shop) -> None:
    await shop.create()
    shop.let_be_authorized()


async def test_capture_answers_202_with_the_invoice_while_vipps_works(shop: Shop) -> None:
    """What I ask is decided and on its way; the state moves when Vipps says so."""
    await _authorized(shop)
    before = await shop.client.get(ONE)

    answer = await shop.client.post(f"{ONE}/capture", json={**_nok(50_000), "reason": "sent"})

    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "authorized"
    assert answer.headers["ETag"] != before.headers["ETag"]
    assert answer.headers["ETag"] == (await shop.client.get(ONE)).headers["ETag"]
    command = shop.all(Command, Command.kind == "capture")[0]
    assert command.amount_minor == 50_000
    act = shop.all(Act, Act.id == command.act_id)[0]
    assert (act.actor, act.reason) == (f"key:{shop.key_id}", "sent")


async def test_capture_without_a_body_takes_all_that_remains(shop: Shop) -> None:
    """The usual case needs no amount."""
    await _authorized(shop)

    answer = await shop.client.post(f"{ONE}/capture")

    assert answer.status_code == 202
    assert shop.all(Command, Command.kind == "capture")[0].amount_minor == 200_000


async def test_capture_of_more_than_remains_counts_what_is_under_way(shop: Shop) -> None:
    """Two captures together can't take more than was reserved."""
    await _authorized(shop)
    await shop.client.post(f"{ONE}/capture", json=_nok(150_000))

    answer = await shop.client.post(f"{ONE}/capture", json=_nok(50_001))

    assert (answer.status_code, answer.json()["code"]) == (409, "amount_too_high")
    assert "capture" in answer.json()["availableActions"]
    assert len(shop.all(Command, Command.kind == "capture")) == 1


async def test_refund_of_captured_money_is_decided(shop: Shop) -> None:
    """What was taken can be given back, all or a part."""
    await _authorized(shop)
    shop.let_be_captured(200_000)

    part = await shop.client.post(f"{ONE}/refund", json=_nok(1))
    rest = await shop.client.post(f"{ONE}/refund")

    assert [part.status_code, rest.status_code] == [202, 202], part.text
    refunds = shop.all(Command, Command.kind == "refund")
    assert [command.amount_minor for command in refunds] == [1, 199_999]


@ONLY_SQLITE
@pytest.mark.parametrize("act", ["capture", "refund", "cancel"])
async def test_act_in_another_currency_names_the_field(shop: Shop, act: str) -> None:
    """Nobody refunds 100 euro of a 100-kroner invoice by mistake."""
    await _authorized(shop)
    shop.let_be_captured(100_000)

    answer = await shop.client.post(
        f"{ONE}/{act}", json={"amount": {"currency": "EUR", "value": 100}}
    )

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "amount.currency"


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("act", "body", "field"),
    [
        ("capture", {"amount": {"currency": "NOK", "value": 0}}, "amount.value"),
        ("capture", {"amount": {"currency": "NOK", "value": 1.5}}, "amount.value"),
        ("capture", {"amount": 5}, "amount"),
        ("capture", {"reason": ""}, "reason"),
        ("capture", {"reason": "x" * 501}, "reason"),
        ("refund", {"reason": "a\x00"}, "reason"),
        ("cancel", {"state": "cancelled"}, "state"),
        ("cancel", {"amount": {"currency": "NOK", "value": 5}}, "amount"),
        ("soft-dismiss", {"amount": {"currency": "NOK", "value": 5}}, "amount"),
        ("push", {"flow": "QR"}, "flow"),
        ("push", {"payableUntil": "tomorrow"}, "payableUntil"),
        ("push", {"payableUntil": "2020-01-01T00:00:00Z"}, "payableUntil"),
        ("push", {"customer": {"phoneNumber": "4791234567"}}, "customer"),
    ],
)
async def test_act_with_a_wrong_field_names_it_and_does_nothing(
    shop: Shop, act: str, body: dict[str, Any], field: str
) -> None:
    """A mistake in the body moves no money."""
    await shop.create(push=False)
    before = (await shop.client.get(ONE)).json()

    answer = await shop.client.post(f"{ONE}/{act}", json=body)

    assert answer.status_code in (409, 422)
    if answer.status_code == 422:
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    else:
        assert act in ("capture", "refund")
    assert (await shop.client.get(ONE)).json() == before


@pytest.mark.parametrize("act", ["capture", "refund", "soft-dismiss"])
async def test_act_that_the_state_forbids_says_what_is_possible(shop: Shop, act: str) -> None:
    """A refused act changes nothing and tells me what I could do instead."""
    await shop.create()

    answer = await shop.client.post(f"{ONE}/{act}")

    assert (answer.status_code, answer.json()["code"]) == (409, "action_refused")
    assert (
        answer.json()["availableActions"] == (await shop.client.get(ONE)).json()["availableActions"]
    )
    assert "push" in answer.json()["availableActions"]


async def test_cancel_before_vipps_was_asked_is_done_at_once(shop: Shop) -> None:
    """An invoice that nobody has seen is withdrawn without asking Vipps."""
    await shop.create()

    answer = await shop.client.post(f"{ONE}/cancel", json={"reason": "wrong customer"})

    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "terminated"
    history = (await shop.client.get(f"{ONE}/transitions")).json()["items"]
    assert (history[-1]["trigger"], history[-1]["source"]) == ("terminate", "api")


async def test_cancel_of_a_reservation_answers_202(shop: Shop) -> None:
    """Releasing reserved money is Vipps's to do; asking twice is once."""
    await _authorized(shop)

    first = await shop.client.post(f"{ONE}/cancel")
    second = await shop.client.post(f"{ONE}/cancel")

    assert [first.status_code, second.status_code] == [202, 202]
    assert len(shop.all(Command, Command.kind == "cancel_payment")) == 1


async def test_soft_dismiss_is_done_at_once(shop: Shop) -> None:
    """When a customer tells me on the phone that they'll pay later, I note it."""
    await shop.create()
    shop.report("CREATED", 200_000, INVOICE["reference"])

    answer = await shop.client.post(f"{ONE}/soft-dismiss", json={"reason": "called"})

    assert (answer.status_code, answer.json()["state"]) == (200, "soft_dismissed")


async def test_push_of_an_invoice_by_link_makes_a_payment_at_once(shop: Shop) -> None:
    """With a page of my own I ask for the payment's link myself."""
    await shop.create(customer=None, flow="WEB_REDIRECT")

    answer = await shop.client.post(f"{ONE}/push", json={"flow": "WEB_REDIRECT"})

    assert answer.status_code == 202
    assert answer.json()["payments"][0]["userFlow"] == "WEB_REDIRECT"


async def test_push_in_the_app_without_a_customer_gets_409(shop: Shop) -> None:
    """There must be somebody to ask."""
    await shop.create(customer=None, flow="WEB_REDIRECT")

    answer = await shop.client.post(f"{ONE}/push", json={"flow": "PUSH_MESSAGE"})

    assert (answer.status_code, answer.json()["code"]) == (409, "customer_missing")


async def test_push_with_a_new_last_day_keeps_it(shop: Shop) -> None:
    """I can give the customer more time when I ask again."""
    await shop.create(push=False)

    answer = await shop.client.post(
        f"{ONE}/push", json={"payableUntil": "2027-01-31T12:00:00+01:00"}
    )

    assert answer.json()["payableUntil"] == "2027-01-31T11:00:00.000Z"


async def test_act_that_the_machine_refuses_says_what_is_possible(shop: Shop) -> None:
    """Whoever says no, the answer has the same form."""
    await shop.create()

    def refused(book: Book, invoice: InvoiceRecord, _ask: Ask, _body: ActIn) -> None:
        book.decide(invoice, Trigger.REFUND)

    with pytest.raises(Conflict) as caught:
        shop.on_invoice(lambda book, one: run_act(refused, book, one, Ask("test"), ActIn()))

    assert caught.value.code == "action_refused"
    assert list(caught.value.available_actions or ()) == ["push", "cancel", "paid-elsewhere"]


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ("{etag}", 202),
        ("*", 202),
        ('"0", {etag}', 202),
        ('"0"', 412),
        ("W/{etag}", 412),
        ("0", 412),
        ("", 412),
        ("{etag}{etag}", 412),
    ],
)
async def test_act_with_if_match_acts_on_that_version_only(
    shop: Shop, if_match: str, status: int
) -> None:
    """I never act on a state that I have not seen."""
    await _authorized(shop)
    etag = (await shop.client.get(ONE)).headers["ETag"]

    answer = await shop.client.post(
        f"{ONE}/capture", headers={"If-Match": if_match.replace("{etag}", etag)}
    )

    assert answer.status_code == status, answer.text
    assert len(shop.all(Command, Command.kind == "capture")) == (status == 202)


async def test_etag_moves_when_the_customer_shown_in_it_changes(shop: Shop) -> None:
    """The version covers all that I see, the customer's name too."""
    before = await shop.create()
    shop.later(minutes=1)

    await shop.create(
        reference="acme-2026-000124", customer={"phoneNumber": "4791234567", "name": "Ola"}
    )

    after = await shop.client.get(ONE)
    assert after.json()["customer"]["name"] == "Ola"
    assert after.headers["ETag"] != before.headers["ETag"]


async def test_create_with_if_match_finds_nothing_to_match(shop: Shop) -> None:
    """A new invoice has no version yet."""
    answer = await shop.client.post("/v1/invoices", json={}, headers={"If-Match": '"1"'})

    assert answer.status_code == 422  # the body is looked at first
    body = {"amount": {"currency": "NOK", "value": 100}, "flow": "WEB_REDIRECT"}
    answer = await shop.client.post("/v1/invoices", json=body, headers={"If-Match": '"1"'})
    assert answer.status_code == 412
    assert shop.all(Invoice) == []


async def test_wait_answers_when_vipps_has_done_it(shop: Shop) -> None:
    """With `wait` one call is enough: the answer shows the outcome."""
    await _authorized(shop)

    asked = asyncio.create_task(shop.client.post(f"{ONE}/capture?wait=20"))
    await _until_decided(shop, "capture")
    shop.let_be_captured(200_000)
    answer = await asked

    assert (answer.status_code, answer.json()["state"]) == (200, "captured")
    assert answer.headers["ETag"] == (await shop.client.get(ONE)).headers["ETag"]


async def test_wait_that_is_over_answers_202(shop: Shop) -> None:
    """When Vipps takes longer than I want to wait, I am told that it goes on."""
    await _authorized(shop)

    answer = await shop.client.post(f"{ONE}/capture?wait=1")

    assert (answer.status_code, answer.json()["state"]) == (202, "authorized")


async def test_wait_for_an_answered_command_goes_on_until_the_log_was_read(shop: Shop) -> None:
    """Vipps's yes to a capture is not yet the money: its log says when it is."""
    await _authorized(shop)

    asked = asyncio.create_task(shop.client.post(f"{ONE}/capture?wait=1"))
    await _until_decided(shop, "capture")
    shop.settle_commands()
    answer = await asked

    assert answer.status_code == 202


async def test_wait_ends_with_the_problem_that_vipps_names(shop: Shop) -> None:
    """A no from Vipps is answered as soon as it is known, with its reason."""
    asked = asyncio.create_task(_create_and_wait(shop))
    await _until_decided(shop, "create_payment")
    shop.settle_commands("failed")
    shop.on_invoice(_have_a_problem)
    answer = await asked

    assert answer.status_code == 201
    assert answer.json()["problem"]["code"] == "7010"


async def test_wait_ends_when_its_own_command_failed(shop: Shop) -> None:
    """A final refusal is an outcome, too."""
    await _authorized(shop)

    asked = asyncio.create_task(shop.client.post(f"{ONE}/capture?wait=20"))
    await _until_decided(shop, "capture")
    shop.settle_commands("failed")
    answer = await asked

    assert answer.status_code == 200
    assert answer.json()["state"] == "authorized"


@ONLY_SQLITE
@pytest.mark.parametrize("query", ["wait=31", "wait=-1", "wait=1.5", "wait=x", "wait=1&wait=2",
                                   "wait=٣", "waits=1"])  # fmt: skip
async def test_act_with_a_wrong_parameter_names_it(shop: Shop, query: str) -> None:
    """A parameter that I misspelt is not silently left out."""
    await _authorized(shop)

    answer = await shop.client.post(f"{ONE}/capture?{query}")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == query.partition("=")[0]
    assert shop.all(Command, Command.kind == "capture") == []


async def _create_and_wait(shop: Shop) -> Any:
    return await shop.client.post("/v1/invoices?wait=20", json=INVOICE)


async def _until_decided(shop: Shop, kind: str) -> None:
    """Return once the request that waits has committed its command."""
    await shop.until_any(Command, Command.kind == kind)


def _have_a_problem(book: Book, invoice: InvoiceRecord) -> None:
    invoice.problem = {
        "command": "create_payment",
        "code": "7010",
        "status": 400,
        "detail": "The user can't be asked.",
        "traceId": None,
        "at": "2026-11-22T10:00:00.000Z",
    }
    book.touch(invoice)
