"""What a restored database does not know yet (docs/how-to/backup.md)."""

from sqlmodel import Field, SQLModel


class Unread(SQLModel, table=True):
    """Something that may have changed at Vipps since the backup, and was not read there yet.

    Its sales unit is recovering, `recovering_since`, until the last of these rows is gone."""

    __tablename__ = "unread"

    id: str = Field(primary_key=True)  # of a payment
    msn: str = Field(foreign_key="sales_unit.msn", index=True)
