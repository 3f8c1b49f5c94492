"""The tables of those who keep little: no chain of hashes, no seals, no commands, small events."""

import random
from collections.abc import Mapping
from itertools import count

import sqlalchemy as sa

from tests.benchmarks.webhooks import AMOUNT_MINOR

_METADATA = sa.MetaData()
_ID = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
_INVOICE = sa.Table(
    "invoice",
    _METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("reference", sa.String, nullable=False, unique=True),
    sa.Column("amount_minor", sa.Integer, nullable=False),
    sa.Column("currency", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("updated_at", sa.DateTime),
)
sa.Table(
    "vippsevent",
    _METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("reference", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("psp_reference", sa.String, nullable=False),
    sa.Column("body", sa.String, nullable=False),
    sa.Column("received_at", sa.DateTime, nullable=False),
    sa.UniqueConstraint("reference", "name", "psp_reference"),
)
sa.Table(
    "transition",
    _METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("invoice_id", _ID, sa.ForeignKey("invoice.id"), nullable=False, index=True),
    sa.Column("from_state", sa.String, nullable=False),
    sa.Column("to_state", sa.String, nullable=False),
    sa.Column("vipps_event_id", _ID, sa.ForeignKey("vippsevent.id"), nullable=False),
    sa.Column("at", sa.DateTime, nullable=False),
)
sa.Table(
    "outgoingevent",
    _METADATA,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("invoice_id", _ID, sa.ForeignKey("invoice.id"), nullable=False, index=True),
    sa.Column("type", sa.String, nullable=False),
    sa.Column("payload", sa.String, nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
)
_COUNTED = {"transitions": "transition", "events": "outgoingevent"}


class Lean:
    """One such database, with invoices in state `pushed` as they are asked for."""

    def __init__(self, url: str) -> None:
        """Make the tables."""
        self._engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        self._numbers = count(1)
        _METADATA.create_all(self._engine)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def make(self, number: int) -> list[str]:
        """Store so many invoices; return their references in random order."""
        references = [f"bench-{next(self._numbers):012}" for _ in range(number)]
        same = {"amount_minor": AMOUNT_MINOR, "currency": "NOK", "state": "pushed"}
        with self._engine.begin() as connection:
            connection.execute(
                sa.insert(_INVOICE), [{"reference": name, **same} for name in references]
            )
        return shuffled(references)

    def count(self) -> Mapping[str, int]:
        """Return how many rows there are of each kind that a webhook writes."""
        with self._engine.connect() as connection:
            return {
                what: connection.execute(
                    sa.select(sa.func.count()).select_from(_METADATA.tables[table])
                ).scalar_one()
                for what, table in _COUNTED.items()
            }


def shuffled(references: list[str]) -> list[str]:
    """Return them in a random order, the same one every time."""
    return random.Random(len(references)).sample(references, len(references))
