"""Who may sign in: made once, told once, let go at once, and nothing of them in clear."""

import dataclasses
import itertools
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.context import Context
from service.errors import Conflict, InvalidInput, NotFound, Unauthorized
from service.kinds import Role
from service.staff.roles import Permission, may, needs_second_factor
from service.staff.second_factor import code_at
from service.staff.sessions import (
    ABSOLUTE_END,
    IDLE_END,
    end_session,
    look_at,
    note_seen,
    signed_in,
)
from service.staff.signing_in import Claimed, SigningInRefused, sign_in
from service.staff.users import Credentials, NewPerson, add_user, disable_user, list_users
from service.store.db import Database
from service.store.tables import StaffAct, StaffSession
from tests.builders import MSN, NOW, OTHER_MSN, a_context

KARI = NewPerson("Kari.Nordmann@acme.example", "Kari Nordmann", Role.FINANCE, (MSN,))


@pytest.fixture
def context(database: Database) -> Context:
    """Give a service with two sales units and nobody who may sign in."""
    return a_context(database, MSN, OTHER_MSN)


def add(context: Context, new: NewPerson = KARI) -> Credentials:
    """Let somebody in."""
    with context.database.transaction() as session:
        return add_user(session, context.vault, new, now=NOW)


def claim(made: Credentials, *, login: str = KARI.login, at: timedelta = timedelta()) -> Claimed:
    """Return what the user would type in."""
    code = code_at(made.totp_secret, NOW + at) if made.totp_secret else ""
    return Claimed(login, made.password, code)


def test_roles_include_those_before_them() -> None:
    """Each role may all that a lesser one may, and only an admin everything."""
    allowed = [{p for p in Permission if may(role, p)} for role in Role]

    assert all(less < more for less, more in itertools.pairwise(allowed))
    assert allowed[0] == {Permission.SEE}
    assert allowed[-1] == set(Permission)
    assert [role for role in Role if needs_second_factor(role)] == [Role.FINANCE, Role.ADMIN]


def test_login_password_and_code_let_in(context: Context) -> None:
    """The session is the user's, for their sales unit."""
    made = add(context)

    token = sign_in(context, claim(made), now=NOW)

    with context.database.snapshot() as session:
        who = signed_in(session, context.vault, token, now=NOW)
    assert (who.person.id, who.person.name, who.msn) == (made.user_id, KARI.name, MSN)
    assert who.person.actor == f"user:{made.user_id}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"login": "per"},
        {"login": ""},
        {"password": "not the password"},
        {"password": ""},
        {"code": "000000"},
        {"code": ""},
        {"code": "123 456 789"},
        {"code": "\N{ARABIC-INDIC DIGIT ONE}23456"},
    ],
    ids=str,
)
def test_anything_wrong_is_refused_alike(context: Context, wrong: dict[str, str]) -> None:
    """No answer tells which part was wrong, and no session comes to be."""
    right = claim(add(context))

    with pytest.raises(SigningInRefused) as refused:
        sign_in(context, dataclasses.replace(right, **wrong), now=NOW)

    assert str(refused.value) == str(SigningInRefused())
    assert rows(context, StaffSession) == 0


def test_code_is_good_once(context: Context) -> None:
    """Who looks over a shoulder can't use the same six digits again; the next ones are good."""
    made = add(context)
    sign_in(context, claim(made), now=NOW)

    with pytest.raises(SigningInRefused):
        sign_in(context, claim(made), now=NOW + timedelta(seconds=5))

    later = timedelta(seconds=30)
    assert sign_in(context, claim(made, at=later), now=NOW + later)


@pytest.mark.parametrize(("minutes", "is_let_in"), [(-2, False), (-0.5, True), (0.5, True)])
def test_telephones_clock_may_be_half_a_minute_off(
    context: Context, minutes: float, is_let_in: bool
) -> None:
    """Codes of two minutes ago are of no use."""
    made = add(context)
    claimed = claim(made, at=timedelta(minutes=minutes))

    if is_let_in:
        assert sign_in(context, claimed, now=NOW)
    else:
        with pytest.raises(SigningInRefused):
            sign_in(context, claimed, now=NOW)


def test_beside_a_real_vipps_a_password_alone_moves_no_money(database: Database) -> None:
    """The sandbox's ready user and others without a second factor stay outside."""
    real: dict[str, Any] = {
        "VIPPS_URL": "https://api.vipps.no",
        "PUBLIC_URL": "https://pay.acme.example",
        "VIPPS_CLIENT_ID": "a",
        "VIPPS_CLIENT_SECRET": "b",
        "VIPPS_SUBSCRIPTION_KEY": "c",
        "VIPPS_MSN": MSN,
    }
    context = a_context(database, MSN, **real)
    weak = dataclasses.replace(KARI, has_second_factor=False)
    viewer = NewPerson("per", "Per", Role.VIEWER, (MSN,))

    with pytest.raises(SigningInRefused):
        sign_in(context, claim(add(context, weak)), now=NOW)

    assert sign_in(context, claim(add(context, viewer), login="per"), now=NOW)


def test_session_ends_when_idle_and_after_twelve_hours(context: Context) -> None:
    """Requests put the first end off, and nothing the second."""
    token = sign_in(context, claim(add(context)), now=NOW)
    at = NOW
    with context.database.transaction() as session:
        while at + IDLE_END / 2 < NOW + ABSOLUTE_END:
            at += IDLE_END / 2
            note_seen(session, signed_in(session, context.vault, token, now=at), now=at)

    with context.database.snapshot() as session, pytest.raises(Unauthorized):
        signed_in(session, context.vault, token, now=NOW + ABSOLUTE_END)
    second = sign_in(context, claim(add_second(context), login="per"), now=NOW)
    with context.database.snapshot() as session:
        assert signed_in(session, context.vault, second, now=NOW + IDLE_END * 0.99)
        with pytest.raises(Unauthorized):
            signed_in(session, context.vault, second, now=NOW + IDLE_END)


def test_who_is_let_go_is_out_at_once(context: Context) -> None:
    """Their sessions end, and they can't sign in again."""
    made = add(context)
    token = sign_in(context, claim(made), now=NOW)

    with context.database.transaction() as session:
        disable_user(session, context.vault, KARI.login, now=NOW)

    with context.database.snapshot() as session, pytest.raises(Unauthorized):
        signed_in(session, context.vault, token, now=NOW)
    later = timedelta(minutes=1)
    with pytest.raises(SigningInRefused):
        sign_in(context, claim(made, at=later), now=NOW + later)


def test_signing_out_ends_the_session(context: Context) -> None:
    """The cookie is worth nothing afterwards; doing it again changes nothing."""
    token = sign_in(context, claim(add(context)), now=NOW)

    for _ in range(2):
        with context.database.transaction() as session:
            end_session(session, token)

    with context.database.snapshot() as session, pytest.raises(Unauthorized):
        signed_in(session, context.vault, token, now=NOW)


def test_person_looks_only_at_their_own_sales_units(context: Context) -> None:
    """Another sales unit is as if it were not there (I10)."""
    both = dataclasses.replace(KARI, login="both", msns=(MSN, OTHER_MSN))
    one, two = sign_in(context, claim(add(context)), now=NOW), add(context, both)
    other = sign_in(context, claim(two, login="both"), now=NOW)

    with context.database.transaction() as session:
        who = signed_in(session, context.vault, other, now=NOW)
        look_at(session, who, OTHER_MSN)
    with context.database.transaction() as session:
        assert signed_in(session, context.vault, other, now=NOW).msn == OTHER_MSN
        with pytest.raises(NotFound):
            look_at(session, signed_in(session, context.vault, one, now=NOW), OTHER_MSN)


@pytest.mark.parametrize("login", ["", "k", "kari nordmann", "-kari", "kari\n", "k" * 101])
def test_login_that_nobody_could_type_is_refused(context: Context, login: str) -> None:
    """The field is named."""
    with pytest.raises(InvalidInput) as refused:
        add(context, dataclasses.replace(KARI, login=login.replace("\n", "\x00")))

    assert [error.field for error in refused.value.errors] == ["login"]


def test_login_is_one_persons_in_either_case(context: Context) -> None:
    """Two people with one login would be one."""
    add(context)

    with pytest.raises(Conflict):
        add(context, dataclasses.replace(KARI, login=KARI.login.upper()))
    with pytest.raises(NotFound):
        add(context, dataclasses.replace(KARI, login="per", msns=("999999",)))

    with context.database.snapshot() as session:
        assert [p.login for p in list_users(session, context.vault)] == [KARI.login.lower()]


def test_nothing_of_a_person_is_stored_in_clear(context: Context) -> None:
    """A stolen database tells neither who works there nor how to sign in (I11)."""
    made = add(context)
    token = sign_in(context, claim(made), now=NOW)

    with context.database.snapshot() as session:
        stored = repr(
            [
                session.execute(sa.text(f"SELECT * FROM {name}")).all()  # noqa: S608 - ours
                for name in ("staff_user", "staff_session", "staff_act", "staff_unit")
            ]
        )

    secrets = (KARI.login.lower(), "Nordmann", made.password, str(made.totp_secret), token)
    assert [secret for secret in secrets if secret in stored] == []
    assert "argon2id" in stored


def test_signing_in_is_written_down(context: Context) -> None:
    """Who looked at the books, and who tried to, can be found."""
    made = add(context)
    with pytest.raises(SigningInRefused):
        sign_in(context, dataclasses.replace(claim(made), password="x"), now=NOW)
    sign_in(context, claim(made), now=NOW)

    with context.database.snapshot() as session:
        acts = session.scalars(sa.select(StaffAct).order_by(StaffAct.id)).all()
    assert [(act.user_id, act.name) for act in acts] == [
        (made.user_id, "signing_in_refused"),
        (made.user_id, "signed_in"),
    ]


def add_second(context: Context) -> Credentials:
    """Let a second person in."""
    return add(context, dataclasses.replace(KARI, login="per"))


def rows(context: Context, model: type[StaffSession]) -> int:
    """Return how many rows a table has."""
    with context.database.snapshot() as session:
        return len(session.scalars(sa.select(model)).all())
