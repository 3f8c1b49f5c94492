"""Who did something, as people know them: a colleague's name, a key's name."""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlmodel import Session, col

from service.staff.users import name_of, user_id_of
from service.store.tables import ApiKey, StaffUser
from service.vault import Vault

_USER, _KEY = "user:", "key:"


def names_of(session: Session, vault: Vault, actors: Iterable[str | None]) -> dict[str, str]:
    """Return a name for each actor that the ledger names; one without stays what it is called."""
    named = {actor for actor in actors if actor}
    user_ids = [user_id_of(actor) for actor in named if actor.startswith(_USER)]
    key_ids = [actor.removeprefix(_KEY) for actor in named if actor.startswith(_KEY)]
    users = session.scalars(sa.select(StaffUser).where(col(StaffUser.id).in_(user_ids)))
    keys = session.scalars(sa.select(ApiKey).where(col(ApiKey.id).in_(key_ids)))
    names = {actor: actor for actor in named}
    names |= {f"{_USER}{user.id}": name_of(vault, user) for user in users}
    return names | {f"{_KEY}{key.id}": f"key “{key.name}”" for key in keys}
