"""Traces: one from Vipps's webhook through the commit to the subscriber's answer."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
import sqlalchemy as sa
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.cause import cause_of
from service.context import Context
from service.outbox.deliverer import Deliverer
from service.outbox.egress import open_egress
from service.settings import load_settings
from service.store.db import Database
from service.store.tables import Event
from service.traces_otel import OtelTraces, otel_traces
from tests.builders import ONLY_SQLITE, REFERENCE, a_desk, a_vipps_event, signed_headers
from tests.fake_merchant import FakeMerchant, serve, until
from tests.service.inbox.posting import PATH, posting, register
from tests.service.outbox.builders import Shop
from tests.service.outbox.wire import LOOPBACK

pytestmark = pytest.mark.anyio

PHONE = "4791234567"


async def _deliver(context: Context, merchant: FakeMerchant) -> None:
    """Run a deliverer until the merchant has been told."""
    stop = asyncio.Event()
    context.wake.bind()
    async with open_egress(allow=LOOPBACK) as egress:
        running = asyncio.create_task(Deliverer(context, egress).run(stop))
        await until(lambda: len(merchant.events()) > 0)
        stop.set()
        await running


def _named(spans: Sequence[ReadableSpan], name: str) -> ReadableSpan:
    (found,) = [span for span in spans if span.name == name]
    return found


@ONLY_SQLITE
async def test_trace_leads_from_the_webhook_to_the_subscribers_answer(database: Database) -> None:
    """I see in one picture where a payment's news was, and for how long."""
    kept, merchant = InMemorySpanExporter(), FakeMerchant()
    desk = a_desk(database)
    desk.create()
    context = replace(desk.context, traces=OtelTraces(SimpleSpanProcessor(kept)))
    register(context)
    body = orjson.dumps(a_vipps_event())

    async with serve(merchant) as url, posting(context) as vipps:
        Shop(database, context.vault).subscribe(url)
        headers = signed_headers(body, at=context.clock.now())
        assert (await vipps.post(PATH, content=body, headers=headers)).status_code == 200
        await _deliver(context, merchant)

    spans = kept.get_finished_spans()
    webhook, commit, deliver = (
        _named(spans, name) for name in ("vipps webhook", "commit", "deliver")
    )
    assert webhook.context and commit.parent and deliver.parent and deliver.attributes
    assert len({span.context.trace_id for span in (webhook, commit, deliver) if span.context}) == 1
    assert commit.parent.span_id == deliver.parent.span_id == webhook.context.span_id
    assert deliver.attributes["betalbar.status"] == 204
    assert webhook.attributes and webhook.attributes["betalbar.outcome"] == "applied"
    said = "".join(span.to_json() for span in spans)
    assert [secret for secret in (PHONE, REFERENCE, url) if secret in said] == []


@ONLY_SQLITE
async def test_trace_that_nobody_asked_for_leaves_nothing(database: Database) -> None:
    """Without the setting no row carries a trace, and the library is not needed."""
    desk = a_desk(database)
    desk.create()
    register(desk.context)
    body = orjson.dumps(a_vipps_event())

    async with posting(desk.context) as vipps:
        await vipps.post(
            PATH, content=body, headers=signed_headers(body, at=desk.context.clock.now())
        )

    with database.snapshot() as session:
        causes = [cause_of(event.cause) for event in session.scalars(sa.select(Event))]
    assert causes and {cause.traceparent for cause in causes} == {""}


def test_trace_of_an_error_keeps_its_type_alone() -> None:
    """What an error quotes may be a customer's number."""
    kept = InMemorySpanExporter()
    traces = OtelTraces(SimpleSpanProcessor(kept))

    with pytest.raises(ValueError, match=PHONE), traces.span("anything"):
        raise ValueError(PHONE)

    (span,) = kept.get_finished_spans()
    assert span.status.description == "ValueError"
    assert PHONE not in span.to_json()


def test_collector_that_is_away_does_not_hold_up_a_stop() -> None:
    """Ten seconds is what a stop may take, whatever else is down."""
    traces = otel_traces("http://127.0.0.1:9/v1/traces")
    with traces.span("anything"):
        begun = datetime.now(UTC)

    traces.close()

    assert (datetime.now(UTC) - begun).total_seconds() < 8
    assert load_settings({}).traces_url == ""
