"""What was kept long enough goes, and what has gone is known"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Say up to where a sales unit's rows are gone; find by their age those that may go."""
    op.create_table(
        "let_go",
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["msn"], ["sales_unit.msn"], name="fk_let_go_msn_sales_unit"),
        sa.PrimaryKeyConstraint("msn", name="pk_let_go"),
    )
    op.create_index(
        "ix_delivery_settled",
        "delivery",
        ["settled_at"],
        unique=False,
        sqlite_where=sa.text("settled_at IS NOT NULL"),
        postgresql_where=sa.text("settled_at IS NOT NULL"),
    )
    op.create_index(
        "ix_vipps_event_body",
        "vipps_event",
        ["received_at"],
        unique=False,
        sqlite_where=sa.text("length(raw) > 0"),
        postgresql_where=sa.text("length(raw) > 0"),
    )
