"""API keys that may do some things, until a day; when each was last used."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# What every key could do before there were scopes.
_EVERYTHING = '["read","write","money"]'


def upgrade() -> None:
    """API keys that may do some things, until a day; when each was last used."""
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("scopes", sa.JSON(), nullable=False, server_default=_EVERYTHING)
        )
        batch_op.add_column(sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
