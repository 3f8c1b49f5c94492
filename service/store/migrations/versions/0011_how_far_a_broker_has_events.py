"""How far a broker has events"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """How far a broker has events: none, of every feed that is there."""
    op.create_table(
        "broker_position",
        sa.Column("msn", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("lease", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["msn"], ["sales_unit.msn"], name=op.f("fk_broker_position_msn_sales_unit")
        ),
        sa.PrimaryKeyConstraint("msn", name=op.f("pk_broker_position")),
    )
    op.execute("INSERT INTO broker_position (msn, position, failures) SELECT msn, 0, 0 FROM feed")
