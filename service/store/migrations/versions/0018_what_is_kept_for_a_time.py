"""What is kept for a time only is found by its age"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Old answers and ended sessions are found without reading the rest."""
    op.create_index("ix_stored_answer_created_at", "stored_answer", ["created_at"], unique=False)
    op.create_index("ix_staff_session_ends_at", "staff_session", ["ends_at"], unique=False)
