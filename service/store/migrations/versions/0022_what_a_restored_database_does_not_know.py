"""What a restored database does not know yet"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Recovery: since when a sales unit is in it, and what it still has to read at Vipps.

    And where PostgreSQL has the database, which is noted at the first start."""
    op.add_column(
        "sales_unit", sa.Column("recovering_since", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index(
        "ix_sales_unit_recovering",
        "sales_unit",
        ["msn"],
        unique=False,
        sqlite_where=sa.text("recovering_since IS NOT NULL"),
        postgresql_where=sa.text("recovering_since IS NOT NULL"),
    )
    op.create_table(
        "home",
        sa.Column("place", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_home")),
    )
    op.create_table(
        "unread",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["msn"], ["sales_unit.msn"], name=op.f("fk_unread_msn_sales_unit")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unread")),
    )
    op.create_index(op.f("ix_unread_msn"), "unread", ["msn"], unique=False)
