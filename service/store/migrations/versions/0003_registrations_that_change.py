"""Registrations that are replaced or vanish, and refused webhooks."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Registrations that are replaced or vanish, and refused webhooks."""
    with op.batch_alter_table("sales_unit", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("registrations_due_at", sa.DateTime(timezone=True), nullable=True)
        )

    with op.batch_alter_table("registration", schema=None) as batch_op:
        batch_op.add_column(sa.Column("delete_after", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("missing_since", sa.DateTime(timezone=True), nullable=True))

    op.create_table(
        "refused_webhook",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("diagnosis", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_webhook")),
    )
    with op.batch_alter_table("refused_webhook", schema=None) as batch_op:
        batch_op.create_index("ix_refused_webhook_newest", ["msn", "id"], unique=False)
