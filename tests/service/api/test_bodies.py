"""What a body may hold, field by field, and that nothing else ever gets further."""

import itertools
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from starlette.requests import Request

from service.api.bodies import BODY_BYTES_MAX, check, parse_json, read_body
from service.api.creation import creation_hash, new_invoice
from service.api.errors import NotJson
from service.api.fields import kid_is_valid
from service.api.schemas import ActIn, InvoiceIn, PushIn, SubscriptionIn
from service.errors import FieldError, InvalidInput, ServiceError
from service.store.tables import Invoice
from tests.service.api.shop import INVOICE, PHONE, Shop

NOK = {"currency": "NOK", "value": 200_000}
LINE = {
    "name": "Travel insurance",
    "id": "12345",
    "totalAmount": 200_000,
    "totalAmountExcludingTax": 160_000,
    "totalTaxAmount": 40_000,
    "taxRate": 2500,
}


def _wrong(**changed: Any) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidInput) as caught:
        check(InvoiceIn, {**INVOICE, **changed})
    return caught.value.errors


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"amount": None}, "amount"),
        ({"amount": 200_000}, "amount"),
        ({"amount": {"currency": "NOK"}}, "amount.value"),
        ({"amount": {"currency": "NOK", "value": 99}}, "amount.value"),
        ({"amount": {"currency": "NOK", "value": 65_000_001}}, "amount.value"),
        ({"amount": {"currency": "EUR", "value": 0}}, "amount.value"),
        ({"amount": {"currency": "EUR", "value": 10**30}}, "amount.value"),
        ({"amount": {"currency": "NOK", "value": -200_000}}, "amount.value"),
        ({"amount": {"currency": "NOK", "value": 2000.0}}, "amount.value"),
        ({"amount": {"currency": "NOK", "value": "200000"}}, "amount.value"),
        ({"amount": {"currency": "NOK", "value": True}}, "amount.value"),
        ({"amount": {"currency": "SEK", "value": 200_000}}, "amount.currency"),
        ({"amount": {"currency": "nok", "value": 200_000}}, "amount.currency"),
        ({"amount": {**NOK, "vat": 1}}, "amount.vat"),
        ({"state": "captured"}, "state"),
        ({"salesUnit": "654321"}, "salesUnit"),
        ({"due_date": "2026-12-01"}, "due_date"),
        ({"reference": "short12"}, "reference"),
        ({"reference": "a" * 61}, "reference"),
        ({"reference": "123456789"}, "reference"),
        ({"reference": "acme_2026"}, "reference"),
        ({"reference": "acme/2026"}, "reference"),
        ({"reference": "acme-2026\n"}, "reference"),
        ({"reference": 12345678}, "reference"),
        ({"customer": None}, "customer"),
        ({"customer": {}}, "customer"),
        ({"customer": PHONE}, "customer"),
        ({"customer": {"name": "Kari"}}, "customer"),
        ({"customer": {"id": "cus_" + "0" * 26, "phoneNumber": PHONE}}, "customer"),
        ({"customer": {"id": "cus_" + "0" * 26, "name": "Kari"}}, "customer.name"),
        ({"customer": {"id": "' OR 1=1 --"}}, "customer.id"),
        ({"customer": {"phoneNumber": "91234567"}}, "customer.phoneNumber"),
        ({"customer": {"phoneNumber": "4" * 16}}, "customer.phoneNumber"),
        ({"customer": {"phoneNumber": "0047 91234567"}}, "customer.phoneNumber"),
        ({"customer": {"phoneNumber": "47-91234567"}}, "customer.phoneNumber"),
        ({"customer": {"phoneNumber": "٤٧٩١٢٣٤٥٦٧"}}, "customer.phoneNumber"),
        ({"customer": {"phoneNumber": -4791234567}}, "customer.phoneNumber"),
        ({"customer": {"phoneNumber": 4791234567.0}}, "customer.phoneNumber"),
        ({"customer": {"phoneNumber": True}}, "customer.phoneNumber"),
        ({"customer": {"phoneNumber": PHONE, "name": ""}}, "customer.name"),
        ({"customer": {"phoneNumber": PHONE, "name": "a\x00b"}}, "customer.name"),
        ({"description": "ab"}, "description"),
        ({"description": "a" * 101}, "description"),
        ({"description": "Invoice\n123"}, "description"),
        ({"description": "Invoice\x00123"}, "description"),
        ({"kid": "1234567"}, "kid"),
        ({"kid": "1"}, "kid"),
        ({"kid": "0" * 26}, "kid"),
        ({"kid": 1234566}, "kid"),
        ({"dueDate": "2026-02-30"}, "dueDate"),
        ({"dueDate": "20261201"}, "dueDate"),
        ({"dueDate": "2026-12-01T00:00:00Z"}, "dueDate"),
        ({"dueDate": 20261201}, "dueDate"),
        ({"payableUntil": "2026-12-15"}, "payableUntil"),
        ({"payableUntil": "2026-12-15T00:00:00"}, "payableUntil"),
        ({"payableUntil": "9999-12-31T23:59:59-12:00"}, "payableUntil"),
        ({"payableUntil": 1_800_000_000}, "payableUntil"),
        ({"flow": "push_message"}, "flow"),
        ({"capture": "later"}, "capture"),
        ({"push": "true"}, "push"),
        ({"push": 1}, "push"),
        ({"replaces": "not a name"}, "replaces"),
        ({"orderLines": []}, "orderLines"),
        ({"orderLines": [LINE] * 201}, "orderLines"),
        ({"orderLines": [{**LINE, "totalAmount": 199_999}]}, "orderLines"),
        ({"orderLines": [LINE, LINE]}, "orderLines"),
        ({"orderLines": [LINE, {**LINE, "taxRate": None}]}, "orderLines.1.taxRate"),
        ({"orderLines": [{**LINE, "taxRate": 10_001}]}, "orderLines.0.taxRate"),
        ({"orderLines": [{**LINE, "totalTaxAmount": -1}]}, "orderLines.0.totalTaxAmount"),
        ({"orderLines": [{**LINE, "name": ""}]}, "orderLines.0.name"),
        ({"orderLines": [{**LINE, "productUrl": "ftp://x.example"}]}, "orderLines.0.productUrl"),
        (
            {"orderLines": [{**LINE, "unitInfo": {"unitPrice": 1, "quantity": "1,5"}}]},
            "orderLines.0.unitInfo.quantity",
        ),
        ({"documentUrl": "http://erp.example/1.pdf"}, "documentUrl"),
        ({"documentUrl": "https:///1.pdf"}, "documentUrl"),
        ({"documentUrl": "https://user:pw@erp.example/"}, "documentUrl"),
        ({"documentUrl": "https://erp.example:99999/"}, "documentUrl"),
        ({"documentUrl": "https://erp.example/" + "a" * 2029}, "documentUrl"),
        ({"documentUrl": "https://erp.example/å"}, "documentUrl"),
        ({"documentUrl": 'https://erp.example/"'}, "documentUrl"),
        ({"documentUrl": "https://[::1/"}, "documentUrl"),
        ({"returnUrl": "javascript:alert(1)"}, "returnUrl"),
        ({"returnUrl": "//shop.example"}, "returnUrl"),
        ({"metadata": {str(n): "x" for n in range(21)}}, "metadata"),
        ({"metadata": {"a": "x" * 4090}}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"a": None}}, "metadata.a"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": {"a": "\x00"}}, "metadata.a"),
    ],
)
def test_invoice_with_a_wrong_field_names_it(changed: dict[str, Any], field: str) -> None:
    """I am told which field is wrong, as I wrote it, and never what I wrote in it."""
    errors = _wrong(**changed)

    assert [error.field for error in errors] == [field]
    assert PHONE not in errors[0].reason


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": {"currency": "NOK", "value": 100}},
        {"amount": {"currency": "NOK", "value": 65_000_000}},
        {"amount": {"currency": "EUR", "value": 1}},
        {"amount": {"currency": "DKK", "value": 1}},
        {"reference": "a" * 60},
        {"reference": "1234567a"},
        {"reference": None},
        {"customer": {"phoneNumber": "358401234"}},
        {"customer": {"phoneNumber": "4" * 15}},
        {"customer": {"phoneNumber": "+45\u00a012 34 56 78"}},
        {"customer": None, "flow": "WEB_REDIRECT"},
        {"customer": {"id": "cus_01JD0000000000000000000000"}},
        {"description": "æøå"},
        {"kid": "18"},
        {"kid": "0" * 25},
        {"documentUrl": "http://127.0.0.1:8000/1.pdf"},
        {"documentUrl": "http://localhost/1.pdf"},
        {"returnUrl": "https://shop.example"},
        {"metadata": {}},
        {"orderLines": [{**LINE, "totalAmount": 300_000}, {**LINE, "totalAmount": 100_000,
                                                          "isReturn": True}]},
        {"orderLines": [{**LINE, "unitInfo": {"unitPrice": 1, "quantity": "0.822",
                                              "quantityUnit": "KG"}, "discount": 0}]},
    ],
)  # fmt: skip
def test_invoice_at_the_limits_is_accepted(changed: dict[str, Any]) -> None:
    """The limits themselves are allowed."""
    body = check(InvoiceIn, {**INVOICE, **changed})

    assert new_invoice(body).amount_minor >= 1


def test_invoice_with_several_wrong_fields_names_them_all() -> None:
    """One round of mending is enough."""
    errors = _wrong(reference="x", description="y", metadata={"a": 1}, unknown=1)

    assert {e.field for e in errors} == {"reference", "description", "metadata.a", "unknown"}


def test_invoice_with_a_thousand_wrong_members_names_some() -> None:
    """A body that is all wrong does not make a giant answer."""
    errors = _wrong(**{"x" * 500 + str(n): n for n in range(1000)})

    assert len(errors) == 50
    assert max(len(error.field) for error in errors) == 120


@pytest.mark.parametrize("value", [[], "x", 1, None, True])
def test_body_that_is_no_object_is_named_as_a_whole(value: object) -> None:
    """A list is not an invoice."""
    with pytest.raises(InvalidInput) as caught:
        check(InvoiceIn, value)

    assert caught.value.errors[0].field == "body"


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[1,]",
        b'{"amount": NaN}',
        b'{"amount": Infinity}',
        b'{"amount": {"value": 1, "value": 2}}',
        b'{"reference": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 50_000,
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b'"' + b"a" * BODY_BYTES_MAX + b'"',
    ],
)
def test_body_that_readers_could_read_differently_is_not_json(raw: bytes) -> None:
    """What two parsers would not agree about is refused before it means anything."""
    with pytest.raises(NotJson):
        parse_json(raw)


def test_no_body_is_an_empty_object() -> None:
    """`POST …/capture` without a body takes all that remains."""
    assert check(ActIn, parse_json(b"")) == ActIn()


def _mod11_of(payload: str) -> str:
    for digit in "0123456789":
        digits = [int(c) for c in payload + digit]
        weights = [1, *itertools.islice(itertools.cycle(range(2, 8)), len(payload))]
        if sum(d * w for d, w in zip(reversed(digits), weights, strict=True)) % 11 == 0:
            return digit
    return "-"


def _mod10_of(payload: str) -> str:
    for digit in "0123456789":
        digits = [int(c) for c in reversed(payload + digit)]
        doubled = [d if n % 2 == 0 else (2 * d - 9 if d > 4 else 2 * d) for n, d in
                   enumerate(digits)]  # fmt: skip
        if sum(doubled) % 10 == 0:
            return digit
    raise AssertionError


@given(st.from_regex(r"[0-9]{1,24}", fullmatch=True))
def test_kid_is_valid_with_its_check_digit_and_no_other(payload: str) -> None:
    """A KID with one wrong digit would pay somebody else's invoice."""
    right = {_mod10_of(payload), _mod11_of(payload)}

    assert {digit for digit in "0123456789-" if kid_is_valid(payload + digit)} == right


def test_creation_hash_does_not_depend_on_how_it_is_written() -> None:
    """Defaults, null and the sequence of members make no difference; content does."""
    plain = creation_hash(check(InvoiceIn, INVOICE))
    same = dict(reversed(INVOICE.items())) | {"push": True, "replaces": None, "kid": None}
    other = INVOICE | {"push": False}

    assert creation_hash(check(InvoiceIn, same)) == plain
    assert creation_hash(check(InvoiceIn, other)) != plain


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from([PHONE, "NOK", "PUSH_MESSAGE", "2026-12-01", "https://a.example", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*InvoiceIn.model_fields, "dueDate", "orderLines", "phoneNumber", "value"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.sampled_from([InvoiceIn, PushIn, ActIn, SubscriptionIn]), JSON)
def test_check_of_any_json_raises_only_what_merchants_are_told(model: Any, value: object) -> None:
    """Whatever is sent is either right or named; nothing breaks."""
    try:
        check(model, value)
    except InvalidInput as error:
        assert error.errors


@given(st.binary(max_size=64))
def test_parse_json_of_any_bytes_raises_only_not_json(raw: bytes) -> None:
    """Whatever is sent is either JSON or refused as not JSON."""
    try:
        parse_json(raw)
    except ServiceError as error:
        assert isinstance(error, NotJson)


@pytest.mark.anyio
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changed=st.dictionaries(
        st.sampled_from([*INVOICE, "kid", "dueDate", "payableUntil", "metadata", "orderLines"]),
        JSON,
        max_size=3,
    )
)
async def test_create_with_any_member_is_never_our_fault(
    shop: Shop, changed: dict[str, Any]
) -> None:  # fmt: skip
    """No body makes the service fail: it is stored, or refused with the field's name."""
    answer = await shop.client.post("/v1/invoices", json={**INVOICE, **changed})

    assert answer.status_code in (200, 201, 400, 409, 422), answer.text


@pytest.mark.anyio
async def test_create_with_too_large_a_body_gets_413(shop: Shop) -> None:
    """More than 256 KiB is refused before it is read, told or untold."""

    async def untold() -> Any:
        for _ in range(300):
            yield b" " * 1024

    told = await shop.client.post("/v1/invoices", content=b" " * (BODY_BYTES_MAX + 1))
    streamed = await shop.client.post("/v1/invoices", content=untold())

    assert [told.status_code, streamed.status_code] == [413, 413]
    assert told.json()["code"] == "body_too_large"
    assert shop.all(Invoice) == []


@pytest.mark.anyio
async def test_body_that_breaks_off_is_not_read_as_a_whole() -> None:
    """When my connection breaks, half an invoice is not an invoice."""

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)

    with pytest.raises(NotJson, match="broke off"):
        await read_body(request)


@pytest.mark.anyio
async def test_create_with_no_json_gets_400(shop: Shop) -> None:
    """A form is not an invoice."""
    answer = await shop.client.post("/v1/invoices", content=b"amount=1")

    assert (answer.status_code, answer.json()["code"]) == (400, "not_json")
