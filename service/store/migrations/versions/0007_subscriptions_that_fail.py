"""Subscriptions that fail, rest and come back; deliveries that are asked for again."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_PENDING = sa.text("status = 'pending'")
_STATUSES = "'unverified', 'healthy', 'degraded', 'parked', 'disabled'"


def upgrade() -> None:
    """Subscriptions that fail, rest and come back; deliveries that are asked for again."""
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.add_column(sa.Column("verified_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("rests_until", sa.DateTime(timezone=True), nullable=True))
        batch_op.drop_constraint(op.f("ck_subscription_status_known"), type_="check")
        batch_op.create_check_constraint(
            op.f("ck_subscription_status_known"), f"status IN ({_STATUSES})"
        )
    op.create_index(
        "ix_subscription_ready",
        "subscription",
        ["status", "ready_at"],
        unique=False,
        sqlite_where=sa.text("ready_at IS NOT NULL"),
        postgresql_where=sa.text("ready_at IS NOT NULL"),
    )

    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("is_in_line", sa.Boolean(), nullable=False, server_default=sa.true())
        )
        batch_op.add_column(
            sa.Column("attempts_before", sa.Integer(), nullable=False, server_default="0")
        )
        batch_op.drop_index("ix_delivery_due")
        batch_op.create_index(
            "ix_delivery_due",
            ["subscription_id", "next_attempt_at", "position"],
            unique=False,
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        )

    op.create_index("ix_attempt_at", "attempt", ["at"], unique=False)
    op.add_column("event", sa.Column("subscription_id", sa.String(), nullable=True))

    # Whoever is on is looked at once, and then knows when again.
    op.execute("UPDATE subscription SET ready_at = created_at WHERE status <> 'disabled'")
    # Disabled was only who had said 410: that, too, is an answer of a receiver that was there.
    op.execute("UPDATE subscription SET verified_at = created_at WHERE status <> 'unverified'")
