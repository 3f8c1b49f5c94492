"""Customers by what Vipps calls them"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Customers by what Vipps calls them."""
    op.add_column("customer", sa.Column("sub_lookup", sa.LargeBinary(), nullable=True))
    op.create_index(
        "ix_customer_sub",
        "customer",
        ["msn", "sub_lookup"],
        unique=False,
        sqlite_where=sa.text("sub_lookup IS NOT NULL"),
        postgresql_where=sa.text("sub_lookup IS NOT NULL"),
    )
