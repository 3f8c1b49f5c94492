"""What must always be true of the ledger's rows, asked in SQL that knows nothing of the code."""

import sqlalchemy as sa

from service.store.db import Database

# Each finds rows that must not be: (rule, query).
_RULES = {
    "I3 the sequence has no gaps": """
        SELECT i.id FROM invoice i JOIN transition t ON t.invoice_id = i.id
        GROUP BY i.id, i.sequence
        HAVING COUNT(*) <> i.sequence OR MIN(t.sequence) <> 1 OR MAX(t.sequence) <> i.sequence""",
    "I3 the state is the last transition's": """
        SELECT i.id FROM invoice i LEFT JOIN transition t
        ON t.invoice_id = i.id AND t.sequence = i.sequence
        WHERE t.to_state IS NULL OR t.to_state <> i.state OR t.hash <> i.head_hash""",
    "I3 each step starts where the one before ended": """
        SELECT t.invoice_id FROM transition t JOIN transition b
        ON b.invoice_id = t.invoice_id AND b.sequence = t.sequence - 1
        WHERE t.from_state <> b.to_state OR t.previous_hash <> b.hash""",
    "I5 a Vipps event moves an invoice at most once": """
        SELECT e.msn FROM vipps_event e JOIN transition t ON t.evidence_id = e.id
        GROUP BY e.msn, e.reference, e.name, e.psp_reference HAVING COUNT(*) > 1""",
    "I5 a Vipps event is applied at most once": """
        SELECT msn FROM vipps_event WHERE outcome = 'applied'
        GROUP BY msn, reference, name, psp_reference HAVING COUNT(*) > 1""",
    "I7 each transition has exactly one event": """
        SELECT t.invoice_id FROM transition t LEFT JOIN event e
        ON e.invoice_id = t.invoice_id AND e.sequence = t.sequence AND e.is_transition
        GROUP BY t.invoice_id, t.sequence HAVING COUNT(e.id) <> 1""",
    "I8 the feed's positions have no gaps": """
        SELECT f.msn FROM feed f LEFT JOIN event e ON e.msn = f.msn
        GROUP BY f.msn, f.position
        HAVING COUNT(e.id) <> f.position OR COALESCE(MAX(e.position), 0) <> f.position""",
    "I8 no invoice goes backwards in the feed": """
        SELECT a.id FROM event a JOIN event b
        ON a.invoice_id = b.invoice_id AND a.position < b.position AND a.sequence > b.sequence""",
    "I9 never two live payments": """
        SELECT invoice_id FROM payment WHERE state IN ('requested', 'created')
        GROUP BY invoice_id HAVING COUNT(*) > 1""",
    "I9 the money of an authorized payment adds up": """
        SELECT id FROM payment WHERE state = 'authorized' AND (refunded_minor > captured_minor
        OR captured_minor + cancelled_minor > authorized_minor OR refunded_minor < 0)""",
}


def broken_rules(database: Database) -> list[str]:
    """Return the rules that some row breaks."""
    with database.snapshot() as session:
        return [rule for rule, sql in _RULES.items() if session.execute(sa.text(sql)).first()]
