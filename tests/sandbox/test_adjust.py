"""Capture, refund and cancel."""

from typing import Any

import pytest

from tests.sandbox.harness import Merchant, a_long_payment, a_payment, code_of

REFERENCE = "invoice-0001"


def authorized(merchant: Merchant, **changes: Any) -> Merchant:
    """Return the merchant with a payment that the customer approved."""
    assert merchant.create(a_payment(REFERENCE, **changes)).status_code == 201
    assert merchant.act("approve", REFERENCE).status_code == 200
    return merchant


def sums(merchant: Merchant) -> tuple[int, ...]:
    """Return authorized, captured, refunded and cancelled."""
    aggregate = merchant.get(REFERENCE)["aggregate"]
    names = ("authorizedAmount", "capturedAmount", "refundedAmount", "cancelledAmount")
    return tuple(aggregate[name]["value"] for name in names)


def test_capture_in_parts_adds_up(merchant: Merchant) -> None:
    """A reservation is taken in parts, each with its own event and pspReference."""
    authorized(merchant)

    first = merchant.adjust("capture", REFERENCE, value=5_000, key="c1")
    second = merchant.adjust("capture", REFERENCE, value=15_000, key="c2")

    assert (first.status_code, second.status_code) == (200, 200)
    assert sums(merchant) == (20_000, 20_000, 0, 0)
    events = merchant.events(REFERENCE)
    assert [e["name"] for e in events] == ["CREATED", "AUTHORIZED", "CAPTURED", "CAPTURED"]
    assert [e["amount"]["value"] for e in events] == [20_000, 20_000, 5_000, 15_000]
    assert len({e["pspReference"] for e in events}) == 4
    assert [e.get("idempotencyKey") for e in events[2:]] == ["c1", "c2"]


def test_success_of_an_adjustment_has_vippss_odd_content_type(merchant: Merchant) -> None:
    """Capture, refund and cancel succeed as problem+json, with the creation's pspReference."""
    authorized(merchant)
    created = merchant.events(REFERENCE)[0]["pspReference"]

    answers = [
        merchant.adjust("capture", REFERENCE, value=5_000, key="c1"),
        merchant.adjust("refund", REFERENCE, value=5_000, key="r1"),
        merchant.cancel(REFERENCE),
    ]

    assert {a.headers["content-type"] for a in answers} == {"application/problem+json"}
    assert {a.json()["pspReference"] for a in answers} == {created}
    assert {a.json()["state"] for a in answers} == {"AUTHORIZED"}
    assert sums(merchant) == (20_000, 5_000, 5_000, 15_000)


@pytest.mark.parametrize(
    ("value", "currency", "code"),
    [
        (20_001, "NOK", "6090"),
        (0, "NOK", "4040"),
        (100, "DKK", "4040"),
        (-1, "NOK", "modificationAmount.value"),
    ],
)
def test_capture_of_a_bad_amount_is_refused(
    merchant: Merchant, value: int, currency: str, code: str
) -> None:
    """Only what is reserved can be taken, in its own currency."""
    authorized(merchant)

    answer = merchant.adjust("capture", REFERENCE, value=value, key="c1", currency=currency)

    assert (answer.status_code, code_of(answer)) == (400, code)
    assert sums(merchant) == (20_000, 0, 0, 0)


def test_capture_of_the_wrong_state_is_refused(merchant: Merchant) -> None:
    """Before approval, after the end, and when nothing is left, there is nothing to take."""
    codes = []

    merchant.create(a_payment(REFERENCE))
    codes.append(code_of(merchant.adjust("capture", REFERENCE, value=1, key="1")))
    merchant.act("approve", REFERENCE)
    merchant.adjust("capture", REFERENCE, value=20_000, key="2")
    codes.append(code_of(merchant.adjust("capture", REFERENCE, value=1, key="3")))
    for act, reference in (("reject", "invoice-0002"), ("approve", "invoice-0003")):
        merchant.create(a_payment(reference))
        merchant.act(act, reference)
    codes.append(code_of(merchant.adjust("capture", "invoice-0002", value=1, key="4")))
    merchant.cancel("invoice-0003")
    codes.append(code_of(merchant.adjust("capture", "invoice-0003", value=1, key="5")))
    codes.append(code_of(merchant.adjust("capture", "invoice-none", value=1, key="6")))

    assert codes == ["6080", "6170", "6200", "6070", "5090"]


def test_capture_in_parts_where_it_is_not_allowed_is_refused(merchant: Merchant) -> None:
    """Some sales units must take everything at once."""
    path = f"/sandbox/sales-units/{merchant.msn}"
    merchant.client.put(path, json={"partialCapture": False})
    authorized(merchant)

    answer = merchant.adjust("capture", REFERENCE, value=5_000, key="c1")

    assert code_of(answer) == "6140"
    assert merchant.adjust("capture", REFERENCE, value=20_000, key="c2").status_code == 200


@pytest.mark.parametrize(("currency", "days"), [("NOK", 180), ("DKK", 14)])
def test_capture_after_the_deadline_is_refused(
    lone_merchant: Merchant, currency: str, days: int
) -> None:
    """A reservation is good for 180 days in Norway and 14 elsewhere, for cancelling too."""
    amount = {"currency": currency, "value": 20_000}
    merchant = authorized(lone_merchant, amount=amount)

    merchant.advance(days * 86_400 - 60)
    in_time = merchant.adjust("capture", REFERENCE, value=1, key="c1", currency=currency)
    merchant.advance(61)
    late = merchant.adjust("capture", REFERENCE, value=1, key="c2", currency=currency)

    assert (in_time.status_code, code_of(late)) == (200, "6100")
    assert code_of(merchant.cancel(REFERENCE)) == "6030"


def test_refund_beyond_what_was_captured_is_refused(merchant: Merchant) -> None:
    """Only captured money can be given back, and only once."""
    codes = []

    merchant.create(a_payment(REFERENCE))
    codes.append(code_of(merchant.adjust("refund", REFERENCE, value=1, key="1")))
    merchant.act("approve", REFERENCE)
    codes.append(code_of(merchant.adjust("refund", REFERENCE, value=1, key="2")))
    merchant.adjust("capture", REFERENCE, value=5_000, key="3")
    codes.append(code_of(merchant.adjust("refund", REFERENCE, value=5_001, key="4")))
    merchant.adjust("refund", REFERENCE, value=5_000, key="5")
    codes.append(code_of(merchant.adjust("refund", REFERENCE, value=1, key="6")))
    merchant.create(a_payment("invoice-0002"))
    merchant.act("reject", "invoice-0002")
    codes.append(code_of(merchant.adjust("refund", "invoice-0002", value=1, key="7")))

    assert codes == ["6020", "6150", "6150", "6180", "6210"]
    assert sums(merchant) == (20_000, 5_000, 5_000, 0)


def test_refund_after_a_year_is_refused(lone_merchant: Merchant) -> None:
    """Money can be given back for 365 days."""
    merchant = authorized(lone_merchant)
    merchant.adjust("capture", REFERENCE, value=5_000, key="c")

    merchant.advance(365 * 86_400 + 1)

    assert code_of(merchant.adjust("refund", REFERENCE, value=1, key="r")) == "6220"


def test_adjustment_without_a_key_is_refused(merchant: Merchant) -> None:
    """Capture and refund need an idempotency key, cancel does not."""
    authorized(merchant)
    amount = {"modificationAmount": {"currency": "NOK", "value": 1}}

    for operation in ("capture", "refund"):
        path = f"/epayment/v1/payments/{REFERENCE}/{operation}"
        assert code_of(merchant.call("POST", path, body=amount)) == "Idempotency-Key"
    assert merchant.cancel(REFERENCE).status_code == 200


def test_cancel_before_approval_terminates(merchant: Merchant) -> None:
    """The request disappears from the app; the whole amount counts as cancelled."""
    merchant.create(a_payment(REFERENCE))

    answer = merchant.cancel(REFERENCE, body={"cancelTransactionOnly": True}, key="x")

    assert (answer.status_code, answer.json()["state"]) == (200, "TERMINATED")
    assert sums(merchant) == (0, 0, 0, 20_000)
    assert merchant.names(REFERENCE) == ["CREATED", "TERMINATED"]
    assert "idempotencyKey" not in merchant.events(REFERENCE)[1]
    assert merchant.effects()[-1]["idempotencyKey"] == "x"


def test_cancel_after_approval_releases_the_whole_rest(merchant: Merchant) -> None:
    """What is not captured is released at once; the state stays AUTHORIZED."""
    authorized(merchant)
    merchant.adjust("capture", REFERENCE, value=5_000, key="c")

    answer = merchant.cancel(REFERENCE)

    assert answer.json()["state"] == "AUTHORIZED"
    assert sums(merchant) == (20_000, 5_000, 0, 15_000)


def test_cancel_of_the_transaction_only_spares_a_reservation(merchant: Merchant) -> None:
    """With `cancelTransactionOnly` a customer who was faster keeps their approval."""
    authorized(merchant)

    answer = merchant.cancel(REFERENCE, body={"cancelTransactionOnly": True})

    assert (answer.status_code, code_of(answer)) == (400, "6060")
    assert sums(merchant) == (20_000, 0, 0, 0)


def test_cancel_of_the_wrong_state_is_refused(merchant: Merchant) -> None:
    """What is over, captured or cancelled cannot be cancelled."""
    codes = []

    authorized(merchant)
    merchant.adjust("capture", REFERENCE, value=20_000, key="c")
    codes.append(code_of(merchant.cancel(REFERENCE)))
    merchant.create(a_payment("invoice-0002"))
    merchant.act("approve", "invoice-0002")
    merchant.cancel("invoice-0002")
    codes.append(code_of(merchant.cancel("invoice-0002")))
    merchant.create(a_payment("invoice-0003"))
    merchant.cancel("invoice-0003")
    codes.append(code_of(merchant.cancel("invoice-0003")))
    merchant.create(a_payment("invoice-0004"))
    merchant.act("reject", "invoice-0004")
    codes.append(code_of(merchant.cancel("invoice-0004")))
    codes.append(code_of(merchant.cancel("invoice-0005")))
    codes.append(code_of(merchant.cancel("invoice-0004", body={"cancelTransactionOnly": "yes"})))

    assert codes == ["6040", "6190", "6190", "6050", "5090", "cancelTransactionOnly"]


def test_cancel_again_with_its_key_gives_the_same_answer(merchant: Merchant) -> None:
    """With a key, a repeated cancel is answered as the first one."""
    merchant.create(a_payment(REFERENCE))
    first = merchant.cancel(REFERENCE, key="x")

    again = merchant.cancel(REFERENCE, key="x")

    assert (again.status_code, again.content) == (200, first.content)


def test_payment_being_authorized_is_locked(merchant: Merchant) -> None:
    """While the customer approves, nothing can be done; the same key works afterwards."""
    merchant.create(a_long_payment(REFERENCE))
    assert merchant.act("begin-authorizing", REFERENCE).json()["isAuthorizing"] is True

    cancel = merchant.cancel(REFERENCE, key="x")
    capture = merchant.adjust("capture", REFERENCE, value=1, key="c")
    postpone = merchant.act("postpone", REFERENCE)

    assert (cancel.status_code, code_of(cancel)) == (423, "6250")
    assert (capture.status_code, code_of(capture)) == (423, "6160")
    assert postpone.status_code == 409
    merchant.act("approve", REFERENCE)
    assert merchant.cancel(REFERENCE, key="x").status_code == 200
    assert merchant.adjust("capture", REFERENCE, value=1, key="c").status_code == 400


def test_read_of_an_unknown_payment_is_not_found(merchant: Merchant) -> None:
    """A reference that this sales unit never used is not found."""
    for path in ("", "/events"):
        answer = merchant.call("GET", f"/epayment/v1/payments/invoice-none{path}")
        assert (answer.status_code, code_of(answer)) == (404, "5090")
