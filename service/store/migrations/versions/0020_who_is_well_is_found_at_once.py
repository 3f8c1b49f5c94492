"""Who is well is found without reading past those whose last try has failed."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_subscription_sound": (
        ["ready_at"],
        "status = 'healthy' AND failures = 0 AND ready_at IS NOT NULL",
    ),
    "ix_subscription_troubled": (
        ["status", "ready_at"],
        "(status != 'healthy' OR failures > 0) AND ready_at IS NOT NULL",
    ),
}


def upgrade() -> None:
    """Who is well is found without reading past those whose last try has failed."""
    for name, (columns, words) in _INDEXES.items():
        where = sa.text(words)
        op.create_index(
            name,
            "subscription",
            columns,
            unique=False,
            sqlite_where=where,
            postgresql_where=where,
        )
    op.drop_index("ix_subscription_ready", "subscription")
