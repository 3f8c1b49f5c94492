"""An event is under 20 kB, whatever merchants, customers and Vipps put into an invoice."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from service.api.creation import new_invoice
from service.api.schemas import InvoiceIn, PaidElsewhereIn
from service.events.shapes import InvoiceMoved
from service.ledger.resource import EVENT_PAYMENTS_MAX, event_invoice, rfc3339
from service.store.instants import rfc3339_of
from service.store.tables import InvoiceRecord, PaymentRecord
from service.store.tables.invoices import SOURCES
from service.vault.box import Box
from service.vault.vault import Vault
from service.vipps.bodies import AMOUNT_MINOR_MAX
from service.vipps.problem_texts import problem_text
from service.vipps.reading import read_payment
from statemachine import Trigger
from tests.builders import VippsPayment
from tests.event_contract import check_event

EVENT_BYTES_MAX = 20_000
AT = datetime(2026, 11, 22, 10, 0, 0, 123_000, tzinfo=UTC)
VIPPS = "https://api.vipps.no"
PURPOSES = ("data", "phone", "page", "signing", "sandbox")
VAULT = Vault(Box([b"m" * 32]), {purpose: b"k" * 32 for purpose in PURPOSES})

# What is longest in UTF-8 or as JSON: four bytes, three, two; escaped to two or to six.
WORST = ("\U0001f9fe", "\u20ac", "\u00e5", '"', "\\", "\x01", "\u2028", "\x7f", "x")


def longest(characters: int) -> st.SearchStrategy[str]:
    """Return texts at a limit, of any mixture of what grows."""
    one = st.sampled_from(WORST).map(lambda c: c * characters)
    mixed = st.text(st.sampled_from(WORST), min_size=characters, max_size=characters)
    return st.one_of(one, mixed)


@st.composite
def metadata(draw: st.DrawFn) -> dict[str, str]:
    """Return 20 pairs that fill 4 KiB as nearly as can be."""
    character = draw(st.sampled_from(WORST))
    pairs = {f"k{n:02}": "" for n in range(20)}
    room = 4096 - len(orjson.dumps(pairs))
    each = len(orjson.dumps(character)) - 2
    pairs["k00"] = character * (room // each)
    return pairs


def accepted(model: type[Any], body: dict[str, Any], *, texts: tuple[str, ...]) -> Any:
    """Return the body as the API takes it; a text that it refuses gives way to a plain one."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        refused = {str(e["loc"][0]) for e in error.errors()}
        assert refused <= set(texts), error
        return model.model_validate({**body, **{n: "\U0001f9fe" * len(body[n]) for n in refused}})


@st.composite
def invoices(draw: st.DrawFn) -> InvoiceRecord:
    """Return an invoice with everything in it as long as it may be."""
    url = "https://erp.example/" + "x" * 2028
    body = {
        "reference": "r" * 60,
        "amount": {"currency": "NOK", "value": AMOUNT_MINOR_MAX},
        "customer": {"id": "cus_" + "0" * 26},
        "description": draw(longest(100)),
        "kid": "0" * 25,
        "dueDate": "2026-12-01",
        "payableUntil": "2026-12-15T00:00:00Z",
        "capture": "automatic",
        "replaces": "q" * 60,
        "documentUrl": url,
        "returnUrl": url,
        "metadata": draw(metadata()),
    }
    made = accepted(InvoiceIn, body, texts=("description",))
    assert list(made.contradictions()) == []
    new = new_invoice(made)
    elsewhere = accepted(
        PaidElsewhereIn,
        {"channel": draw(longest(40)), "note": draw(longest(500))},
        texts=("channel", "note"),
    )
    return InvoiceRecord(
        id="inv_" + "0" * 26,
        msn="1" * 10,
        reference=new.reference or "",
        amount_minor=new.amount_minor,
        currency=new.currency,
        customer_id=new.customer_id,
        description=new.description or "",
        flow="PUSH_MESSAGE",
        capture=new.capture,
        due_date=new.due_date,
        payable_until=new.payable_until or AT,
        terms=new.terms,
        creation_hash=b"",
        page_lookup=b"",
        state="soft_dismissed",
        sequence=10**9,
        version=1,
        head_hash=b"",
        capture_guaranteed_until=AT,
        paid_elsewhere={
            "channel": elsewhere.channel,
            "paidAt": rfc3339(AT),
            "note": elsewhere.note,
            "recordedAt": rfc3339(AT),
        },
        problem={
            "command": "attach_order_category",
            "code": "6" * 6,
            "status": 409,
            "detail": max((problem_text(str(n), 409) for n in range(10_000)), key=len),
            "traceId": '"' * 128,
            "at": rfc3339(AT),
        },
        created_at=AT,
        updated_at=AT,
    )


def chain(invoice: InvoiceRecord) -> list[PaymentRecord]:
    """Return a long chain, the last of it alive with its link, as Vipps may have made it."""
    answer = VippsPayment(reference="r" * 60).body()
    answer |= {"pspReference": "~" * 128, "redirectUrl": f"{VIPPS}/" + "x" * 2027}
    snapshot = read_payment(answer, VIPPS)
    assert snapshot.redirect_url is not None
    made = []
    for attempt in range(1, EVENT_PAYMENTS_MAX + 3):
        key = f"pay_{attempt:026}"
        place = f"payment:{key}:redirect_url"
        made.append(
            PaymentRecord(
                id=key,
                msn=invoice.msn,
                invoice_id=invoice.id,
                attempt=attempt + 1000,
                reference="r" * 60,
                user_flow="PUSH_MESSAGE",
                state="created" if attempt == EVENT_PAYMENTS_MAX + 2 else "terminated",
                psp_reference=snapshot.psp_reference,
                expires_at=AT + timedelta(days=1),
                ends_at=AT,
                redirect_url=VAULT.seal(snapshot.redirect_url.encode(), place=place),
                authorized_minor=AMOUNT_MINOR_MAX,
                created_at=AT,
                updated_at=AT,
            )
        )
    return made


# On two busy cores a draw is slow now and then; what is drawn is small in number.
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(invoices())
def test_event_at_every_limit_at_once_is_under_20_kb(invoice: InvoiceRecord) -> None:
    """No transition ever fails for its event's size, and no broker or receiver chokes on one."""
    base_url = "https://" + "b" * 253
    shown = event_invoice(invoice, chain(invoice), vault=VAULT, base_url=base_url)
    data: InvoiceMoved = {
        "invoice": shown,
        "previousState": "soft_dismissed",
        "transition": {
            "trigger": max(Trigger, key=len),
            "source": max(SOURCES, key=len),
            "occurredAt": rfc3339_of(AT),
            "recordedAt": rfc3339_of(AT),
        },
    }
    event = {
        "id": "evt_" + "0" * 26,
        "type": "invoice.soft_dismissed",
        "timestamp": rfc3339(AT),
        "sequence": invoice.sequence,
        "data": data,
    }

    size = len(orjson.dumps(event))

    assert size < EVENT_BYTES_MAX
    assert size > 12_000, "it is the limits that are tested"
    check_event(orjson.loads(orjson.dumps(event)))
