"""Many writers on one feed, and a reader who stops and starts: `python -m tests.feed_writers`.

Eight writers move the same invoices to and fro
through the ledger, several in one commit or one. The reader pauses, breaks off between reading
a page and keeping it, and starts again with what it had kept (I8).
"""

import argparse
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

import orjson

from service.clock import Clock
from service.context import Context
from service.errors import DatabaseAway
from service.feed.pages import Page, Wanted, ends_of, read_page
from service.ledger.book import Book, write
from service.ledger.invoices import create_invoice
from service.ledger.types import Ask
from service.settings import load_settings
from service.store.db import Database
from service.units import add_unit
from service.vault import open_vault
from service.wake import Wake
from statemachine import State, Trigger
from tests.builders import MSN, a_unit, an_invoice

WRITERS = 8
MASTER = b"k" * 32
ASK = Ask(actor="a_writer")
# Few, so that writers meet at the same invoice as well as at the feed.
INVOICES = 64
PER_COMMIT_MAX = 8


def context_of(url: str) -> Context:
    """Open what one process needs."""
    database = Database(url)
    with database.transaction() as session:
        vault = open_vault(session, [MASTER], now=datetime.now(UTC))
    return Context(load_settings({}), database, vault, Clock(), Wake())


def prepare(context: Context) -> None:
    """Make a sales unit with its invoices; each is one event."""
    with context.database.transaction() as session:
        add_unit(session, context.vault, a_unit(), now=datetime.now(UTC))
    for number in range(INVOICES):
        values = an_invoice(reference=f"writers-{number:04d}", flow="WEB_REDIRECT", push=False)
        write(context, partial(create_invoice, msn=MSN, new=values, ask=ASK))


def write_events(context: Context, count: int, per_commit_max: int, dice: Random) -> None:
    """Append so many events by moving invoices, one or several in a commit."""
    left = count
    while left:
        size = min(left, dice.choice((1, 1, 1, 2, 3, per_commit_max)))
        references = dice.sample(range(INVOICES), size)
        # With one writing connection, whoever waited too long tries again, as a client would.
        with contextlib.suppress(DatabaseAway):
            write(context, partial(_move_all, numbers=references))
            left -= size


def _move_all(book: Book, numbers: Sequence[int]) -> None:
    found = [book.find(MSN, f"writers-{number:04d}") for number in numbers]
    ids = [key for key in found if key is not None]
    book.load(ids)
    for key in ids:
        invoice = book.invoice(key)
        trigger = Trigger.SOFT_DISMISS if invoice.state == State.PUSHED else Trigger.PUSH
        decision = book.decide(invoice, trigger, payment_is_new=True)
        book.move(invoice, decision, book.record_act(invoice, trigger, ASK))


@dataclass
class Reader:
    """A merchant's system: what it has kept, and what it noticed to be wrong."""

    database: Database
    context: Context
    dice: Random
    position: int = 0
    events: int = 0
    restarts: int = 0
    sequences: dict[str, int] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def read(self) -> Page:
        """Read a page of any size from where it stands, perhaps break off, else keep it."""
        wanted = Wanted(MSN, self.position, self.dice.randint(1, 200))
        with self.database.snapshot() as session:
            page = read_page(session, self.context.vault, wanted)
        if self.dice.random() < 0.1:
            self.restarts += 1  # the process ended before its own commit
            return page
        for entry in page.entries:
            self._keep(entry.position, orjson.loads(entry.payload))
        self.position = page.position
        return page

    def _keep(self, position: int, event: dict[str, Any]) -> None:
        reference, sequence = event["data"]["invoice"]["reference"], event["sequence"]
        self.events += 1
        if position != self.events:
            self.wrong.append(f"event {self.events} stands at {position}")
        if event["id"] in self.ids:
            self.wrong.append(f"{event['id']} came twice")
        if sequence != self.sequences.get(reference, 0) + 1:
            before = self.sequences.get(reference, 0)
            self.wrong.append(f"{reference}: {sequence} came after {before}")
        self.ids.add(event["id"])
        self.sequences[reference] = sequence


def prove(url: str, count: int, *, seed: int, per_commit_max: int = PER_COMMIT_MAX) -> Reader:
    """Write and read about so many events at once; return the reader, with what was wrong.

    A commit costs more than an event: many events want large ones among the small, up to
    `per_commit_max`, which is at most `INVOICES`."""
    context, dice = context_of(url), Random(seed)
    prepare(context)
    each = count // WRITERS
    # SQLite has one process that writes; PostgreSQL has writers that know nothing of each other.
    processes = 1 if context.database.is_sqlite else 2
    writers = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.feed_writers",
                url,
                *map(str, (each, WRITERS // processes, per_commit_max, seed + number)),
            ]
        )
        for number in range(processes)
    ]
    reader = Reader(context.database, context, dice)
    try:
        while any(writer.poll() is None for writer in writers) or _is_behind(context, reader):
            try:
                page = reader.read()
            except DatabaseAway:  # it would be a 503: the merchant asks again
                reader.restarts += 1
                continue
            if page.is_last or dice.random() < 0.1:
                time.sleep(dice.random() * 0.02)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    codes = [writer.returncode for writer in writers]
    if any(codes):
        reader.wrong.append(f"the writers ended with {codes}")
    expected = INVOICES + each * WRITERS
    if reader.events != expected:
        reader.wrong.append(f"{reader.events} events came instead of {expected}")
    context.database.dispose()
    return reader


def _is_behind(context: Context, reader: Reader) -> bool:
    with context.database.snapshot() as session:
        return ends_of(session, MSN).head > reader.position


def main() -> int:
    """Be one process of writers."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("url")
    options.add_argument("each", type=int)
    options.add_argument("threads", type=int)
    options.add_argument("per_commit_max", type=int)
    options.add_argument("seed", type=int)
    chosen = options.parse_args()
    context = context_of(chosen.url)
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            dice = Random(chosen.seed * 100 + number)
            write_events(context, chosen.each, chosen.per_commit_max, dice)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in range(chosen.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    context.database.dispose()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
