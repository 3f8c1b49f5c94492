"""What a restored database does not know yet (docs/how-to/backup.md)."""

from sqlmodel import Field, SQLModel


class Home(SQLModel, table=True):
    """Where PostgreSQL has this database, in one row: a dump that was read in knows another one."""

    __tablename__ = "home"

    place: str = Field(primary_key=True)


class Unread(SQLModel, table=True):
    """Something that may have changed at Vipps since the backup, and was not read there yet.

    A sales unit that is recovering, `recovering_since`, is so until the last of its rows is gone.
    Later there may be some of an invoice that was lost, and posted again."""

    __tablename__ = "unread"

    # A payment's; or an invoice's, of which there may be a payment that nobody knows.
    id: str = Field(primary_key=True)
    msn: str = Field(foreign_key="sales_unit.msn", index=True)
