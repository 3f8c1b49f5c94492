"""The console over a real database, asked by a client that keeps cookies as a browser does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
from argon2 import PasswordHasher
from starlette.applications import Starlette

from service.console import Console
from service.context import Context
from service.kinds import Role
from service.staff import passwords
from service.staff.users import NewPerson, add_user
from service.store.db import Database
from tests.browser import browser, context, page  # noqa: F401 - fixtures
from tests.builders import MSN, NOW, OTHER_MSN, a_context
from tests.flows.processes import Served
from tests.quick import TLS

PASSWORD = "a-good-password"
_CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass(slots=True)
class Desk:
    """One running console, with a person of each role; logins are the roles' names."""

    context: Context
    http: httpx.Client
    url: str

    def sign_in(self, login: str = "viewer", password: str = PASSWORD) -> httpx.Response:
        """Send the form of the way in."""
        form = {"login": login, "password": password, "next": "/console"}
        return self.http.post("/console/sign-in", data=form)


@pytest.fixture
def desk(database: Database) -> Iterator[Desk]:
    """Give a console that listens, at which nobody is signed in."""
    with open_desk(a_context(database, MSN, OTHER_MSN)) as opened:
        yield opened


@contextmanager
def open_desk(made: Context) -> Iterator[Desk]:
    """Serve a console, and let a person of each role in."""
    with made.database.transaction() as session, pytest.MonkeyPatch.context() as patch:
        # What a password costs by design, four of them would cost each test.
        patch.setattr(passwords, "_HASHER", _CHEAP)
        for role in Role:
            person = NewPerson(
                role.value, role.value.title(), role, (MSN,), PASSWORD, has_second_factor=False
            )
            add_user(session, made.vault, person, now=NOW)
    served = Served(Starlette(routes=Console(made).routes))
    served.start()
    with httpx.Client(base_url=served.url, verify=TLS) as http:
        yield Desk(made, http, served.url)
    served.stop()
