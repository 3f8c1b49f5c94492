"""Events and commands keep the request and the trace that they come from"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two columns that may be empty: no row is rewritten, and older processes leave them out."""
    op.add_column("event", sa.Column("cause", sa.String(), nullable=True))
    op.add_column("command", sa.Column("cause", sa.String(), nullable=True))
