"""Reading the archive: what was sealed is opened, and masked as in an invoice's evidence."""

import base64
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import sqlalchemy as sa
from sqlmodel import Session

from service.audit.evidence import mask, mask_text
from service.ledger.people import open_sealed
from service.store.inserts import table_of
from service.store.tables import Invoice, Payment
from service.vault import SealBroken, Vault

# By kind: where a row was sealed, in its own words, and which of its columns.
_SEALED = {
    "event": ("event:{id}", ("payload",)),
    "attempt": ("attempt:{delivery_id}:{number}", ("answer",)),
    "vipps_event": ("vipps_event:{id}", ("raw", "headers")),
}

Row = dict[str, Any]


def read_archive(session: Session, vault: Vault, lines: Iterable[bytes]) -> Iterator[Row]:
    """Yield the rows of a file, opened; half a line, of a full disk or a kill, is passed over.

    None stands for what can't be opened: it was empty, or tells of a person who is erased."""
    for line in lines:
        try:
            row: Row = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        place, names = _SEALED.get(row["kind"], ("", ()))
        owners = _owners(session, row) if names else []
        for name in names:
            row[name] = _opened(session, vault, row[name], f"{place.format(**row)}:{name}", owners)
        yield row


def _owners(session: Session, row: Row) -> list[str | None]:
    """Return whose keys may have sealed what a Vipps event says."""
    of_payment = sa.select(table_of(Payment).c.shared_by).where(
        table_of(Payment).c.id == row.get("payment_id")
    )
    of_invoice = sa.select(table_of(Invoice).c.customer_id).where(
        table_of(Invoice).c.id == row.get("invoice_id")
    )
    return [session.scalar(of_payment), session.scalar(of_invoice)]


def _opened(
    session: Session, vault: Vault, sealed: str | None, place: str, owners: list[str | None]
) -> Any:
    try:
        text = base64.b64decode(sealed or "")
        plain = open_sealed(session, vault, text, place=place, customer_ids=owners)
    except SealBroken:
        return None
    try:
        return mask(orjson.loads(plain))
    except orjson.JSONDecodeError:
        return mask_text(plain.decode(errors="replace"))
