"""What is planted by every way in, and a Vipps that repeats it in what it refuses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

import httpx
from starlette.types import Receive, Scope, Send

from tests.fake_merchant import FakeMerchant
from tests.flows.processes import HTTP, Served
from tests.flows.stack import API_KEY, CLIENT_SECRET, MSN, SUBSCRIPTION_KEY, Stack
from tests.spellings import spellings

BROKER_PASSWORD = "password-CANARY-broker"
METRICS_KEY = "key-CANARY-metrics-4711"
# A payment of this amount is refused by Vipps, in words that hold a number and a token.
REFUSED_AMOUNT = 66_600

_numbers = count(4791919100)


def a_number() -> str:
    """Return a phone number that is nobody else's."""
    return str(next(_numbers))


@dataclass
class Planted:
    """Everything that was planted, by the way that it took."""

    ways: dict[str, str] = field(default_factory=dict)

    def number(self, way: str) -> str:
        """Return a new number for a way in."""
        return self.ways.setdefault(way, a_number())

    def token(self, way: str) -> str:
        """Return a new secret for a way in."""
        return self.ways.setdefault(way, f"secret-CANARY-{way.replace(' ', '-')}-{a_number()}")

    def found_in(self, where: Mapping[str, bytes]) -> list[tuple[str, str]]:
        """Return which way's canary stands in what, in clear, in hex or in base64."""
        return [
            (way, name)
            for way, canary in self.ways.items()
            for name, written in where.items()
            if any(spelling in written for spelling in spellings(canary))
        ]


def secrets_of(stack: Stack) -> Planted:
    """Return what the settings have planted."""
    return Planted(
        {
            "API key": API_KEY,
            "client secret": CLIENT_SECRET,
            "subscription key": SUBSCRIPTION_KEY,
            "metrics key": METRICS_KEY,
            "broker's password": BROKER_PASSWORD,
            "master key": stack.environment["BETALBAR_MASTER_KEYS"],
            "webhook secret": stack.environment["BETALBAR_VIPPS_WEBHOOK_SECRET"],
        }
    )


def ask_in_wrong_ways(url: str, planted: Planted) -> dict[str, bytes]:
    """Plant in every part of a request that is refused; return what it was answered with."""
    good = {"Authorization": f"Bearer {API_KEY}"}
    named = planted.number("the name of a member")
    form = {"login": planted.token("a login"), "password": planted.token("a try")}
    not_json = f"{{{planted.number('no JSON')}".encode()
    asked: list[httpx.Request] = [
        _post(url, {"phoneNumber": planted.number("a value of a wrong type")}, good),
        _post(url, {"customer": {"phoneNumber": planted.number("a number too many") * 2}}, good),
        _post(url, {"reference": planted.number("a reference")}, good),
        _post(url, {"amount": planted.number("an amount")}, good),
        httpx.Request("POST", f"{url}/v1/invoices", content=not_json, headers=good),
        _post(url, {}, {"Authorization": f"Bearer bb_{planted.token('a wrong key')}"}),
        _post(url, {}, {"Authorization": f"Basic {planted.token('a password')}"}),
        _post(url, {}, good | {"Idempotency-Key": f"\x7f{planted.token('an idempotency key')}"}),
        _post(url, {}, good | {"If-Match": planted.token("a version")}),
        _post(url, {}, good | {"X-Request-Id": planted.token("a request id")}),
        _post(url, {}, good | {"traceparent": f"00-{planted.token('a trace')}-01"}),
        _post(url, {}, good | {"Cookie": f"a={planted.token('a cookie')}"}),
        _post(url, {}, good | {"User-Agent": planted.token("a browser")}),
        httpx.Request("GET", f"{url}/v1/invoices?q={planted.number('a search')}", headers=good),
        httpx.Request("GET", f"{url}/v1/invoices?state={planted.number('a filter')}", headers=good),
        httpx.Request("GET", f"{url}/v1/events?cursor={planted.token('a cursor')}", headers=good),
        httpx.Request("GET", f"{url}/v1/customers/{planted.number('an address')}", headers=good),
        httpx.Request("GET", f"{url}/i/{planted.token('a page')}"),
        httpx.Request("GET", f"{url}/{planted.number('nowhere')}?x={planted.number('no query')}"),
        httpx.Request(planted.token("a method").replace("-", ""), f"{url}/v1/invoices"),
        httpx.Request("POST", f"{url}/console/sign-in", data=form, headers={"Origin": url}),
        httpx.Request("GET", f"{url}/console?next={planted.number('a way on')}"),
    ]  # fmt: skip
    planted.ways.pop("a method")
    answers = {f"answer {n}": HTTP.send(one).content for n, one in enumerate(asked)}
    # What a member of the body is called is said to whoever has sent it, and to nobody else.
    said = HTTP.send(_post(url, {named: 1}, good)).content
    assert named.encode() in said
    return answers


def _post(url: str, body: object, headers: Mapping[str, str]) -> httpx.Request:
    return httpx.Request("POST", f"{url}/v1/invoices", json=body, headers=headers)


def send_unsigned(url: str, planted: Planted) -> None:
    """Plant in webhooks that nobody has signed."""
    body = {
        "reference": planted.token("an unsigned body"),
        "msn": planted.number("an unsigned MSN"),
    }
    headers = {
        "Authorization": f"HMAC-SHA256 Signature={planted.token('a signature')}",
        "X-Ms-Date": planted.token("a date"),
        "X-Forwarded-For": planted.number("a forwarded address"),
        "Host": f"{planted.token('a host')}.example",
    }
    for msn in (MSN, planted.number("a sales unit")):
        refused = HTTP.post(f"{url}/webhooks/vipps/{msn}", json=body, headers=headers)
        assert (refused.status_code, refused.content) == (401, b"")


class RepeatingVipps:
    """The sandbox, but for payments of one amount: it refuses them and repeats who was asked."""

    def __init__(self, planted: Planted) -> None:
        """`url` is where the sandbox is, known once it runs."""
        self.planted = planted
        self.url = ""
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(trust_env=False, timeout=30, limits=limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        if scope["path"] == "/epayment/v1/payments" and self._is_refused(body):
            status, headers, said = (
                400,
                [(b"content-type", b"application/problem+json")],
                self._no(),
            )
        else:
            query = scope["query_string"].decode()
            url = f"{self.url}{scope['path']}{'?' * bool(query)}{query}"
            kept = [(n, v) for n, v in scope["headers"] if n not in (b"host", b"connection")]
            answer = await self._client.request(scope["method"], url, content=body, headers=kept)
            headers = [h for h in answer.headers.raw if h[0].lower() == b"content-type"]
            status, said = answer.status_code, answer.content
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    def _is_refused(self, body: bytes) -> bool:
        amount: int = json.loads(body)["amount"]["value"]
        return amount == REFUSED_AMOUNT

    def _no(self) -> bytes:
        said = self.planted.number("Vipps's title")
        problem = {
            "type": f"https://vipps.example/{self.planted.token('a type')}",
            "title": f"{said} can not be asked",
            "detail": self.planted.token("a detail"),
            "traceId": "a-trace-id-of-vipps",
            "extraDetails": [{"name": "phone", "reason": self.planted.number("a reason")}],
        }
        return json.dumps(problem).encode()


def collector() -> tuple[FakeMerchant, Served]:
    """Return a collector of traces that keeps what it is sent."""
    app = FakeMerchant()
    return app, Served(app)
