"""Alembic's environment: runs on the connection that `schema.migrate` hands over."""

from alembic import context
from sqlmodel import SQLModel

from service.store import tables  # noqa: F401  (importing fills the metadata)

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=SQLModel.metadata,
    # SQLite can't alter a table in place.
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
context.run_migrations()
