"""What the console looks for"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_RARE = {
    "ix_vipps_event_refused": "outcome = 'refused'",
    "ix_vipps_event_healed": "source = 'poll' AND outcome = 'applied'",
}


def upgrade() -> None:
    """What the console looks for."""
    op.create_table(
        "refund_request",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_agreed", sa.Boolean(), nullable=True),
        sa.CheckConstraint(
            "decided_by IS NULL OR is_agreed = false OR decided_by <> asked_by",
            name=op.f("ck_refund_request_two_people"),
        ),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_refund_request_invoice_id_invoice")
        ),
        sa.ForeignKeyConstraint(
            ["asked_by"], ["staff_user.id"], name=op.f("fk_refund_request_asked_by_staff_user")
        ),
        sa.ForeignKeyConstraint(
            ["decided_by"], ["staff_user.id"], name=op.f("fk_refund_request_decided_by_staff_user")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_request")),
    )
    where = sa.text("decided_at IS NULL")
    op.create_index(
        "ix_refund_request_waiting",
        "refund_request",
        ["msn", "id"],
        unique=False,
        sqlite_where=where,
        postgresql_where=where,
    )
    op.create_index(
        "uq_refund_request_one_waits",
        "refund_request",
        ["invoice_id"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )
    op.create_index("ix_invoice_amount", "invoice", ["msn", "amount_minor", "id"], unique=False)
    due = sa.text("due_date IS NOT NULL")
    op.create_index(
        "ix_invoice_due",
        "invoice",
        ["msn", "due_date", "id"],
        unique=False,
        sqlite_where=due,
        postgresql_where=due,
    )
    # The same columns as before; the rest of what is counted stands in the index too.
    op.drop_index("ix_invoice_state", "invoice")
    op.create_index(
        "ix_invoice_state",
        "invoice",
        ["msn", "state", "id"],
        unique=False,
        postgresql_include=["amount_minor", "captured_minor", "refunded_minor"],
    )
    is_transition = sa.text("is_transition")
    op.drop_index("ix_event_digest", "event")
    op.create_index(
        "ix_event_digest",
        "event",
        ["msn", "recorded_at"],
        unique=False,
        postgresql_include=["type"],
        sqlite_where=is_transition,
        postgresql_where=is_transition,
    )
    noted = sa.text("NOT is_transition")
    op.create_index(
        "ix_event_noted",
        "event",
        ["invoice_id"],
        unique=False,
        sqlite_where=noted,
        postgresql_where=noted,
    )
    for name, condition in _RARE.items():
        rare = sa.text(condition)
        op.create_index(
            name,
            "vipps_event",
            ["msn", "received_at"],
            unique=False,
            sqlite_where=rare,
            postgresql_where=rare,
        )
