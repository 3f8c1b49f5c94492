"""The PDF that a merchant adds to an invoice: sealed in pieces, so that a part opens by itself.

Each has a key of its own, wrapped with the key of the person whom the invoice is to, or with ours
while nobody is known; it goes when the person is erased.
"""

import hashlib
import os
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlmodel import Session, col

from service.context import Context
from service.errors import Conflict, NotFound
from service.ids import new_id
from service.ledger.book import Book
from service.ledger.people import box_of, open_sealed
from service.ledger.types import Ask
from service.store.inserts import table_of
from service.store.tables import Customer, Document, DocumentChunk, Invoice, InvoiceRecord
from service.vault import Box, SealBroken, Vault

# A reader asks for the end first and then for pages: pieces of this size open in a millisecond.
CHUNK_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document that can be read; `box` opens its pieces."""

    id: str
    size_bytes: int
    sha256: bytes
    box: Box = field(repr=False)


def keep_document(book: Book, invoice: InvoiceRecord, content: bytes, ask: Ask) -> Document:
    """Store the invoice's document, in place of any before it.

    Raises: Conflict (`customer_erased`)."""
    key, document_id = os.urandom(32), new_id("doc")
    wrapped_key = _wrap(book, invoice, document_id, key)
    book.record_act(invoice, "document", ask)
    drop_documents(book.session, [invoice.id])
    document = Document(
        id=document_id,
        invoice_id=invoice.id,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).digest(),
        wrapped_key=wrapped_key,
        uploaded_at=book.now,
    )
    book.session.add(document)
    book.session.flush()
    box = Box([key])
    pieces = range(0, len(content), CHUNK_BYTES)
    rows = [
        {
            "document_id": document_id,
            "number": number,
            "sealed": box.seal(content[at : at + CHUNK_BYTES], place=_place(document_id, number)),
        }
        for number, at in enumerate(pieces)
    ]
    book.session.execute(sa.insert(table_of(DocumentChunk)), rows)
    return document


def find_document(session: Session, vault: Vault, invoice: InvoiceRecord) -> StoredDocument | None:
    """Return the invoice's document; None where there is none, or none that opens any more."""
    mine = sa.select(Document).where(col(Document.invoice_id) == invoice.id)
    row = session.scalars(mine).one_or_none()
    if row is None:
        return None
    place, owners = _key_place(row.id), [invoice.customer_id]
    try:
        key = open_sealed(session, vault, row.wrapped_key, place=place, customer_ids=owners)
    except SealBroken:
        return None
    return StoredDocument(row.id, row.size_bytes, bytes(row.sha256), Box([key]))


def read_chunk(context: Context, document: StoredDocument, number: int) -> bytes:
    """Return one piece. Raises: NotFound, where the document was replaced meanwhile."""
    with context.database.snapshot() as session:
        chunk = session.get(DocumentChunk, (document.id, number))
        if chunk is None:
            raise NotFound("the document was replaced")
        return document.box.open(chunk.sealed, place=_place(document.id, number))


def give_to(book: Book, invoice: InvoiceRecord, box: Box) -> None:
    """Wrap the key of the invoice's document for the person whom the invoice is to from now on."""
    mine = sa.select(Document).where(col(Document.invoice_id) == invoice.id)
    document = book.session.scalars(mine).one_or_none()
    if document is not None:
        place = _key_place(document.id)
        key = book.vault.open(document.wrapped_key, place=place)
        document.wrapped_key = box.seal(key, place=place)
        book.session.add(document)


def drop_documents_of(session: Session, customer_id: str) -> None:
    """Delete the documents of a person's invoices."""
    theirs = sa.select(col(Invoice.id)).where(col(Invoice.customer_id) == customer_id)
    drop_documents(session, list(session.scalars(theirs)))


def drop_documents(session: Session, invoice_ids: list[str]) -> None:
    """Delete the documents of these invoices."""
    mine = col(Document.invoice_id).in_(invoice_ids)
    ids = list(session.scalars(sa.select(col(Document.id)).where(mine)))
    session.execute(sa.delete(DocumentChunk).where(col(DocumentChunk.document_id).in_(ids)))
    session.execute(sa.delete(Document).where(col(Document.id).in_(ids)))


def _wrap(book: Book, invoice: InvoiceRecord, document_id: str, key: bytes) -> bytes:
    customer = book.session.get(Customer, invoice.customer_id) if invoice.customer_id else None
    if customer is None:
        return book.vault.seal(key, place=_key_place(document_id))
    box = box_of(customer, book.vault)
    if box is None:
        raise Conflict("customer_erased", "the customer has been erased")
    return box.seal(key, place=_key_place(document_id))


def _key_place(document_id: str) -> str:
    return f"document:{document_id}:wrapped_key"


def _place(document_id: str, number: int) -> str:
    return f"document_chunk:{document_id}:{number}:sealed"
