"""One service, its people and its subscriber, for all stories of the console."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from service.clock import real_now
from service.kinds import Role
from service.staff.users import NewPerson, add_user
from tests.browser import WAIT_MS
from tests.browser import browser as browser
from tests.browser import context as context
from tests.browser import page as page
from tests.fake_merchant import Answer, FakeMerchant, Received
from tests.flows.processes import Served
from tests.pages.living import Living, living
from tests.pages.test_looks import axe as axe
from tests.service.console.conftest import PASSWORD

MSN, OTHER_MSN = "123456", "654321"
# Above this a refund needs a second person.
ALONE_MINOR = 20_000
HOSTILE = '"><script>window.hit=1</script><img src=x onerror="window.hit=1">{{ 7*7 }}'


@dataclass
class Office:
    """A running service with people of each role; `said` is what its subscriber answers."""

    shop: Living
    subscriber_url: str
    said: list[Answer] = field(default_factory=lambda: [Answer()])
    states: dict[str, Any] = field(default_factory=dict)

    def subscribe(self, description: str = "The shop's own system") -> str:
        """Make a subscription of the sales unit; return its id."""
        body = {
            "url": f"{self.subscriber_url}/in",
            "eventTypes": ["*"],
            "description": description,
        }
        made = self.shop.api.call("POST", "/v1/subscriptions", body)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])


@pytest.fixture(scope="package")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Serve a merchant's invoices, and let people of each role in."""
    merchant = FakeMerchant()
    served = Served(merchant)
    served.start()
    settings = {
        "SUBSCRIBER_ALLOW": "127.0.0.0/8",
        "REFUND_ALONE_MAX_MINOR": str(ALONE_MINOR),
    }
    with living(tmp_path_factory.mktemp("console"), **settings) as shop:
        made = Office(shop, served.url)

        async def react(_received: Received) -> Answer:
            return made.said[-1]

        merchant.react = react
        with shop.context.database.transaction() as session:
            for login in (*Role, "second"):
                role = Role(login) if login != "second" else Role.FINANCE
                name = f"{login.title()} {HOSTILE}"
                new = NewPerson(login, name, role, (MSN,), PASSWORD, has_second_factor=False)
                add_user(session, shop.context.vault, new, now=real_now())
        yield made
    served.stop()


SignIn = Callable[[str], Page]


@pytest.fixture
def as_person(browser: Browser, office: Office) -> Iterator[SignIn]:
    """Give a tab of somebody who is signed in; each signs in once for all stories.

    At the end no tab may have broken the pages' own rules, nor run what others wrote."""
    opened: list[BrowserContext] = []
    troubles: list[str] = []

    def open_tab(login: str) -> Page:
        fresh = browser.new_context(
            base_url=office.shop.url, storage_state=office.states.get(login)
        )
        fresh.set_default_timeout(WAIT_MS)
        opened.append(fresh)
        page = fresh.new_page()
        page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        if login not in office.states:
            sign_in(page, login)
            office.states[login] = fresh.storage_state()
        return page

    yield open_tab
    hits = [tab.evaluate("window.hit") for each in opened for tab in each.pages]
    for each in opened:
        each.close()
    assert [hit for hit in hits if hit is not None] == []
    assert [text for text in troubles if not text.startswith("Failed to load resource")] == []


def sign_in(page: Page, login: str) -> None:
    """Walk in as a person does."""
    page.goto("/console")
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Where the invoices are")).to_be_visible()
