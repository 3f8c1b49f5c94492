"""A feed with many events at once: what a reader reads, without the invoices behind it."""

import orjson
import sqlalchemy as sa
from sqlmodel import col

from service.context import Context
from service.store.inserts import table_of
from service.store.tables import Event, Feed
from tests.service.api.shop import MSN, NOW


def fill(context: Context, count: int, size: int) -> None:
    """Append so many events of about so many bytes, `sequence` being their position."""
    padding = "x" * size
    rows = []
    for position in range(1, count + 1):
        key = f"evt_{position:026d}"
        payload = orjson.dumps({"id": key, "sequence": position, "data": padding})
        rows.append(
            {
                "id": key,
                "msn": MSN,
                "position": position,
                "type": "customer.consented",
                "invoice_id": None,
                "sequence": None,
                "is_transition": False,
                "recorded_at": NOW,
                "payload": context.vault.seal(payload, place=f"event:{key}:payload"),
            }
        )
    with context.database.transaction() as session:
        session.execute(sa.insert(table_of(Event)), rows)
        session.execute(sa.update(Feed).where(col(Feed.msn) == MSN).values(position=count))
