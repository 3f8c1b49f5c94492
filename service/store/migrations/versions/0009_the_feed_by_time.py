"""The feed by time, for its digest."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The feed by time, for its digest."""
    op.create_index(
        "ix_event_digest",
        "event",
        ["msn", "recorded_at"],
        unique=False,
        sqlite_where=sa.text("is_transition"),
        postgresql_where=sa.text("is_transition"),
    )
