"""Every address of the merchant API; read this file to know what there is."""

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from service.api import (
    customers,
    deliveries,
    discovery,
    documents,
    events,
    invoice_reads,
    invoices,
    reports,
    subscriptions,
    zeroeventhub,
)
from service.api.calls import Handler
from service.api.contract.serving import contract_handlers
from service.api.event_stream import stream_events
from service.api.health import healthz, readyz
from service.api.metrics import metrics
from service.api.rates import KeyRates
from service.api.routing import answer_http_error, keyed_route, open_route
from service.api.running import Running
from service.api.writing import Writes
from service.context import Context
from service.feed.watch import FeedWatch

ExceptionHandler = Callable[[Request, Exception], Awaitable[Response]]


def api_routes(context: Context, running: Running) -> list[BaseRoute]:
    """Return the routes; everything under `/v1` asks for an API key."""
    watch, rates = FeedWatch(context), KeyRates(context.settings.key_calls_per_minute)
    writes = Writes(context)
    running.at_stop.append(watch.end_all)
    addresses = {
        **_addresses(),
        **_customer_addresses(),
        **_subscription_addresses(running),
        "/v1/events/stream": {"GET": stream_events(watch)},
    }
    contracts = contract_handlers(context.settings.base_url)
    return [
        *(
            keyed_route(context, path, handlers, rates=rates, writes=writes)
            for path, handlers in addresses.items()
        ),
        *probe_routes(context, running),
        *(open_route(path, handler) for path, handler in contracts.items()),
    ]


def probe_routes(context: Context, running: Running) -> list[BaseRoute]:
    """Return the routes by which machines watch a process."""
    return [
        open_route("/healthz", healthz),
        open_route("/readyz", readyz(context, running)),
        open_route("/metrics", metrics(context, running)),
    ]


def exception_handlers() -> dict[type[Exception], ExceptionHandler]:
    """Return what makes the router's own refusals look like all others."""
    return {HTTPException: answer_http_error}


def _addresses() -> dict[str, dict[str, Handler]]:
    one = "/v1/invoices/{reference}"
    return {
        "/v1/invoices": {"GET": invoice_reads.list_invoices, "POST": invoices.create},
        one: {"GET": invoice_reads.one_invoice},
        f"{one}/document": {"PUT": documents.Uploads().put},
        f"{one}/qr.svg": {"GET": documents.svg},
        f"{one}/qr.png": {"GET": documents.png},
        f"{one}/evidence": {"GET": reports.evidence},
        f"{one}/transitions": {"GET": invoice_reads.list_transitions},
        **{f"{one}/{name}": {"POST": handler} for name, handler in invoices.ACTS.items()},
        "/v1/events": {"GET": events.list_events},
        "/v1/events/digest": {"GET": events.show_digest},
        "/v1/feed": {"GET": zeroeventhub.discover},
        "/v1/feed/events": {"GET": zeroeventhub.feed_events},
        "/v1/reports/daily": {"GET": reports.daily},
        "/v1/machine": {"GET": discovery.machine},
        "/v1/signing-keys": {"GET": discovery.signing_keys},
    }


def _customer_addresses() -> dict[str, dict[str, Handler]]:
    return {
        "/v1/customers": {"GET": customers.list_customers, "POST": customers.create},
        # Before `{id}`, which it would be otherwise.
        "/v1/customers/search": {"POST": customers.search},
        "/v1/customers/{id}": {
            "GET": customers.one_customer,
            "PATCH": customers.change,
            "DELETE": customers.erase,
        },
    }


def _subscription_addresses(running: Running) -> dict[str, dict[str, Handler]]:
    one = "/v1/subscriptions/{id}"
    return {
        "/v1/subscriptions": {
            "GET": subscriptions.list_subscriptions,
            "POST": subscriptions.create,
        },
        one: {
            "GET": subscriptions.one_subscription,
            "PATCH": subscriptions.change,
            "DELETE": subscriptions.delete,
        },
        f"{one}/deliveries": {"GET": deliveries.list_deliveries},
        f"{one}/replay": {"POST": deliveries.replay},
        f"{one}/rotate-secret": {"POST": subscriptions.rotate_secret},
        f"{one}/test": {"POST": subscriptions.test_handler(running)},
        "/v1/deliveries/{id}/redeliver": {"POST": deliveries.redeliver},
    }
