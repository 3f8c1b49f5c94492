"""Commands are claimed by what is due, and by no other way"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the index of what waits by payment: the unique one by payment and number serves it.

    With both, PostgreSQL took this one for the claim while its statistics were of a quieter time,
    and read all that waits once for each command that waits."""
    op.drop_index("ix_command_line", table_name="command")
