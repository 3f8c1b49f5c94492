"""The documents that merchants add to their invoices."""

from datetime import datetime

from sqlmodel import Field, SQLModel


class Document(SQLModel, table=True):
    """One PDF; the last one that was uploaded for its invoice."""

    __tablename__ = "document"

    id: str = Field(primary_key=True)
    invoice_id: str = Field(foreign_key="invoice.id", unique=True)
    size_bytes: int
    sha256: bytes  # the version, as readers' caches know it
    wrapped_key: bytes  # wrapped with the key of the person whom the invoice is to
    uploaded_at: datetime


class DocumentChunk(SQLModel, table=True):
    """One piece of a document, sealed by itself: a part can be read without the rest."""

    __tablename__ = "document_chunk"

    document_id: str = Field(primary_key=True, foreign_key="document.id")
    number: int = Field(primary_key=True)
    sealed: bytes
