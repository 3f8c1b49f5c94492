"""compose.yaml without a container engine: `make topology`.

What compose runs in a container runs here as a process, with the command and the settings that
stand there: two replicas, a worker, PostgreSQL and NATS from packages, nginx from the system with
the same configuration. Only Vipps is a sandbox.
"""

import re
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.flows.client import Api
from tests.flows.front import Front
from tests.flows.own_postgresql import own_postgresql
from tests.flows.processes import FORKED, ROOT, Child, Served, clean_environment, free_port
from tests.flows.stack import API_KEY, Stack, environment_for, sandbox_child
from tests.nats_server import NatsServer
from tests.nginx import BINARY, MISSING, Nginx

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
# Everything else on the machine may come first.
UP_WITHIN_S = 300.0
# Compose's services that are not ours come from these.
FROM_PACKAGES = {"postgresql", "nats", "proxy"}
REPLICAS = ("one", "two")
# Every container listens there; here they share one address, and each has a port of its own.
IMAGE_PORT = "8080"
# What stands in the file `.env`, beside how Vipps is reached.
DOTENV = {
    "POSTGRES_PASSWORD": "none",
    "BETALBAR_METRICS_KEY": "secret-CANARY-metrics",
    "BETALBAR_MERCHANT_NAME": "Demo merchant",
    "BETALBAR_ORGANISATION_NUMBER": "999999999",
    "BETALBAR_CONTACT_URL": "https://example.com/contact",
    "BETALBAR_TERMS_URL": "https://example.com/terms",
    "BETALBAR_PRIVACY_URL": "https://example.com/privacy",
    "BETALBAR_CURRENCY": "NOK",
}
# The image sets the first; the others spare a test what an operator does.
BESIDE_COMPOSE = ("BETALBAR_LOG", "BETALBAR_API_KEY", "BETALBAR_SUBSCRIBER_ALLOW")


@dataclass
class Topology(Stack):
    """All of compose.yaml; whoever calls, comes through the proxy."""

    proxy: Nginx = field(kw_only=True)
    broker: NatsServer = field(kw_only=True)

    @property
    def api(self) -> Api:
        """Return a merchant's client that knows the public address alone."""
        return Api([self.proxy.url], API_KEY, self.proxy.client)

    @property
    def replicas(self) -> list[Child]:
        """Return the processes that stand behind the proxy."""
        return [child for child in self.service if child.name in REPLICAS]

    def close(self) -> None:
        """End and reap everything."""
        self.proxy.process.kill()
        super().close()
        self.broker.stop()


def ours() -> dict[str, dict[str, Any]]:
    """Return compose's services that are made of our image, in their order."""
    services: dict[str, dict[str, Any]] = COMPOSE["services"]
    found = {name: one for name, one in services.items() if "build" in one}
    assert {*services} - {*found} == FROM_PACKAGES
    return found


def filled_in(settings: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    """Return a service's settings as compose reads them, from a file `.env` with these values.

    Raises: KeyError, if one is missing there."""

    def value(found: re.Match[str]) -> str:
        return values[found[1]]

    return {name: re.sub(r"\$\{(\w+):\?\}", value, text) for name, text in settings.items()}


@contextmanager
def topology(folder: Path) -> Iterator[Topology]:
    """Run all of it, registered at its sandbox, with nobody subscribed."""
    broker = NatsServer(folder / "nats")
    with own_postgresql() as postgresql:
        made = _put_together(folder, postgresql.url, broker)
        try:
            _start(made)
            yield made
        finally:
            made.close()


def _put_together(folder: Path, database_url: str, broker: NatsServer) -> Topology:
    ports = {name: free_port() for name in ours()}
    proxy = Nginx(folder / "nginx", [f"127.0.0.1:{ports[name]}" for name in REPLICAS])
    front = Front([proxy.url], proxy.trust)
    served, sandbox = Served(front), sandbox_child(folder)
    shared = environment_for(database_url, served.url, sandbox.url)
    here = clean_environment() | {
        "BETALBAR_DATABASE_URL": database_url,
        "BETALBAR_BROKER_URL": broker.url,
        "BETALBAR_TRUSTED_PROXIES": "127.0.0.1",
        **{name: shared[name] for name in BESIDE_COMPOSE},
    }
    service = []
    for name, one in ours().items():
        port = str(ports[name])
        settings = filled_in(one["environment"], shared | DOTENV)
        command = [port if word == IMAGE_PORT else word for word in one["command"]]
        environment = settings | here | {"BETALBAR_PORT": port}
        url = f"http://127.0.0.1:{port}"
        service.append(Child(name, [FORKED, *command], environment, folder, url))
    return Topology(
        folder,
        database_url,
        sandbox,
        service,
        front,
        served,
        dict(service[0].environment),
        proxy=proxy,
        broker=broker,
    )


def _start(made: Topology) -> None:
    """Start each after what it depends on, as compose does."""
    made.front_served.start()
    made.broker.start()
    made.sandbox.start()
    made.sandbox.wait_ready("/sandbox/clock")
    made.service = [child for child in made.service if child.name != "migrate"]
    made.run("migrate")
    made.run("webhooks", "register")
    for child in made.service:
        child.start()
    for child in made.service:
        child.wait_ready("/readyz", within_s=UP_WITHIN_S)
    made.proxy.start()


def main() -> None:
    """Run it until Ctrl-C, and say where it is."""
    if BINARY is None:
        raise SystemExit(MISSING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="topology-") as name, topology(Path(name)) as made:
        lines = [f"{child.name:8} {child.url}" for child in made.service]
        lines += [f"proxy    {made.proxy.url}", f"Vipps    {made.sandbox.url}/phone"]
        lines += [f"files    {name}", f"API key  {API_KEY}", "Ctrl-C ends it all."]
        print("\n".join(lines), flush=True)
        with suppress(KeyboardInterrupt):
            signal.pause()
