"""The headers of webhooks, as evidence of how they were proven."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The headers of webhooks, as evidence of how they were proven."""
    with op.batch_alter_table("vipps_event", schema=None) as batch_op:
        batch_op.add_column(sa.Column("headers", sa.LargeBinary(), nullable=True))
