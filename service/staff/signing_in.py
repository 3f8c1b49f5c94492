"""Signing in: a login, a password, and for those who move money six digits more.

Whatever is wrong, the answer is the same and takes as long.
"""

from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col

from service.context import Context
from service.errors import ServiceError
from service.ids import new_id
from service.kinds import Role
from service.staff.passwords import is_password
from service.staff.roles import needs_second_factor
from service.staff.second_factor import step_of
from service.staff.sessions import open_session
from service.staff.users import find_user, totp_secret_of
from service.store.tables import StaffAct, StaffUnit, StaffUser


class SigningInRefused(ServiceError):
    """This login, password and code don't go together."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What somebody typed into the form."""

    login: str = field(repr=False)
    password: str = field(repr=False)
    code: str = field(default="", repr=False)


def sign_in(context: Context, claimed: Claimed, *, now: datetime) -> str:
    """Return a new session's cookie. Raises: SigningInRefused.

    The password is compared outside of any transaction: it takes 40 ms, on purpose."""
    with context.database.snapshot() as session:
        user = find_user(session, context.vault, claimed.login)
    stored = user.password_hash if user else None
    is_right = is_password(stored, claimed.password)
    if user is None or not is_right or not _may_enter(context, user):
        _note_refusal(context, user, now=now)
        raise SigningInRefused
    step = _step(context, user, claimed.code, now=now)
    with context.database.transaction() as session:
        if step is not None and not _use_up(session, user, step):
            raise SigningInRefused
        msns = sa.select(col(StaffUnit.msn)).where(col(StaffUnit.user_id) == user.id)
        first = session.scalars(msns.order_by(col(StaffUnit.msn)).limit(1)).one_or_none()
        if first is None:
            raise SigningInRefused
        note(session, user.id, "signed_in", now=now)
        return open_session(session, user.id, first, now=now)


def note(
    session: Session,
    user_id: str,
    name: str,
    *,
    now: datetime,
    msn: str | None = None,
    subject: str | None = None,
    reason: str | None = None,
) -> None:
    """Write down what a person did; what moves an invoice is in its own history."""
    act = StaffAct(
        id=new_id("sta"),
        user_id=user_id,
        msn=msn,
        name=name,
        subject=subject,
        reason=reason,
        at=now,
    )
    session.add(act)


def _may_enter(context: Context, user: StaffUser) -> bool:
    if user.disabled_at is not None:
        return False
    # Beside a real Vipps a password alone moves no money, however the user was made.
    needs = context.settings.is_vipps_real and needs_second_factor(Role(user.role))
    return user.totp_secret is not None or not needs


def _step(context: Context, user: StaffUser, code: str, *, now: datetime) -> int | None:
    secret = totp_secret_of(context.vault, user)
    if secret is None:
        return None
    step = step_of(secret, code, now=now)
    if step is None:
        _note_refusal(context, user, now=now)
        raise SigningInRefused
    return step


def _use_up(session: Session, user: StaffUser, step: int) -> bool:
    """Use a code; False, where it or a later one was used already, also just now elsewhere."""
    used = (
        sa.update(StaffUser)
        .where(col(StaffUser.id) == user.id, col(StaffUser.totp_step) < step)
        .values(totp_step=step)
        .returning(col(StaffUser.id))
        .execution_options(synchronize_session=False)
    )
    return session.execute(used).first() is not None


def _note_refusal(context: Context, user: StaffUser | None, *, now: datetime) -> None:
    if user is None:
        return
    with context.database.transaction() as session:
        note(session, user.id, "signing_in_refused", now=now)
