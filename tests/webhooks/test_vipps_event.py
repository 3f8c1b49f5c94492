"""What Vipps reports is read exactly, or not at all."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webhooks import vectors
from tests.webhooks.builders import an_event, an_event_body
from webhooks import vipps_event
from webhooks.errors import MalformedEvent, NotAnEpaymentEvent
from webhooks.vipps_event import VippsEvent


def malformed(**changes: object) -> str:
    """Return the field for which the event so changed is refused."""
    with pytest.raises(MalformedEvent) as caught:
        vipps_event.parse(an_event_body(**changes))
    assert not isinstance(caught.value, NotAnEpaymentEvent)
    return caught.value.field


def amount(value: object = 49900, currency: object = "NOK") -> dict[str, object]:
    """Return an amount as Vipps writes it."""
    return {"currency": currency, "value": value}


def test_parse_least_event_leaves_the_rest_empty() -> None:
    """An event with only what is required is complete."""
    event = vipps_event.parse(an_event_body())

    assert event == VippsEvent(
        msn="123456",
        reference="acme-2026-000123",
        psp_reference="3343121302",
        name="AUTHORIZED",
        amount_minor=49900,
        currency="NOK",
        occurred_at=datetime(2026, 11, 22, 9, 59, 58, 533325, tzinfo=UTC),
        success=True,
    )


def test_parse_full_event_keeps_what_is_optional() -> None:
    """The customer's answer to our question for a phone number comes with the approval."""
    details = {"mobileNumber": "4791234567", "firstName": "Kari", "addresses": []}
    body = an_event_body(
        idempotencyKey="fb492b5e-7907-4d83-ba20-c7fb60ca35de",
        sub="c06c4afe-d9e1-4c5d-939a-177d752a0944",
        userDetails=details,
        captureGuaranteedUntil="2026-11-29T09:59:58+01:00",
        shippingDetails={"shippingCost": 1.5},
        success=False,
    )

    event = vipps_event.parse(body)

    assert event.idempotency_key == "fb492b5e-7907-4d83-ba20-c7fb60ca35de"
    assert event.sub == "c06c4afe-d9e1-4c5d-939a-177d752a0944"
    assert event.user_details == details
    assert event.capture_guaranteed_until == datetime(2026, 11, 29, 8, 59, 58, tzinfo=UTC)
    assert event.success is False


def test_event_repr_hides_the_person() -> None:
    """A log line about an event names no customer."""
    body = an_event_body(sub="secret-sub", userDetails={"mobileNumber": "4791234567"})

    text = repr(vipps_event.parse(body))

    assert "AUTHORIZED" in text
    assert "secret-sub" not in text and "4791234567" not in text


@pytest.mark.parametrize("body", [body for body, _, _ in vectors.CAPTURED_BODIES])
def test_parse_captured_body_reads_what_vipps_sent(body: bytes) -> None:
    """Real deliveries are read."""
    event = vipps_event.parse(body)

    sent = json.loads(body)
    assert (event.msn, event.reference) == (sent["msn"], sent["reference"])
    assert (event.psp_reference, event.name) == (sent["pspReference"], "CREATED")
    assert event.amount_minor == sent["amount"]["value"]
    assert event.currency == sent["amount"]["currency"]
    assert event.idempotency_key == sent["idempotencyKey"]
    assert event.occurred_at == datetime.fromisoformat(sent["timestamp"])


@pytest.mark.parametrize("name", ["idempotencyKey", "sub"])
@pytest.mark.parametrize("value", [None, ""])
def test_parse_empty_optional_text_is_absent(name: str, value: object) -> None:
    """Vipps leaves a key out, or sends null: both mean that there is none."""
    event = vipps_event.parse(an_event_body(**{name: value}))

    assert event == vipps_event.parse(an_event_body())


@pytest.mark.parametrize("name", ["userDetails", "captureGuaranteedUntil"])
def test_parse_null_optional_member_is_absent(name: str) -> None:
    """Null means that there is none."""
    event = vipps_event.parse(an_event_body(**{name: None}))

    assert event == vipps_event.parse(an_event_body())


def test_parse_new_member_is_ignored() -> None:
    """Vipps may add members without telling us."""
    event = vipps_event.parse(an_event_body(newIn2027={"any": [1.5, None]}, eventType="x"))

    assert event == vipps_event.parse(an_event_body())


@pytest.mark.parametrize("name", ["SETTLED", "authorized", "x" * 64, "épargné"])
def test_parse_unknown_name_is_kept(name: str) -> None:
    """A kind of event that does not exist yet is read, so that it can be stored as ignored."""
    assert vipps_event.parse(an_event_body(name=name)).name == name


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_parse_something_else_than_an_object_is_malformed(body: bytes) -> None:
    """An event is an object."""
    with pytest.raises(MalformedEvent, match="body: not an object"):
        vipps_event.parse(body)


@pytest.mark.parametrize("body", [b"", b"\xff", b'{"msn":"1234","msn":"1234"}', b"{NaN}"])
def test_parse_doubtful_json_is_malformed(body: bytes) -> None:
    """What is no JSON, or JSON of two meanings, is no event."""
    with pytest.raises(MalformedEvent, match="body: "):
        vipps_event.parse(body)


REQUIRED = ["msn", "reference", "name", "amount", "timestamp", "success"]


@pytest.mark.parametrize("name", [*REQUIRED, "pspReference"])
def test_parse_without_a_required_member_names_it(name: str) -> None:
    """The clerk who looks at a malformed event sees at once what is missing."""
    assert malformed(**{name: ...}) == name


@pytest.mark.parametrize("name", ["msn", "reference", "pspReference", "name"])
@pytest.mark.parametrize(
    "value", [None, 1, 1.5, True, [], {}, "", "a\x00b", "a\nb", "\x7f", "x" * 129]
)
def test_parse_key_in_another_form_is_malformed(name: str, value: object) -> None:
    """What names an event is a short text that every database can hold."""
    assert malformed(**{name: value}) == name


@pytest.mark.parametrize(
    ("name", "length_max"),
    [
        ("reference", 64),
        ("pspReference", 128),
        ("name", 64),
        ("idempotencyKey", 256),
        ("sub", 256),
    ],
)
def test_parse_key_of_the_greatest_length_is_the_last_that_is_read(
    name: str, length_max: int
) -> None:
    """What names an event fits the column that holds it, to the last character."""
    longest = "x" * length_max

    event = vipps_event.parse(an_event_body(**{name: longest}))

    assert longest in (*vipps_event.event_key(event), event.idempotency_key, event.sub)
    assert malformed(**{name: longest + "x"}) == name


@pytest.mark.parametrize("value", ["123", "1" * 11, "12345a", "-12345", "\uff11" * 5, "1234\n"])
def test_parse_msn_in_another_form_is_malformed(value: str) -> None:
    """A merchant serial number is four to ten digits."""
    assert malformed(msn=value) == "msn"


@pytest.mark.parametrize(
    "value",
    [None, "49900", 49900.0, True, False, -1, 1_000_000_001, 2**53, 2**63, 2**64, 10**40, [], {}],
)
def test_parse_amount_in_another_form_is_malformed(value: object) -> None:
    """Money is a whole number of øre, never a text, a fraction or a truth."""
    assert malformed(amount=amount(value)) == "amount.value"


@pytest.mark.parametrize("value", [0, 1, 65_000_000, 1_000_000_000])
def test_parse_amount_within_bounds_is_kept(value: int) -> None:
    """All that Vipps's limit allows, and nothing at all, are amounts."""
    assert vipps_event.parse(an_event_body(amount=amount(value))).amount_minor == value


@pytest.mark.parametrize("value", [None, 578, "nok", "NO", "NOKK", "", "N0K", "NOK\n"])
def test_parse_currency_in_another_form_is_malformed(value: object) -> None:
    """A currency is three capital letters."""
    assert malformed(amount=amount(currency=value)) == "amount.currency"


@pytest.mark.parametrize("value", [None, [], "49900 NOK", 49900])
def test_parse_amount_that_is_no_object_is_malformed(value: object) -> None:
    """An amount says its currency beside it."""
    assert malformed(amount=value) == "amount"


@pytest.mark.parametrize("value", [None, 1, 0, "true", "True", []])
def test_parse_success_in_another_form_is_malformed(value: object) -> None:
    """Whether an operation succeeded is never guessed."""
    assert malformed(success=value) == "success"


@pytest.mark.parametrize("name", ["timestamp", "captureGuaranteedUntil"])
@pytest.mark.parametrize(
    "value",
    [
        1795341598,
        True,
        "",
        "2026-11-22",
        "2026-11-22T09:59:58",
        "2026-11-22 09:59:58Z",
        "2026-11-22T09:59Z",
        "2026-11-22T09:59:58,5Z",
        "2026-11-22T09:59:58.Z",
        "2026-11-22T09:59:58+0100",
        "2026-11-22T09:59:58+25:00",
        "2026-11-22T24:00:00Z",
        "2026-11-22T09:59:60Z",
        "2026-02-30T09:59:58Z",
        "20261122T095958Z",
        "0001-01-01T00:00:00+01:00",
        "2026-11-22T09:59:58Z\n",
        "\uff12026-11-22T09:59:58Z",
        "2026-11-22T09:59:58." + "1" * 33 + "Z",
    ],
)
def test_parse_time_in_another_form_is_malformed(name: str, value: object) -> None:
    """A time says its offset and exists in the calendar."""
    assert malformed(**{name: value}) == name


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-11-22T09:59:58Z", 0),
        ("2026-11-22T09:59:58.1Z", 100_000),
        ("2026-11-22T09:59:58.431Z", 431_000),
        ("2026-11-22T09:59:58.5333258Z", 533_325),
        ("2026-11-22T10:59:58.999999999+01:00", 999_999),
        ("2026-11-22T07:29:58.123-02:30", 123_000),
        ("2026-11-22T09:59:58.0000001-00:00", 0),
    ],
)
def test_parse_time_with_any_fraction_is_read_in_utc(text: str, microsecond: int) -> None:
    """Vipps writes three to seven digits of a second, and may write an offset."""
    event = vipps_event.parse(an_event_body(timestamp=text))

    assert event.occurred_at == datetime(2026, 11, 22, 9, 59, 58, microsecond, tzinfo=UTC)
    assert event.occurred_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("idempotencyKey", 5),
        ("idempotencyKey", "x" * 257),
        ("idempotencyKey", "a\x00"),
        ("sub", {}),
        ("userDetails", "Kari"),
        ("userDetails", []),
    ],
)
def test_parse_optional_member_of_another_type_is_malformed(name: str, value: object) -> None:
    """What is there must be right, also where it could be absent."""
    assert malformed(**{name: value}) == name


@pytest.mark.parametrize(
    "members",
    [
        {"msn": "123456", "agreementId": "agr_1", "eventType": "recurring.agreement-activated.v1"},
        {"eventType": "recurring.charge-captured.v1", "chargeId": "chr_1", "amount": 149000},
        {"customerToken": "x", "merchantQrId": "y", "msn": "123456", "initiatedAt": "z"},
        {"name": "recurring.agreement-stopped.v1", "reference": "acme-2026-000123"},
    ],
    ids=["agreement", "charge", "qr", "typed"],
)
def test_parse_event_of_another_api_is_told_apart(members: dict[str, object]) -> None:
    """A sales unit that also sells subscriptions gets their events too; they are no fault."""
    with pytest.raises(NotAnEpaymentEvent) as caught:
        vipps_event.parse(json.dumps(members).encode())

    assert caught.value.field == "body"


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"hello": "world"},
        {"name": "AUTHORIZED"},
        {"name": "epayments.payment.created.v1"},
        {"name": ["recurring.x.v1"]},
    ],
)
def test_parse_object_without_marks_is_malformed(members: dict[str, object]) -> None:
    """What bears no sign of another API is a fault that somebody should see."""
    with pytest.raises(MalformedEvent) as caught:
        vipps_event.parse(json.dumps(members).encode())

    assert type(caught.value) is MalformedEvent


def test_parse_log_entry_equals_the_webhook_of_the_same_event() -> None:
    """The log and the webhook tell one story, so that neither is applied twice."""
    entry = an_event()
    del entry["msn"]

    event = vipps_event.parse_log_entry(entry, msn="123456")

    assert event == vipps_event.parse(an_event_body())


def test_parse_log_entry_belongs_to_who_asked() -> None:
    """A log entry belongs to the sales unit that read it, whatever else it says."""
    event = vipps_event.parse_log_entry(an_event() | {"msn": "999999"}, msn="123456")

    assert event.msn == "123456"


@pytest.mark.parametrize("entry", [None, [], "x", 1, {}, {"reference": "acme-2026-000123"}])
def test_parse_log_entry_in_another_form_is_malformed(entry: object) -> None:
    """A log that we cannot read is a fault of one entry, not a crash."""
    with pytest.raises(MalformedEvent):
        vipps_event.parse_log_entry(entry, msn="123456")


def test_event_key_tells_operations_apart_and_repeats_together() -> None:
    """Two captures are two events; the same capture heard twice is one."""
    first = vipps_event.parse(an_event_body(name="CAPTURED"))
    again = vipps_event.parse(an_event_body(name="CAPTURED", idempotencyKey="other"))
    second = vipps_event.parse(an_event_body(name="CAPTURED", pspReference="3343121303"))

    assert vipps_event.event_key(first) == (
        "123456",
        "acme-2026-000123",
        "CAPTURED",
        "3343121302",
    )
    assert vipps_event.event_key(first) == vipps_event.event_key(again)
    assert vipps_event.event_key(first) != vipps_event.event_key(second)


ANYTHING: Any = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just({})


@given(changes=st.dictionaries(st.sampled_from([*an_event(), "sub", "userDetails"]), ANYTHING))
def test_parse_event_with_any_members_raises_only_our_family(changes: dict[str, object]) -> None:
    """Whatever Vipps may one day send, it ends as an event or as a stored fault."""
    body = json.dumps(an_event() | changes).encode()

    try:
        event = vipps_event.parse(body)
    except MalformedEvent as error:
        assert error.field and error.reason
    else:
        assert type(event.amount_minor) is int and 0 <= event.amount_minor <= 10**9
        assert "\x00" not in "".join(vipps_event.event_key(event))
