"""The client and the sandbox, written apart from each other, understand one another."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from service.sandbox import SalesUnitKeys, SandboxSettings, create_app
from service.vipps.adoption import may_adopt
from service.vipps.bodies import create_payment_body, modification_body, payment_expires_at
from service.vipps.client import VippsClient, new_http
from service.vipps.reading import PaymentSnapshot, PaymentState, read_log, read_payment
from service.vipps.verdicts import Then, judge
from tests.service.vipps.builders import REFERENCE, a_request, some_keys

KEYS = some_keys()
BASE_URL = "http://127.0.0.1:8080"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Give a client whose network is a fresh sandbox in this process."""
    transport = httpx.ASGITransport(create_app(SandboxSettings(public_url=BASE_URL)))
    async with new_http(transport) as client:
        yield client


@pytest.fixture
def vipps(http: httpx.AsyncClient) -> VippsClient:
    """Give our client towards that sandbox."""
    return VippsClient(BASE_URL, http)


async def _push(vipps: VippsClient) -> None:
    now = datetime.now(UTC)
    expires_at = payment_expires_at(now, now + timedelta(days=14), 86_400)
    body = create_payment_body(a_request(expires_at=expires_at))
    answer = await vipps.create_payment(KEYS, body, idempotency_key="create-1")
    assert judge("create_payment", answer, attempt=1, jitter=0.0).then is Then.DONE


async def _read(vipps: VippsClient) -> PaymentSnapshot:
    return read_payment((await vipps.get_payment(KEYS, REFERENCE)).body, BASE_URL)


async def _approve(http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{BASE_URL}/sandbox/payments/{REFERENCE}/approve")
    assert answer.status_code == 200


@pytest.mark.anyio
async def test_pushed_payment_can_be_taken_and_given_back(
    http: httpx.AsyncClient, vipps: VippsClient
) -> None:
    """A request in the app is approved, captured and refunded, and the sums tell it."""
    category = await vipps.put_category(KEYS, REFERENCE, "https://pay.example.com/i/token")
    await _push(vipps)
    await _approve(http)

    taken, back = modification_body(150_000, "NOK"), modification_body(50_000, "NOK")
    captured = await vipps.modify_payment(
        KEYS, REFERENCE, act="capture", body=taken, idempotency_key="capture-1"
    )
    refunded = await vipps.modify_payment(
        KEYS, REFERENCE, act="refund", body=back, idempotency_key="refund-1"
    )

    assert (category.status, captured.status, refunded.status) == (200, 200, 200)
    snapshot = await _read(vipps)
    assert snapshot.state is PaymentState.AUTHORIZED
    assert (snapshot.captured_minor, snapshot.refunded_minor) == (150_000, 50_000)
    assert may_adopt(
        snapshot, invoice_id=a_request().invoice_id, amount_minor=200_000, currency="NOK"
    )
    log = read_log((await vipps.get_events(KEYS, REFERENCE)).body, KEYS.msn)
    names = [entry.event.name for entry in log.entries]
    assert names == ["CREATED", "AUTHORIZED", "CAPTURED", "REFUNDED"]
    assert not log.malformed


@pytest.mark.anyio
async def test_withdrawal_ends_a_request_but_never_an_approval(
    http: httpx.AsyncClient, vipps: VippsClient
) -> None:
    """A request that the customer has approved is not withdrawn; it can be released."""
    await _push(vipps)
    await _approve(http)

    late = await vipps.cancel_payment(
        KEYS, REFERENCE, only_before_authorization=True, idempotency_key="cancel-1"
    )
    released = await vipps.cancel_payment(
        KEYS, REFERENCE, only_before_authorization=False, idempotency_key="cancel-2"
    )

    assert judge("cancel_payment", late, attempt=1, jitter=0.0).then is Then.TOO_LATE
    assert judge("cancel_payment", released, attempt=1, jitter=0.0).then is Then.DONE
    assert (await _read(vipps)).cancelled_minor == 200_000


@pytest.mark.anyio
async def test_taken_reference_and_unknown_payment_are_told_apart(vipps: VippsClient) -> None:
    """A reference in use is settled by a read; one that nobody uses is not known."""
    await _push(vipps)

    taken = await vipps.create_payment(
        KEYS, create_payment_body(a_request()), idempotency_key="create-2"
    )
    unknown = await vipps.get_payment(KEYS, "nobody-2026-1")

    assert judge("create_payment", taken, attempt=1, jitter=0.0).then is Then.ADOPT_OR_SUFFIX
    assert judge("read_payment", unknown, attempt=1, jitter=0.0).then is Then.NOT_KNOWN


@pytest.mark.anyio
async def test_link_leads_to_a_page_that_is_taken(vipps: VippsClient) -> None:
    """A payment by link comes with the page where the customer pays."""
    request = a_request(user_flow="WEB_REDIRECT", phone_number=None, scope="phoneNumber")

    await vipps.create_payment(KEYS, create_payment_body(request), idempotency_key="create-1")

    assert str((await _read(vipps)).redirect_url).startswith(BASE_URL)


@pytest.mark.anyio
async def test_webhook_registration_lives_from_register_to_delete(vipps: VippsClient) -> None:
    """A registration is made with a secret, listed without it, and ended."""
    events = ["epayments.payment.created.v1"]
    url = "http://127.0.0.1:9000/webhooks/vipps/123456"

    made = await vipps.register_webhook(KEYS, url, events)
    listed = await vipps.list_webhooks(KEYS)
    ended = await vipps.delete_webhook(KEYS, str(made.body["id"]))

    assert (made.status, listed.status, ended.status) == (201, 200, 204)
    assert made.body["secret"]
    assert listed.body["webhooks"] == [{"id": made.body["id"], "url": url, "events": events}]


@pytest.mark.anyio
async def test_wrong_keys_hold_the_sales_unit() -> None:
    """Keys that Vipps refuses make the sales unit's commands wait, and end no invoice."""
    named = SalesUnitKeys("123456", "client-of-123456", "another-secret", "the-subscription-key")
    sandbox = create_app(SandboxSettings(public_url=BASE_URL, sales_units=(named,)))

    async with new_http(httpx.ASGITransport(sandbox)) as http:
        answer = await VippsClient(BASE_URL, http).get_payment(KEYS, REFERENCE)

    assert judge("read_payment", answer, attempt=1, jitter=0.0).then is Then.HOLD
