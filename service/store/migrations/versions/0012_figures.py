"""Figures that are found without reading the pile"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def _index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=False, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    """Figures that are found without reading the pile."""
    _index(
        "ix_invoice_at_risk",
        "invoice",
        [
            "msn",
            "currency",
            "warned_percent",
            "authorized_minor",
            "captured_minor",
            "cancelled_minor",
        ],
        "warned_percent > 0",
    )
    _index("ix_invoice_problem", "invoice", ["msn", "state"], "problem IS NOT NULL")
    _index("ix_delivery_failed", "delivery", ["msn"], "status = 'failed'")
