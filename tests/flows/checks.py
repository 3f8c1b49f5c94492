"""A checker that knows the tables and the contract, and none of the service's code.

Every function returns what is wrong, as sentences; an empty list is the proof.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

Row = Mapping[str, Any]

# Contract, section 2: trigger -> (from, to). None is "not there yet".
PAYABLE = ("created", "pushed", "soft_dismissed")
LEGAL = {
    (None, "create", "created"),
    *((state, "push", "pushed") for state in PAYABLE),
    ("pushed", "soft_dismiss", "soft_dismissed"),
    *((state, "authorize", "authorized") for state in PAYABLE),
    *((state, "abort", "aborted") for state in PAYABLE),
    *((state, "expire", "expired") for state in PAYABLE),
    *((state, "terminate", "terminated") for state in PAYABLE),
    ("created", "fail", "failed"),
    ("authorized", "capture", "captured"),
    ("captured", "capture", "captured"),
    ("authorized", "cancel", "cancelled"),
    ("captured", "cancel", "refunded"),
    ("captured", "cancel", "captured"),
    ("captured", "refund", "refunded"),
    ("captured", "refund", "captured"),
    *((state, "reopen", "created") for state in ("aborted", "expired", "failed")),
}

# What the chain of hashes covers, in this order (contract, section 3).
HASHED = (
    *("invoice_id", "sequence", "from_state", "to_state", "trigger", "source", "evidence_id"),
    *("evidence_hash", "occurred_at", "recorded_at", "amount_minor", "currency"),
    *("payment_reference", "actor", "reason", "previous_hash"),
)


# A read that is planned for later than this is a schedule's, or asks again after many failures.
SCHEDULED_S = 20.0


class Books:
    """A database, read only, by plain SQL."""

    def __init__(self, url: str) -> None:
        """Prepare to read; nothing of the service is needed for it."""
        driver = "postgresql+psycopg" if url.startswith("postgresql") else None
        made = sa.make_url(url)
        self._engine = sa.create_engine(made.set(drivername=driver) if driver else made)

    def rows(self, statement: str, **values: str) -> list[Row]:
        """Return what a statement finds."""
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(sa.text(statement), values)]

    def table(self, name: str) -> list[Row]:
        """Return every row of a table."""
        every: sa.Select[Any] = sa.select(sa.literal_column("*")).select_from(sa.table(name))
        with self._engine.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(every)]

    def names(self) -> list[str]:
        """Return every table's name."""
        return sa.inspect(self._engine).get_table_names()

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()


@contextmanager
def open_books(url: str) -> Any:
    """Open a database for checking, and close it afterwards."""
    books = Books(url)
    try:
        yield books
    finally:
        books.close()


def wrong_histories(books: Books) -> list[str]:
    """I3: gapless steps that the table allows, a whole chain of hashes, the state its end."""
    wrong = []
    steps: dict[str, list[Row]] = defaultdict(list)
    for row in books.rows("SELECT * FROM transition ORDER BY invoice_id, sequence"):
        steps[row["invoice_id"]].append(row)
    for invoice in books.rows("SELECT * FROM invoice"):
        wrong += [f"{invoice['reference']}: {w}" for w in _history(invoice, steps[invoice["id"]])]
    return wrong


def _history(invoice: Row, steps: Sequence[Row]) -> Iterable[str]:
    if [s["sequence"] for s in steps] != list(range(1, len(steps) + 1)) or not steps:
        yield f"sequences {[s['sequence'] for s in steps]}"
        return
    if (invoice["sequence"], invoice["state"]) != (len(steps), steps[-1]["to_state"]):
        yield f"is {invoice['state']} at {invoice['sequence']}, its history says otherwise"
    before, link = None, bytes(32)
    for step in steps:
        if step["from_state"] != before or (before, step["trigger"], step["to_state"]) not in LEGAL:
            yield f"step {step['sequence']}: {before} {step['trigger']} {step['to_state']}"
        if bytes(step["previous_hash"]) != link or bytes(step["hash"]) != chained(step):
            yield f"step {step['sequence']} breaks the chain"
        before, link = step["to_state"], bytes(step["hash"])
    if bytes(invoice["head_hash"]) != link:
        yield "its head is not its last step"


def chained(step: Row) -> bytes:
    """Return the hash that a transition must have."""
    text = json.dumps(
        [_plain(n, step[n]) for n in HASHED], separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(text.encode()).digest()


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if name.endswith("_at"):
        return _instant(value).isoformat(timespec="microseconds")
    return value


def _instant(value: Any) -> datetime:
    """Return an instant in UTC; SQLite keeps it as text without a zone."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def wrong_feed(books: Books) -> list[str]:
    """I7, I8: one event for each transition, positions without gap, all of it fanned out."""
    wrong = []
    events = books.rows("SELECT * FROM event ORDER BY msn, position")
    told = Counter((e["invoice_id"], e["sequence"]) for e in events if e["is_transition"])
    moved = Counter(
        (t["invoice_id"], t["sequence"])
        for t in books.rows("SELECT invoice_id, sequence FROM transition")
    )
    wrong += [f"transition {key} has {told[key]} events" for key in moved if told[key] != 1]
    wrong += [f"event of no transition: {key}" for key in told if key not in moved]
    for feed in books.rows(
        "SELECT f.msn, f.position, o.position AS sent FROM feed f JOIN fanout o USING (msn)"
    ):
        places = [e["position"] for e in events if e["msn"] == feed["msn"]]
        if places != list(range(1, feed["position"] + 1)) or feed["sent"] != feed["position"]:
            wrong.append(f"feed {dict(feed)} holds {len(places)} events")
    last: dict[str, int] = {}
    for event in (e for e in events if e["invoice_id"]):  # others tell of a subscription
        if event["sequence"] < last.get(event["invoice_id"], 0):
            wrong.append(f"event {event['id']} goes backwards")
        last[event["invoice_id"]] = event["sequence"]
    return wrong


def unfinished(books: Books) -> list[str]:
    """I12: work that still waits; empty once everything has come to rest."""
    soon = datetime.now(UTC) + timedelta(seconds=SCHEDULED_S)
    found = [
        f"command {c['kind']} of {c['invoice_id']} is {c['status']} after {c['attempts']} tries"
        for c in books.rows("SELECT * FROM command WHERE status IN ('waiting', 'running')")
        if c["kind"] != "read_payment"
        or c["status"] == "running"
        or _instant(c["next_attempt_at"]) < soon
    ]
    found += [
        f"delivery of {d['event_id']} is pending after {d['attempts']} tries"
        for d in books.rows("SELECT * FROM delivery WHERE status = 'pending'")
    ]
    behind = "SELECT * FROM feed f JOIN fanout o USING (msn) WHERE o.position < f.position"
    return found + [f"feed of {f['msn']} is not fanned out" for f in books.rows(behind)]


def lost_webhooks(books: Books, acknowledged: Sequence[bytes]) -> list[str]:
    """I1: bodies that were answered 200 more often than they are stored."""
    stored = Counter(
        bytes(row["raw_hash"])
        for row in books.rows("SELECT raw_hash FROM vipps_event WHERE source = 'webhook'")
    )
    answered = Counter(hashlib.sha256(body).digest() for body in acknowledged)
    return [
        f"{h.hex()[:12]}: {n} acknowledged, {stored[h]} stored"
        for h, n in answered.items()
        if n > stored[h]
    ]


def twice_applied(books: Books) -> list[str]:
    """I5: Vipps events that moved an invoice more than once."""
    return [
        str(dict(row))
        for row in books.rows(
            "SELECT msn, reference, name, psp_reference, count(*) AS n FROM vipps_event"
            " WHERE outcome = 'applied' GROUP BY msn, reference, name, psp_reference"
            " HAVING count(*) > 1"
        )
    ]
