"""Everybody who receives webhooks here, started with all that a round needs."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import sqlalchemy as sa

from service.ids import new_id
from tests.benchmarks.databases import Databases, scalar
from tests.benchmarks.peers.disk import Disk
from tests.benchmarks.peers.installed import NotInstalled, express, python_with_fastapi
from tests.benchmarks.peers.lean import Lean
from tests.benchmarks.pile import Pile
from tests.benchmarks.rounds import Receiver
from tests.benchmarks.servers import BARE, SECRET, SERVE, VERIFY_ONLY, server, settings_for
from tests.flows.processes import clean_environment, free_port

OURS = "ours"
TUTORIAL = "FastAPI + SQLModel"
EXPRESS = "express + pg"
LIMIT = "our server, only verifying"
GENERATOR = "wrk to a bare protocol"


@dataclass(frozen=True, slots=True)
class Service:
    """Our service at work, and the pile that its invoices come from."""

    receiver: Receiver
    pile: Pile


class Stage:
    """The contenders for one kind of database, started as they are asked for."""

    def __init__(self, stack: ExitStack, place: Databases) -> None:
        """Take the databases and the stack that ends everything."""
        self._stack = stack
        self._place = place
        self._folder = place.folder
        self._services: list[Receiver] = []
        self.remarks: list[str] = []

    def ours(self, name: str = OURS, *, processes: int = 1, invoices: int = 0) -> Service:
        """Return our service, without its workers, beside so many invoices."""
        port, database = free_port(), f"ours_{len(self._services)}"
        environment = settings_for(self._place.make(database), port)
        pile = Pile(environment)
        self._stack.callback(pile.close)
        pile.make(invoices)
        self._place.tidy(pile.url)
        command = [*SERVE, "--processes", str(processes)]
        process = self._stack.enter_context(
            server(database, command, environment, port=port, folder=self._folder)
        )
        receiver = Receiver(
            name=name,
            port=port,
            process=process,
            folder=self._folder,
            make=pile.make,
            count=_Written(pile.url),
            database_cpu_s=self._place.cpu_s,
            log_bytes=self._place.log_bytes,
        )
        self._services.append(receiver)
        return Service(receiver, pile)

    def limit(self) -> Receiver:
        """Return our server as it answers once the signature is proven."""
        port = free_port()
        environment = settings_for(self._place.make("limit"), port)
        Pile(environment).close()  # for its schema
        process = self._stack.enter_context(
            server("limit", VERIFY_ONLY, environment, port=port, folder=self._folder)
        )
        return Receiver(LIMIT, port, process, self._folder, _any, expected_per_s=6_000)

    def generator(self) -> Receiver:
        """Return a server that does nothing: what is measured is the load."""
        port = free_port()
        command = [*BARE, str(port)]
        process = self._stack.enter_context(
            server("bare", command, clean_environment(), port=port, folder=self._folder)
        )
        return Receiver(GENERATOR, port, process, self._folder, _any, expected_per_s=20_000)

    def disk(self) -> Disk:
        """Return the driver alone."""
        pile = Pile(settings_for(self._place.make("disk"), free_port()))
        self._stack.callback(pile.close)
        return Disk(pile, self._place.cpu_s)

    def peers(self) -> Iterator[Receiver]:
        """Return those who can run here; of the others a remark says why not."""
        starts = (
            [self._tutorial] if self._place.kind == "sqlite" else [self._tutorial, self._express]
        )
        for start in starts:
            try:
                yield start()
            except NotInstalled as error:
                self.remarks.append(str(error))

    def _tutorial(self) -> Receiver:
        python = python_with_fastapi()
        url, port = self._place.make("tutorial"), free_port()
        command = [
            *(str(python), "-m", "uvicorn", "tests.benchmarks.peers.tutorial:app"),
            *("--port", str(port), "--no-access-log", "--log-level", "warning"),
        ]
        driver = url if self._place.kind == "sqlite" else url.replace("://", "+psycopg://", 1)
        environment = clean_environment(DATABASE_URL=driver, SECRET=SECRET)
        return self._lean(TUTORIAL, command, environment, url=url, port=port)

    def _express(self) -> Receiver:
        folder = express()
        url, port = self._place.make("express"), free_port()
        parts = sa.make_url(url)
        environment = clean_environment(
            PORT=str(port),
            PROCESSES=str(os.cpu_count() or 1),
            SECRET=SECRET,
            NODE_ENV="production",
            PGHOST=str(parts.query["host"]),
            PGUSER=str(parts.username),
            PGDATABASE=str(parts.database),
        )
        node = str(shutil.which("node"))
        command = [node, str(folder / "receiver.js")]
        return self._lean(EXPRESS, command, environment, url=url, port=port)

    def _lean(
        self, name: str, command: list[str], environment: Mapping[str, str], *, url: str, port: int
    ) -> Receiver:
        lean = Lean(url)
        self._stack.callback(lean.close)
        process = self._stack.enter_context(
            server(name.split()[0], command, environment, port=port, folder=self._folder)
        )
        return Receiver(
            name=name,
            port=port,
            process=process,
            folder=self._folder,
            make=lean.make,
            count=lean.count,
            database_cpu_s=self._place.cpu_s,
            expected_per_s=600,
        )


class _Written:
    """Counts what our service has written since now: ids of a later time sort behind it."""

    def __init__(self, url: str) -> None:
        """Start here."""
        self._url = url
        self._since = new_id("vev").removeprefix("vev_")

    def __call__(self) -> Mapping[str, int]:
        """Return how many rows of each kind there are since."""
        vev, evt = f"vev_{self._since}", f"evt_{self._since}"
        return {
            "Vipps events": self._of("vipps_event WHERE id > ? AND outcome = 'applied'", vev),
            "transitions": self._of("transition WHERE evidence_id > ?", vev),
            "events": self._of("event WHERE id > ? AND is_transition", evt),
        }

    def _of(self, what: str, since: str) -> int:
        return scalar(self._url, f"SELECT count(*) FROM {what}", since)  # noqa: S608


def _any(number: int) -> list[str]:
    """Return references that nobody knows."""
    return [f"bench-{place:012}" for place in range(number)]
