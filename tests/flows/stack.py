"""The whole of it as real processes: sandbox, service, public address and merchant."""

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.sandbox.registrations import EVENT_TYPES
from tests.fake_merchant import FakeMerchant
from tests.flows.client import Api, Json, Phone, an_invoice
from tests.flows.forked import SANDBOX
from tests.flows.front import Front
from tests.flows.lines import Line
from tests.flows.processes import (
    FORKED,
    HTTP,
    PYTHON,
    Child,
    Served,
    clean_environment,
    eventually,
    free_port,
)

MSN = "123456"
API_KEY = "key-CANARY-api-4711"
CLIENT_SECRET = "secret-CANARY-client-4711"
SUBSCRIPTION_KEY = "secret-CANARY-subscription-4711"
# A command that takes longer has hung, also where the machine has other work.
_COMMAND_WITHIN_S = 300
BETALBAR = str(Path(PYTHON).with_name("betalbar"))


@dataclass
class Shop:
    """A merchant's endpoint: a recording app, served from the test."""

    app: FakeMerchant = field(default_factory=FakeMerchant)
    served: Served = field(init=False)

    def __post_init__(self) -> None:
        """Listen from now on."""
        self.served = Served(self.app)
        self.served.start()

    @property
    def url(self) -> str:
        """Return the address to subscribe with; its last part is nobody else's business."""
        return f"{self.served.url}/events/path-CANARY-token"

    def told(self, reference: str) -> list[str]:
        """Return the types of an invoice's events in order of their first arrival."""
        return [e["type"] for e in self.first_arrivals(reference)]

    def first_arrivals(self, reference: str) -> list[dict[str, Any]]:
        """Return an invoice's events as they first came in."""
        events = {e["id"]: e for e in reversed(self.app.events())}
        # Some events tell of a customer or a subscription.
        named = {key: e["data"].get("invoice", {}).get("reference") for key, e in events.items()}
        mine = (e for key, e in events.items() if named[key] == reference)
        arrived = list(dict.fromkeys(e["id"] for e in self.app.events()))
        return sorted(mine, key=lambda e: arrived.index(e["id"]))


@dataclass
class Stack:
    """Everything that runs for a test; `service` has one child per process."""

    folder: Path
    database_url: str
    sandbox: Child
    service: list[Child]
    front: Front
    front_served: Served
    environment: dict[str, str]
    shops: list[Shop] = field(default_factory=list)

    @property
    def api(self) -> Api:
        """Return a merchant's client that tries each process in turn."""
        return Api([child.url for child in self.service], API_KEY)

    @property
    def phone(self) -> Phone:
        """Return the customer's phone: the sandbox's own API."""
        return Phone(self.sandbox.url)

    def subscribe(self, *types: str, line: Line | None = None) -> Shop:
        """Open a shop's endpoint and subscribe it, by a line; return it once it is verified."""
        shop = Shop()
        self.shops.append(shop)
        url = shop.url
        if line is not None:
            line.end, url = shop.served.port, url.replace(f":{shop.served.port}", f":{line.port}")
        body = {"url": url, "eventTypes": list(types or ("*",))}
        made = self.api.call("POST", "/v1/subscriptions", body)
        assert made.status_code == 201, made.text
        shop.app.secrets.append(made.json()["secret"])
        path = f"/v1/subscriptions/{made.json()['id']}"
        eventually(lambda: self.api.get(path)["status"] == "healthy", what="subscriber verified")
        return shop

    def betalbar(self, *arguments: str) -> Child:
        """Return a `betalbar` command with this stack's settings, not started yet."""
        name = f"betalbar-{'-'.join(arguments)}"
        return Child(name, [FORKED, *arguments], self.environment, self.folder)

    def run(self, *arguments: str) -> None:
        """Run a `betalbar` command to its end, which must be 0."""
        run_to_its_end(self.betalbar(*arguments))

    def unheard(self, reference: str | None = None) -> list[Json]:
        """Return what happened at Vipps and was not acknowledged to it yet."""
        reports = [json.loads(body) for body in self.front.acknowledged]
        heard = {(r["reference"], r["pspReference"], r["name"].lower()) for r in reports}
        happened = self.phone.effects(reference)
        return [
            e for e in happened if (e["reference"], e["pspReference"], e["effect"]) not in heard
        ]

    def output(self) -> bytes:
        """Return all that the service's processes have written."""
        written = [p for c in self.service for p in (c.stdout, c.stderr)]
        return b"".join(p.read_bytes() for p in written if p.exists())

    def shown_in_logs(self) -> list[str]:
        """Return which of the people and secrets of every test the service has written down."""
        people = an_invoice("")["customer"].values()
        master_keys = self.environment["BETALBAR_MASTER_KEYS"]
        secrets = (API_KEY, CLIENT_SECRET, SUBSCRIPTION_KEY, master_keys)
        written = self.output()
        return [one for one in (*people, *secrets) if one.encode() in written]

    def close(self) -> None:
        """End and reap everything."""
        for child in [*self.service, self.sandbox]:
            child.kill()
        for served in [self.front_served, *(shop.served for shop in self.shops)]:
            served.stop()


def run_to_its_end(child: Child) -> None:
    """Run a process to its end, which must be 0."""
    child.start()
    assert child.process is not None
    assert child.process.wait(_COMMAND_WITHIN_S) == 0, child.stderr.read_text()


def as_it_is(child: Child) -> Child:
    """Return a process of this version."""
    return child


def environment_for(database_url: str, public_url: str, sandbox_url: str) -> dict[str, str]:
    """Return the settings that every process of one stack shares."""
    return clean_environment(
        BETALBAR_DATABASE_URL=database_url,
        BETALBAR_PUBLIC_URL=public_url,
        BETALBAR_VIPPS_URL=sandbox_url,
        BETALBAR_VIPPS_MSN=MSN,
        BETALBAR_VIPPS_CLIENT_ID="a-client",
        BETALBAR_VIPPS_CLIENT_SECRET=CLIENT_SECRET,
        BETALBAR_VIPPS_SUBSCRIPTION_KEY=SUBSCRIPTION_KEY,
        BETALBAR_API_KEY=API_KEY,
        BETALBAR_SUBSCRIBER_ALLOW="127.0.0.0/8",
        BETALBAR_MASTER_KEYS=base64.urlsafe_b64encode(os.urandom(32)).decode(),
        BETALBAR_LOG="json",
    )


def sandbox_child(folder: Path) -> Child:
    """Return the sandbox's process, not started yet."""
    port = free_port()
    command = [FORKED, SANDBOX, str(folder / "sandbox.db"), str(port)]
    url = f"http://127.0.0.1:{port}"
    return Child("sandbox", command, clean_environment(), folder, url)


def service_child(
    environment: dict[str, str], folder: Path, number: int, *, by_command: bool = False
) -> Child:
    """Return one `serve` of the service, not started yet."""
    port = free_port()
    own = environment | {"BETALBAR_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    return Child(
        f"service{number}", [BETALBAR if by_command else FORKED, "serve"], own, folder, url
    )


@contextmanager
def running(
    folder: Path,
    database_url: str,
    *,
    processes: int = 1,
    by_commands: bool = False,
    of_version: Callable[[Child], Child] = as_it_is,
    **settings: str,
) -> Iterator[Stack]:
    """Run a stack, registered at its sandbox, with nobody subscribed.

    `by_commands`: as an operator would, with `betalbar webhooks register` and the installed
    command. Else the secret comes by a setting, and processes start in a moment. `of_version`
    makes another version's of each process of the service, and of its schema."""
    front = Front()
    front_served = Served(front)
    front_served.start()
    sandbox = sandbox_child(folder)
    environment = environment_for(database_url, front_served.url, sandbox.url) | settings
    stack = Stack(folder, database_url, sandbox, [], front, front_served, environment)
    try:
        sandbox.start()
        sandbox.wait_ready("/sandbox/clock")
        run_to_its_end(of_version(stack.betalbar("migrate")))
        if by_commands:
            stack.run("webhooks", "register")
        else:
            environment["BETALBAR_VIPPS_WEBHOOK_SECRET"] = _register(sandbox.url, front_served.url)
        stack.service += [
            of_version(service_child(environment, folder, n, by_command=by_commands))
            for n in range(processes)
        ]
        for child in stack.service:
            child.start()
        front.backends = [child.url for child in stack.service]
        for child in stack.service:
            child.wait_ready("/readyz")
        yield stack
        assert stack.shown_in_logs() == []
    finally:
        stack.close()


def _register(sandbox_url: str, public_url: str) -> str:
    """Register the service's address at the sandbox, as anybody might; return the secret."""
    keys = {
        "client_id": "a-client",
        "client_secret": CLIENT_SECRET,
        "Ocp-Apim-Subscription-Key": SUBSCRIPTION_KEY,
        "Merchant-Serial-Number": MSN,
    }
    token = HTTP.post(f"{sandbox_url}/accesstoken/get", headers=keys).json()["access_token"]
    body = {"url": f"{public_url}/webhooks/vipps/{MSN}", "events": list(EVENT_TYPES)}
    headers = keys | {"Authorization": f"Bearer {token}"}
    made = HTTP.post(f"{sandbox_url}/webhooks/v1/webhooks", json=body, headers=headers)
    assert made.status_code == 201, made.text
    return str(made.json()["secret"])
