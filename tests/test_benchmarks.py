"""The benchmarks' own tools: nothing here is timed, only what would make a figure a lie."""

import asyncio
import io
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from rich.console import Console
from sqlmodel import col

from service.audit.chain import check_all
from service.audit.evidence import evidence_of
from service.ledger.book import write
from service.ledger.record import record
from service.store.tables import Event, Feed, Invoice
from statemachine import Outcome
from tests.benchmarks.figures import Figure, Goal, Rows, at_least, below
from tests.benchmarks.load import post_all
from tests.benchmarks.machine import this_machine
from tests.benchmarks.open_loop import OpenLoop, percentile
from tests.benchmarks.peers.disk import GROUP, Disk
from tests.benchmarks.peers.lean import Lean
from tests.benchmarks.pile import Pile
from tests.benchmarks.rounds import Results, Round
from tests.benchmarks.servers import SECRET, address_of, settings_for
from tests.benchmarks.table import show, write_json
from tests.benchmarks.webhooks import MSN, PATH, write_requests
from tests.builders import received
from webhooks.vipps import SignedRequest, verify

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
GOOD = Rows("transitions", found=100, least=95, most=100)
LOST = Rows("transitions", found=94, least=95, most=100)


def a_figure(*rows: Rows) -> Figure:
    """Return a figure that is ten times its peer."""
    return Figure(
        name="receive, SQLite",
        unit="events/s",
        ours=5_000,
        peers={"a tutorial": 500},
        limits={"a limit": 8_000},
        p50_ms=3.2,
        p99_ms=12.5,
        cpu_us=90,
        rows=rows,
        goals=[at_least(5, 5_000, 500, "a tutorial"), below(10, 12.5, "p99"), Goal("more", None)],
        remarks=["dj-stripe was not run"],
    )


def printed(figure: Figure) -> str:
    """Return the table as it is printed."""
    told = io.StringIO()
    show([figure], this_machine(), Console(file=told, width=200))
    return told.getvalue()


def test_table_says_what_was_reached_and_what_was_missed() -> None:
    """A goal that is missed, or can't be judged, is said as such beside those that are reached."""
    text = printed(a_figure(GOOD))

    for said in ("5,000 events/s", "10.00 x a tutorial (500)", "3.2 / 12.5 ms", "100 transitions"):
        assert said in text
    for said in ("reached: ≥ 5 x a tutorial", "missed: p99 < 10 ms", "? more", "not run"):
        assert said in text


@pytest.mark.parametrize(
    "wrong", [LOST, replace(GOOD, found=101)], ids=["fewer than answered", "more than sent"]
)
def test_figure_whose_rows_do_not_add_up_is_printed_as_failed(wrong: Rows) -> None:
    """Whoever answers 200 and stores nothing is fast, and has no rate."""
    text = printed(a_figure(GOOD, wrong))

    assert "FAILED" in text
    assert f"{wrong.found} transitions, not 95 to 100" in text
    assert "5,000" not in text and "10.00 x" not in text and "reached" not in text


def test_one_wrong_round_among_good_ones_fails_the_figure() -> None:
    """The sum of several rounds must not hide that one of them lost something."""
    lucky = replace(LOST, found=100, least=0)
    results = Results()
    results.rounds["ours"] = [Round(5_000, rows=(each,)) for each in (GOOD, LOST, lucky)]

    assert a_figure(*results.rows("ours")).has_failed
    results.rounds["ours"] = [Round(5_000, rows=(each,)) for each in (GOOD, lucky)]
    assert results.rows("ours") == (Rows("transitions", 200, 95, 200),)


def test_json_has_the_figures_their_ratios_and_the_machine(tmp_path: Path) -> None:
    """A script that compares two runs needs no table."""
    write_json(tmp_path / "found.json", [a_figure(GOOD)], this_machine())

    found = json.loads((tmp_path / "found.json").read_text())
    assert found["machine"]["cores"] >= 1 and "Python" in found["machine"]["versions"]
    [figure] = found["figures"]
    assert figure["ratios"] == {"a tutorial": 10.0, "a limit": 0.625}
    assert figure["has_failed"] is False and figure["goals"][1]["is_reached"] is False


def test_prepared_requests_are_signed_differ_and_are_equally_long(tmp_path: Path) -> None:
    """What the load sends is what Vipps would send: it passes the proof, and is never the same."""
    file, to = tmp_path / "requests", address_of(9_000)
    size = write_requests(file, [f"bench-{n:012}" for n in range(20)], to, at=AT)

    data = file.read_bytes()
    requests = [data[start : start + size] for start in range(0, len(data), size)]
    assert len(set(requests)) == 20
    for request in requests:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        assert first == f"POST {PATH} HTTP/1.1".encode()
        headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
        told = SignedRequest("POST", PATH, to.host, headers, body)
        assert verify(told, [SECRET], AT + timedelta(minutes=4)) == 0
        assert dict(headers)[b"Content-Length"] == str(len(body)).encode()


def test_invoices_made_in_bulk_are_what_the_ledger_would_have_made(database_url: str) -> None:
    """Chains, seals and positions of a pile are sound, and each takes its AUTHORIZED."""
    pile = Pile(settings_for(database_url, 9_000))
    references = [*pile.make(3), *pile.make(1)]
    bodies = [
        {
            "msn": MSN,
            "reference": reference,
            "pspReference": f"psp-{reference}",
            "name": "AUTHORIZED",
            "amount": {"currency": "NOK", "value": 125_000},
            "timestamp": AT.isoformat(),
            "success": True,
        }
        for reference in references
    ]

    batch = [received(body) for body in bodies]
    outcomes = write(pile.context, lambda book: record(book, batch))

    assert outcomes == [Outcome.APPLIED] * 4

    with pile.context.database.snapshot() as session:
        assert list(check_all(session, pile.context.vault)) == [None] * 5  # the model is one more
        invoices = session.scalars(sa.select(Invoice)).all()
        assert [invoice.state for invoice in invoices].count("authorized") == 4
        for invoice in invoices:
            assert evidence_of(session, pile.context, invoice)  # opens every seal
        positions = session.scalars(sa.select(col(Event.position)).order_by(col(Event.position)))
        head = session.execute(sa.select(col(Feed.position))).scalar_one()
        assert list(positions) == list(range(1, head + 1))
        assert {invoice.id for invoice in invoices} >= {pile.id_of(n) for n in range(1, 5)}
    pile.close()


def test_driver_alone_writes_what_it_says(database_url: str) -> None:
    """The limit that ours is held to writes every row, on both databases."""
    pile = Pile(settings_for(database_url, 9_000))

    found = Disk(pile, lambda: 0.0, expected_per_s=1_000).round(0.2)

    assert found.per_s > 0
    [rows] = found.rows
    assert rows.add_up and rows.found >= GROUP and rows.found % GROUP == 0
    pile.close()


def test_lean_peers_get_as_many_invoices_as_asked_for(tmp_path: Path) -> None:
    """References of a second batch are not those of the first."""
    lean = Lean(f"sqlite:///{tmp_path / 'lean.db'}")

    assert len({*lean.make(3), *lean.make(4)}) == 7
    assert lean.count() == {"transitions": 0, "events": 0}
    lean.close()


class Receiver(asyncio.Protocol):
    """Answers 503 to the first request about a payment, and 200 to the next."""

    def __init__(self, seen: list[bytes]) -> None:
        """Take the list of references that were asked about."""
        self._seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        reference = data.partition(b'"reference":"')[2][:18]
        status = 200 if reference in self._seen else 503
        self._seen.append(reference)
        self._transport.write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % status)


def test_open_loop_keeps_its_rate_and_sends_again_what_was_shed() -> None:
    """Latency counts from when a request was due, and a 503 is no end of an event."""
    seen: list[bytes] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Receiver(seen), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        load = OpenLoop(address_of(port), port, [f"bench-{n:012}" for n in range(20)])
        told = await load.run(rate=200, seconds=0.3)
        load.close()
        server.close()
        assert told.statuses == {503: 20, 200: 20}
        assert (told.sent, told.unanswered, told.broken) == (40, 0, 0)
        assert len(told.late_s) == 40 and min(told.stored_s) >= 0

    asyncio.run(scenario())
    assert len(seen) == 40 and len(set(seen)) == 20


def test_percentile_is_the_value_below_which_a_share_lies() -> None:
    """One slow answer in a hundred is the p99, and nothing has none."""
    assert percentile([*range(99), 5_000], 0.99) == 5_000
    assert percentile([1, 2, 3], 0.5) == 2
    assert percentile([], 0.99) == 0


@pytest.mark.skipif(shutil.which("wrk") is None, reason="NOT RUN: needs wrk (apt install wrk)")
def test_wrk_sends_each_request_once_and_says_when_it_had_too_few(tmp_path: Path) -> None:
    """A round that ran dry is known, and is no measurement."""
    file, seen = tmp_path / "requests", [b"bench-%012d" % n for n in range(0, 30, 3)]

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Receiver(seen), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        references = [f"bench-{n:012}" for n in range(30)]
        size = write_requests(file, references, address_of(port), at=datetime.now(UTC))
        told = await asyncio.to_thread(post_all, file, size, port=port, seconds=1, connections=4)
        server.close()
        assert told.was_too_short and told.sent == 30

    asyncio.run(scenario())
    sent = seen[10:]
    assert set(sent) == {b"bench-%012d" % n for n in range(30)}
    # It stops with what the four connections have under way, which is the first one again.
    assert len(sent) <= 34 and all(sent.count(each) == 1 for each in sent if each != seen[0])
