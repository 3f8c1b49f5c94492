"""Sample invoices for `serve --samples`: made through the API, like anybody's."""

import threading
import time
from typing import Any

import httpx

from service.settings import Settings

_START_WITHIN_S = 15.0

# What the customer does with each, after it has been asked for. The same reference again is the
# same invoice, so a second start changes nothing.
_SAMPLES = (
    ("sample-waiting", 149_00, "Broadband, November", "manual", None),
    ("sample-authorized", 2_000_00, "Travel insurance", "manual", "approve"),
    ("sample-captured", 399_00, "Gym membership", "automatic", "approve"),
    ("sample-rejected", 75_00, "Parking", "manual", "reject"),
    ("sample-by-link", 1_250_00, "Window cleaning", "manual", "by link"),
)


def start(settings: Settings, key: str) -> None:
    """Make the samples in the background, as soon as the service answers."""
    threading.Thread(target=_make_all, args=(settings, key), daemon=True).start()


def _make_all(settings: Settings, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=settings.local_url, headers=headers, timeout=35) as http:
        try:
            _wait(http)
            for sample in _SAMPLES:
                _make(http, settings.currency, sample)
            # The log has moved on meanwhile, and what was printed at the start with it.
            where = f"{settings.local_url}/console"
            print(f"Sample invoices are at {where}; the API key is {key}", flush=True)
        except httpx.HTTPError:
            # The service is stopping; there is nobody left to show samples to.
            return


def _wait(http: httpx.Client) -> None:
    until = time.monotonic() + _START_WITHIN_S
    while time.monotonic() < until:
        try:
            http.get("/healthz")
            return
        except httpx.ConnectError:
            time.sleep(0.1)


def _make(http: httpx.Client, currency: str, sample: tuple[str, int, str, str, Any]) -> None:
    reference, amount_minor, description, capture, act = sample
    # Who is not known is sent a link, which the console shows.
    whom: dict[str, Any] = {"customer": {"phoneNumber": "4791234567", "name": "Kari Nordmann"}}
    if act == "by link":
        whom, act = {"flow": "WEB_REDIRECT"}, None
    body = {
        "reference": reference,
        "amount": {"currency": currency, "value": amount_minor},
        "description": description,
        "capture": capture,
        **whom,
    }
    made = http.post("/v1/invoices", params={"wait": 10}, json=body)
    if act and made.status_code == httpx.codes.CREATED:
        http.post(f"/sandbox/payments/{reference}/{act}")
