"""Alembic's scripts: how an older database becomes this version's."""
