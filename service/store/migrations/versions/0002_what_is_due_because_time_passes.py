"""What is due because time passes"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What is due because time passes."""
    with op.batch_alter_table("invoice", schema=None) as batch_op:
        batch_op.add_column(sa.Column("replaced_by", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("authorized_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column("own_pushes", sa.Integer(), nullable=False, server_default="0")
        )
        batch_op.add_column(
            sa.Column("warned_percent", sa.Integer(), nullable=False, server_default="0")
        )
        batch_op.add_column(sa.Column("attend_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index(
            "ix_invoice_attend",
            ["attend_at"],
            unique=False,
            sqlite_where=sa.text("attend_at IS NOT NULL"),
            postgresql_where=sa.text("attend_at IS NOT NULL"),
        )

    with op.batch_alter_table("payment", schema=None) as batch_op:
        batch_op.add_column(sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(
            sa.Column("unconfirmed_since", sa.DateTime(timezone=True), nullable=True)
        )

    op.create_index(
        "ix_vipps_event_booked",
        "vipps_event",
        ["msn", "occurred_at"],
        unique=False,
        sqlite_where=sa.text("outcome = 'applied' AND name IN ('CAPTURED', 'REFUNDED')"),
        postgresql_where=sa.text("outcome = 'applied' AND name IN ('CAPTURED', 'REFUNDED')"),
    )

    # What could not be known when it happened: a lapse that a push may follow, a window to capture.
    op.execute(
        "UPDATE payment SET ended_at = updated_at WHERE state IN ('aborted', 'expired', 'terminated')"
    )
    op.execute(
        "UPDATE invoice SET authorized_at = (SELECT MAX(occurred_at) FROM transition"
        " WHERE transition.invoice_id = invoice.id AND transition.\"trigger\" = 'authorize')"
    )
    # Every invoice of before is looked at once, and then knows when again.
    op.execute("UPDATE invoice SET attend_at = updated_at")
