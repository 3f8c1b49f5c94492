"""Every page of the console in front of everybody: axe, widths, shades, and hostile strangers."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page

from service.store.inserts import table_of
from service.store.tables import ApiKey, Invoice
from tests.browser import DESKTOP, SMALL, is_too_wide
from tests.console.conftest import HOSTILE, Office, SignIn
from tests.fake_merchant import Answer
from tests.flows.processes import eventually
from tests.pages.test_looks import RULES, RUN_AXE

PAGES = ("", "invoices", "subscriptions", "feed", "vipps", "settings", "sandbox")


@pytest.fixture(scope="module")
def paths(office: Office) -> dict[str, str]:
    """Fill each place where a stranger's words are kept, and return every page's path."""
    office.said.append(Answer(500, body=HOSTILE.encode() + b"\xff<b>"))
    key = office.subscribe(HOSTILE)
    reference, _ = office.shop.ask(
        description=HOSTILE[:100],
        customer={"phoneNumber": office.shop.number(), "name": "Kari"},
        metadata={"erp": HOSTILE},
        kid="1234566",
        dueDate="2031-12-01",
    )
    office.shop.act("approve", reference)
    office.shop.api.reaches(reference, "authorized")
    office.shop.api.act(reference, "capture", {"reason": HOSTILE}, wait_s=10)
    eventually(lambda: _is_tried(office, key), what="a try")
    office.said.append(Answer())
    with office.shop.context.database.transaction() as session:
        session.execute(sa.update(table_of(ApiKey)).values(name=HOSTILE))
        invoice = table_of(Invoice)
        problem = {"code": HOSTILE, "title": HOSTILE, "detail": HOSTILE}
        mine = sa.update(invoice).where(invoice.c.reference == reference)
        session.execute(mine.values(problem=problem, warned_percent=80))
    return {
        **{name or "overview": f"/console/{name}".rstrip("/") for name in PAGES},
        "one": f"/console/invoices/{reference}",
        "filtered": "/console/invoices?q=nothing-of-that-name&from=2026-01-01",
        "no such": "/console/invoices/no-such-reference",
        "subscription": f"/console/subscriptions/{key}",
    }


def _is_tried(office: Office, key: str) -> bool:
    log = office.shop.api.get(f"/v1/subscriptions/{key}/deliveries")
    return any(one["attempts"] for one in log["items"])


@pytest.fixture(params=["light", "dark"])
def shaded(browser: Browser, office: Office, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Give an admin's tab in a browser that likes it light, or dark, and lets axe in."""
    context = browser.new_context(
        base_url=office.shop.url,
        storage_state=office.states["admin"],
        color_scheme="dark" if request.param == "dark" else "light",
        bypass_csp=True,
    )
    yield context.new_page()
    context.close()


def test_strangers_words_are_only_ever_words(
    office: Office, as_person: SignIn, paths: dict[str, str]
) -> None:
    """Names, problems, answers, raw events, reasons: shown letter by letter, nothing runs (T38)."""
    page = as_person("admin")
    shown = {}
    for name, path in paths.items():
        page.goto(path)
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        shown[name] = page.locator("body").inner_text().count("<script>window.hit=1</script>")
        assert page.evaluate("window.hit") is None
        assert page.locator("main script, main img").count() == 0

    assert all(shown[name] for name in ("overview", "invoices", "one", "subscription", "settings"))


def test_axe_finds_nothing(shaded: Page, paths: dict[str, str], axe: str) -> None:
    """WCAG 2.2 AA on every page, in both shades, small and large, all opened; and no page is wide.

    The live updates are left out: axe must see one page, not two. What is small in the dark is
    what is large in it and small in the light."""
    troubles = {}
    shaded.route("**/console/live*", lambda route: route.abort())
    is_dark = shaded.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    for width, height in (DESKTOP,) if is_dark else (DESKTOP, SMALL):
        shaded.set_viewport_size({"width": width, "height": height})
        for name, path in paths.items():
            shaded.goto(path)
            shaded.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
            shaded.evaluate(axe)
            found = shaded.evaluate(RUN_AXE, RULES)
            troubles[f"{name} {width}"] = found + (["too wide"] if is_too_wide(shaded) else [])

    assert {where: found for where, found in troubles.items() if found} == {}
