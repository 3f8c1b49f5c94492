"""Customers who share their number by paying, and who withdraw."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Customers who share their number by paying, and who withdraw."""
    with op.batch_alter_table("invoice", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sharing", sa.String(), nullable=True))
        batch_op.create_index(
            "ix_invoice_customer",
            ["customer_id", "id"],
            unique=False,
            sqlite_where=sa.text("customer_id IS NOT NULL"),
            postgresql_where=sa.text("customer_id IS NOT NULL"),
        )

    op.create_index("ix_customer_newest", "customer", ["msn", "id"], unique=False)

    with op.batch_alter_table("payment", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sharing", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("shared_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("shared_by", sa.String(), nullable=True))

    with op.batch_alter_table("stored_answer", schema=None) as batch_op:
        batch_op.add_column(sa.Column("customer_id", sa.String(), nullable=True))

    op.create_table(
        "withdrawal",
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("phone_lookup", sa.LargeBinary(), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["msn"], ["sales_unit.msn"], name=op.f("fk_withdrawal_msn_sales_unit")
        ),
        sa.PrimaryKeyConstraint("msn", "phone_lookup", name=op.f("pk_withdrawal")),
    )
