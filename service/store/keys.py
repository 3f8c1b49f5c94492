"""Which API keys open something."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import col

from service.store.tables import ApiKey


def is_good_key(now: datetime) -> sa.ColumnElement[bool]:
    """Return what is true of a key that is neither revoked nor over."""
    is_not_over = sa.or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > now)
    return sa.and_(col(ApiKey.revoked_at).is_(None), is_not_over)
