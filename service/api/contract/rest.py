"""The operations that are about no one invoice, and about the service itself."""

from service.api.contract.operations import Operation, Operations, Parameter, Reply, one
from service.shapes.discovery import Health, Machine, Readiness, SigningKeys
from service.shapes.reports import DailyReport

_OBJECT = {"type": "object"}

OPERATIONS: Operations = {
    "/v1/reports/daily": {
        "GET": Operation(
            "getDailyReport",
            "Get what was captured and refunded on a day",
            {
                200: (
                    Reply("The report.", DailyReport),
                    Reply(
                        "The report.",
                        {"type": "string"},
                        ("Content-Disposition",),
                        "text/csv",
                    ),
                )
            },
            "A day is the sales unit's own; amounts are those of Vipps's events.",
            query=(
                Parameter(
                    "date",
                    "The day.",
                    {"type": "string", "format": "date"},
                    "2026-11-22",
                    is_required=True,
                ),
                Parameter(
                    "format",
                    "As JSON or as CSV.",
                    {"type": "string", "enum": ["json", "csv"], "default": "json"},
                    "json",
                ),
            ),
        ),
    },
    "/v1/machine": {
        "GET": Operation(
            "getMachine",
            "See the table that invoices live by",
            one(Reply("States, transitions, and a drawing.", Machine)),
        ),
    },
    "/v1/signing-keys": {
        "GET": Operation(
            "getSigningKeys",
            "Get the public keys of `v1a` signatures",
            one(Reply("The keys.", SigningKeys)),
        ),
    },
    "/healthz": {
        "GET": Operation(
            "getHealth", "Is the process up?", one(Reply("It is.", Health)), is_open=True
        ),
    },
    "/readyz": {
        "GET": Operation(
            "getReadiness",
            "Can it do its work?",
            {
                200: (Reply("It can.", Readiness),),
                503: (Reply("It can't; what is missing.", Readiness),),
            },
            is_open=True,
        ),
    },
    "/metrics": {
        "GET": Operation(
            "getMetrics",
            "Get figures for Prometheus",
            one(Reply("Prometheus's text format.", {"type": "string"}, media_type="text/plain")),
            "Without `BETALBAR_METRICS_KEY` only this machine may ask; with a real Vipps none.",
            refusals=("unauthorized", "database_away"),
            is_open=True,
        ),
    },
    "/openapi.json": {
        "GET": Operation(
            "getOpenapi", "Get this document", one(Reply("OpenAPI 3.1.", _OBJECT)), is_open=True
        ),
    },
    "/asyncapi.json": {
        "GET": Operation(
            "getAsyncapi",
            "Get the document of events",
            one(Reply("AsyncAPI 3.0.", _OBJECT)),
            is_open=True,
        ),
    },
    "/docs": {
        "GET": Operation(
            "getDocs",
            "Read this document in a browser",
            one(Reply("A page.", {"type": "string"}, media_type="text/html")),
            is_open=True,
        ),
    },
}
