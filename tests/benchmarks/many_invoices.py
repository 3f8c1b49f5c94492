"""A PostgreSQL full of a year's invoices, made by the database itself: rows that look like ours.

Nothing of it went through the ledger, so hashes and sealed bodies are only as long as real ones;
the last events are sealed afterwards, so that the feed's end can be read. The last fifth of the
year has its whole history, what is older its first transition; every fourth invoice has its
payment, command, delivery and what Vipps reported.
"""

from collections.abc import Sequence

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col

from service.store.db import Database
from service.store.tables import Event
from service.vault import Vault
from tests.builders import MSN, OTHER_MSN

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BACK = tuple(reversed(range(10)))
_YEAR_S = 365 * 86_400

# Those that no constraint stands on.
_INDEXES = """SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
    JOIN pg_class ON pg_class.oid = indrelid AND relnamespace = 'public'::regnamespace
    WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)"""

# In thousandths: most is paid and captured.
_STATES = (
    ("failed", 1),
    ("created", 2),
    ("soft_dismissed", 7),
    ("pushed", 15),
    ("authorized", 25),
    ("cancelled", 10),
    ("terminated", 10),
    ("aborted", 25),
    ("expired", 35),
    ("refunded", 50),
    ("captured", 820),
)
# The triggers by which an invoice comes to its state, each with where it leads.
_WALKS = {
    "failed": ("fail failed",),
    "created": (),
    "soft_dismissed": ("push pushed", "soft_dismiss soft_dismissed"),
    "pushed": ("push pushed",),
    "authorized": ("push pushed", "authorize authorized"),
    "cancelled": ("push pushed", "authorize authorized", "cancel cancelled"),
    "terminated": ("push pushed", "terminate terminated"),
    "aborted": ("push pushed", "abort aborted"),
    "expired": ("push pushed", "expire expired"),
    "refunded": (
        "push pushed",
        "authorize authorized",
        "capture captured",
        "refund refunded",
    ),
    "captured": ("push pushed", "authorize authorized", "capture captured"),
}


def fill(database: Database, vault: Vault, count: int) -> None:
    """Put a year of invoices, with all that belongs to them, into an empty database."""
    with database.transaction() as session:
        session.execute(sa.text("SET LOCAL session_replication_role = replica"))
        session.execute(sa.text("SET LOCAL statement_timeout = 0"))
        indexes = session.execute(sa.text(_INDEXES)).all()
        for name, _ in indexes:
            session.execute(sa.text(f"DROP INDEX {name}"))
        for statement in _statements(count):
            session.execute(sa.text(statement))
        # Made at once they take a fifth of the time that they take row by row.
        for _, definition in indexes:
            session.execute(sa.text(definition))
    with database.transaction() as session:
        for msn in (MSN, OTHER_MSN):
            _seal_the_last(session, vault, msn)


def settle(database: Database) -> None:
    """Let the database know its data, as it does by itself in a quiet hour."""
    with database.migration() as connection:
        outside = connection.engine.execution_options(isolation_level="AUTOCOMMIT")
    with outside.connect() as connection:
        connection.execute(sa.text("SET statement_timeout = 0"))
        connection.execute(sa.text("VACUUM ANALYZE"))


def _statements(count: int) -> Sequence[str]:
    ms = "(extract(epoch FROM at) * 1000)::bigint"
    places = (f"substr('{_DIGITS}', (({ms} >> {5 * back}) & 31)::int + 1, 1)" for back in _BACK)
    ulid = " || ".join(places) + " || lpad(n::text, 16, '0')"
    whole = f"(place = 0 OR n > {count} * 0.8)"
    paid = "('authorized', 'cancelled', 'refunded', 'captured')"
    return (
        "CREATE TEMP TABLE walk (state text, place int, trigger text, from_state text,"
        " to_state text) ON COMMIT DROP",
        # Nothing below comes from outside.
        f"INSERT INTO walk VALUES {', '.join(_walks())}",  # noqa: S608
        f"""CREATE TEMP TABLE g ON COMMIT DROP AS
        SELECT n, at, {ulid} AS ulid, CASE WHEN n % 11 = 0 THEN '{OTHER_MSN}' ELSE '{MSN}' END
            AS msn, 'acme-' || lpad(n::text, 9, '0') AS reference, {_state()} AS state,
            (n * 7919 % 500000 + 100)::bigint AS amount
        FROM (SELECT n, now() - interval '1 second' * ({_YEAR_S}.0 * ({count} - n) / {count} + 3600)
            AS at FROM generate_series(1::bigint, {count}) AS n) AS numbered""",  # noqa: S608
        f"""INSERT INTO invoice (id, msn, reference, amount_minor, currency, description, flow,
            capture, due_date, payable_until, terms, creation_hash, page_lookup, state, sequence,
            version, head_hash, authorized_minor, captured_minor, refunded_minor, cancelled_minor,
            automatic_capture_off, own_pushes, warned_percent, created_at, updated_at, problem)
        SELECT 'inv_' || ulid, msn, reference, amount, 'NOK', 'Subscription ' || md5(n::text),
            'PUSH_MESSAGE', 'automatic', (at + interval '14 days')::date, at + interval '15 days',
            '{{}}', sha256(n::text::bytea), sha256(('p' || n)::bytea), state,
            1 + steps, 3,
            sha256(('h' || n)::bytea),
            CASE WHEN state IN {paid} THEN amount ELSE 0 END,
            CASE WHEN state IN ('captured', 'refunded') THEN amount ELSE 0 END,
            CASE WHEN state = 'refunded' THEN amount ELSE 0 END,
            CASE WHEN state = 'cancelled' THEN amount ELSE 0 END,
            false, 0, CASE WHEN state = 'authorized' AND n % 50 = 0 THEN 80 ELSE 0 END, at, at,
            CASE WHEN state = 'failed' THEN '{{"code": "upstream_refused"}}'::json END
        FROM g JOIN (SELECT state, max(place) AS steps FROM walk GROUP BY state) AS ends
            USING (state)""",  # noqa: S608
        """INSERT INTO payment (id, msn, invoice_id, attempt, reference, user_flow, state,
            has_pushed, ends_at, authorized_minor, captured_minor, refunded_minor, cancelled_minor,
            drifting_reads, command_count, then_ask, created_at, updated_at)
        SELECT 'pay_' || ulid, msn, 'inv_' || ulid, 1, reference, 'PUSH_MESSAGE', 'authorized',
            true, at + interval '1 day', amount, 0, 0, 0, 0, 3, false, at, at
        FROM g WHERE n % 4 = 0""",
        f"""INSERT INTO transition (invoice_id, sequence, from_state, to_state, trigger, source,
            evidence_id, occurred_at, recorded_at, amount_minor, currency, previous_hash, hash)
        SELECT 'inv_' || ulid, place + 1, from_state, to_state, trigger, 'webhook',
            'vev_' || ulid || place, at + place * interval '90 seconds' * (1 + n % 37),
            at + place * interval '90 seconds' * (1 + n % 37), amount, 'NOK',
            sha256((n || 'a')::bytea), sha256((n || 'b')::bytea) FROM g JOIN walk USING (state)
        WHERE {whole}""",  # noqa: S608
        f"""INSERT INTO event (id, msn, position, type, invoice_id, sequence, is_transition,
            recorded_at, payload)
        SELECT 'evt_' || ulid || place, msn,
            row_number() OVER (PARTITION BY msn ORDER BY n, place), 'invoice.' || to_state,
            'inv_' || ulid, place + 1, true, at + place * interval '90 seconds' * (1 + n % 37),
            decode(repeat(md5(n::text), 12), 'hex') FROM g JOIN walk USING (state)
        WHERE {whole}""",  # noqa: S608
        "UPDATE feed SET position = (SELECT max(position) FROM event WHERE event.msn = feed.msn)",
        """INSERT INTO vipps_event (id, msn, source, reference, name, psp_reference, amount_minor,
            currency, success, occurred_at, received_at, outcome, payment_id, invoice_id, raw,
            raw_hash)
        SELECT 'vev_' || ulid, msn, CASE WHEN n % 1000 = 0 THEN 'poll' ELSE 'webhook' END,
            reference, 'AUTHORIZED', 'psp-' || n, amount, 'NOK', true, at, at,
            CASE WHEN n % 5000 = 4 THEN 'refused' ELSE 'applied' END, 'pay_' || ulid,
            'inv_' || ulid, decode(repeat(md5(n::text), 8), 'hex'), sha256(n::text::bytea)
       
        FROM g WHERE n % 4 = 0""",
        """INSERT INTO command (id, msn, invoice_id, payment_id, number, kind, is_serial,
            idempotency_key, status, attempts, next_attempt_at, created_at)
        SELECT 'cmd_' || ulid, msn, 'inv_' || ulid, 'pay_' || ulid, 1, 'create_payment', true,
            'key-' || n, 'done', 1, at, at
        FROM g WHERE n % 4 = 0""",
        """INSERT INTO delivery (id, msn, subscription_id, event_id, line, position, status,
            is_in_line, attempts, attempts_before, next_attempt_at, created_at)
        SELECT 'dlv_' || ulid, msn,
            (SELECT id FROM subscription WHERE subscription.msn = g.msn LIMIT 1),
            'evt_' || ulid || '0', 'inv_' || ulid, n,
            CASE WHEN n % 2000 = 0 THEN 'failed' ELSE 'delivered' END, true, 1, 0, at, at
        FROM g WHERE n % 4 = 0""",
        """INSERT INTO attempt (delivery_id, number, at, status, latency_ms)
        SELECT 'dlv_' || ulid, 1, at, 200, 20 + n % 100
        FROM g WHERE n % 4 = 0""",
    )


def _walks() -> list[str]:
    rows = []
    for state, steps in _WALKS.items():
        rows.append(f"('{state}', 0, 'create', NULL, 'created')")
        before = "created"
        for place, step in enumerate(steps, 1):
            trigger, after = step.split()
            rows.append(f"('{state}', {place}, '{trigger}', '{before}', '{after}')")
            before = after
    return rows


def _state() -> str:
    """Return the SQL that gives each thousandth its state, spread over the year."""
    so_far, cases = 0, []
    for state, share in _STATES:
        so_far += share
        cases.append(f"WHEN n * 389 % 1000 < {so_far} THEN '{state}'")
    return f"CASE {' '.join(cases)} END"


def _seal_the_last(session: Session, vault: Vault, msn: str) -> None:
    newest = sa.select(Event).where(col(Event.msn) == msn).order_by(col(Event.position).desc())
    for event in session.scalars(newest.limit(200)).all():
        told = orjson.dumps({"id": event.id, "type": event.type, "sequence": event.sequence})
        event.payload = vault.seal(told, place=f"event:{event.id}:payload")
