"""Users of the console: made on the command line, ended there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import Conflict, FieldError, InvalidInput, NotFound
from service.ids import new_id
from service.kinds import Role
from service.staff.passwords import hash_password, new_password
from service.staff.roles import needs_second_factor
from service.staff.second_factor import new_secret
from service.store.tables import SalesUnit, StaffSession, StaffUnit, StaffUser
from service.vault import Vault

DEMO_LOGIN = "demo"

# How the ledger names people.
_ACTOR = "user:"

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,99}")


@dataclass(frozen=True, slots=True)
class Person:
    """A user, opened."""

    id: str
    login: str = field(repr=False)
    name: str = field(repr=False)
    role: Role
    msns: tuple[str, ...]
    has_second_factor: bool
    created_at: datetime
    disabled_at: datetime | None

    @property
    def actor(self) -> str:
        """Return how the ledger names this person."""
        return f"{_ACTOR}{self.id}"


@dataclass(frozen=True, slots=True)
class NewPerson:
    """Whom to let in. A password given is for tests and the sandbox; else one is made."""

    login: str = field(repr=False)
    name: str = field(repr=False)
    role: Role
    msns: tuple[str, ...]
    password: str = field(default="", repr=False)
    has_second_factor: bool | None = None  # None: as the role needs it


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a new user is told, once."""

    user_id: str
    password: str = field(repr=False)
    totp_secret: str | None = field(repr=False)


def add_user(session: Session, vault: Vault, new: NewPerson, *, now: datetime) -> Credentials:
    """Store a user and return what they sign in with, for the only time.

    Raises: InvalidInput, NotFound (a sales unit), Conflict (the login is taken)."""
    login = normal_login(new.login)
    if _LOGIN.fullmatch(login) is None:
        reason = "2 to 100 letters, digits and . _ @ + -, such as kari or kari@example.com"
        raise InvalidInput(FieldError("login", reason))
    for msn in new.msns:
        if session.get(SalesUnit, msn) is None:
            raise NotFound(f"there is no sales unit {msn}")
    lookup = vault.login_lookup(login)
    if session.scalars(sa.select(StaffUser).where(col(StaffUser.login_lookup) == lookup)).first():
        raise Conflict("login_taken", f"there is a user {login} already")
    user_id = new_id("usr")
    password = new.password or new_password()
    with_factor = new.has_second_factor
    if with_factor is None:
        with_factor = needs_second_factor(new.role)
    secret = new_secret() if with_factor else None
    personal = orjson.dumps({"login": login, "name": new.name})
    session.add(
        StaffUser(
            id=user_id,
            login_lookup=lookup,
            personal=vault.seal(personal, place=f"staff_user:{user_id}:personal"),
            password_hash=hash_password(password),
            totp_secret=_sealed(vault, user_id, secret),
            role=new.role,
            created_at=now,
        )
    )
    session.flush()
    session.add_all(StaffUnit(user_id=user_id, msn=msn) for msn in dict.fromkeys(new.msns))
    session.flush()
    return Credentials(user_id, password, secret)


def ensure_demo_user(session: Session, vault: Vault, msn: str, *, now: datetime) -> None:
    """Let `demo` in, beside the built-in sandbox; a real Vipps refuses them (signing_in)."""
    if find_user(session, vault, DEMO_LOGIN) is None:
        demo = NewPerson(
            DEMO_LOGIN, "Demo", Role.ADMIN, (msn,), vault.demo_password(), has_second_factor=False
        )
        add_user(session, vault, demo, now=now)


def list_users(session: Session, vault: Vault) -> Sequence[Person]:
    """Return every user, oldest first, those who were let go too."""
    users = session.scalars(sa.select(StaffUser).order_by(col(StaffUser.id))).all()
    return [opened(session, vault, user) for user in users]


def find_user(session: Session, vault: Vault, login: str) -> StaffUser | None:
    """Return the user with this login."""
    lookup = vault.login_lookup(normal_login(login))
    named = sa.select(StaffUser).where(col(StaffUser.login_lookup) == lookup)
    return session.scalars(named).one_or_none()


def disable_user(session: Session, vault: Vault, login: str, *, now: datetime) -> None:
    """Let a person go: they are signed out everywhere at once. Raises: NotFound."""
    user = find_user(session, vault, login)
    if user is None:
        raise NotFound(f"there is no user {login}")
    user.disabled_at = user.disabled_at or now
    session.add(user)
    session.execute(sa.delete(StaffSession).where(col(StaffSession.user_id) == user.id))


def opened(session: Session, vault: Vault, user: StaffUser) -> Person:
    """Return a stored user with what is sealed about them opened."""
    known = _known(vault, user)
    msns = sa.select(col(StaffUnit.msn)).where(col(StaffUnit.user_id) == user.id)
    return Person(
        id=user.id,
        login=known["login"],
        name=known["name"],
        role=Role(user.role),
        msns=tuple(session.scalars(msns.order_by(col(StaffUnit.msn)))),
        has_second_factor=user.totp_secret is not None,
        created_at=user.created_at,
        disabled_at=user.disabled_at,
    )


def totp_secret_of(vault: Vault, user: StaffUser) -> str | None:
    """Return the secret of the user's authenticator app, if they have one."""
    if user.totp_secret is None:
        return None
    return vault.open(user.totp_secret, place=f"staff_user:{user.id}:totp_secret").decode()


def user_id_of(actor: str) -> str:
    """Return whose id stands in what the ledger names a person by."""
    return actor.removeprefix(_ACTOR)


def name_of(vault: Vault, user: StaffUser) -> str:
    """Return a stored user's name."""
    return str(_known(vault, user)["name"])


def normal_login(login: str) -> str:
    """Return a login as it is compared: without spaces around it, in lower case."""
    return login.strip().lower()


def _known(vault: Vault, user: StaffUser) -> dict[str, str]:
    personal = vault.open(user.personal, place=f"staff_user:{user.id}:personal")
    known: dict[str, str] = orjson.loads(personal)
    return known


def _sealed(vault: Vault, user_id: str, secret: str | None) -> bytes | None:
    if secret is None:
        return None
    return vault.seal(secret.encode(), place=f"staff_user:{user_id}:totp_secret")
