"""What failed of one subscription is found without reading its feed"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What failed of one subscription is found without reading its feed."""
    where = sa.text("status = 'failed'")
    op.create_index(
        "ix_delivery_failed_of",
        "delivery",
        ["subscription_id", "position"],
        unique=False,
        sqlite_where=where,
        postgresql_where=where,
    )
