"""What is stored of some payments' Vipps events, this transaction's own included.

A book reads them once, under the lock of their invoices; whatever is judged later in the same
transaction sees what was judged before it, as if each had its own.
"""

from collections.abc import Iterable
from typing import Any

from sqlmodel import Session

from service.store.inserts import table_of
from service.store.statements import Selection, listed
from service.store.tables import PaymentRecord, StoredVippsEvent
from statemachine import Outcome, Twin

Row = dict[str, Any]
Key = tuple[str, str, str, str]

# Another sales unit's event is no precedent for ours, whatever it is called.
MSN_DIFFERS = "msn_differs"

# The bytes stay where they are: judging needs what they said, not how.
_SEALED = ("raw", "headers")
_COLUMNS = tuple(c for c in table_of(StoredVippsEvent).c if c.name not in _SEALED)
# Copies say nothing new, and there may be a thousand of them. An unmatched one is read anew
# should the payment turn up after all.
_NO_PRECEDENT = (Outcome.DUPLICATE, Outcome.UNMATCHED)

_column = table_of(StoredVippsEvent).c
_SAID = Selection(
    _COLUMNS,
    key=_column.reference,
    equal=(_column.msn,),
    also=f"outcome NOT IN {listed(_NO_PRECEDENT)}",
)


class StoredEvents:
    """The events of the payments that a book is about."""

    def __init__(self, session: Session) -> None:
        """Start empty; `load` brings rows in."""
        self._session = session
        self._rows: dict[tuple[str, str], list[Row]] = {}
        self._in_database: set[str] = set()

    def load(self, payments: Iterable[PaymentRecord]) -> None:
        """Read what was said of these payments; their invoices must be locked."""
        missing = {(p.msn, p.reference) for p in payments} - self._rows.keys()
        if not missing:
            return
        self._rows.update((name, []) for name in missing)
        for msn in sorted({msn for msn, _ in missing}):
            references = [reference for unit, reference in missing if unit == msn]
            for row in _SAID.rows(self._session, references, msn):
                self._rows[msn, row["reference"]].append(row)
                self._in_database.add(row["id"])

    def of(self, payment: PaymentRecord) -> list[Row]:
        """Return a loaded payment's events, those of other sales units left out."""
        rows = self._rows[payment.msn, payment.reference]
        return [row for row in rows if row["reason"] != MSN_DIFFERS]

    def add(self, payment: PaymentRecord, row: Row) -> None:
        """Take in an event of a loaded payment, judged in this transaction."""
        if row["outcome"] not in _NO_PRECEDENT:
            self._rows[payment.msn, payment.reference].append(row)

    def twins(self, payment: PaymentRecord, row: Row) -> list[Twin]:
        """Return what became of every other event with this one's key."""
        return [
            Twin(Outcome(other["outcome"]), other["amount_minor"], other["success"])
            for other in self.of(payment)
            if other is not row and key_of(other) == key_of(row)
        ]

    def is_foreign_twin(self, payment: PaymentRecord, row: Row) -> bool:
        """Tell whether another sales unit said exactly this before."""
        others = self._rows[payment.msn, payment.reference]
        return any(o["reason"] == MSN_DIFFERS and said_of(o) == said_of(row) for o in others)

    def is_in_database(self, row: Row) -> bool:
        """Tell whether the row was there before this transaction."""
        return row["id"] in self._in_database


def key_of(row: Row) -> Key:
    """Return what names the event that a row keeps (contract, section 4)."""
    return row["msn"], row["reference"], row["name"], row["psp_reference"]


def said_of(row: Row) -> tuple[Key, int, bool]:
    """Return all that tells a copy from an event that says something else."""
    return key_of(row), row["amount_minor"], row["success"]
