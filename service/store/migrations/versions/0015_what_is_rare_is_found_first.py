"""What is rare is found first"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def _rare(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=False, sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    """What is rare is found first."""
    _rare("ix_invoice_troubled", "invoice", ["msn", "id"], "problem IS NOT NULL")
    _rare("ix_delivery_given_up", "delivery", ["subscription_id", "id"], "status = 'failed'")
