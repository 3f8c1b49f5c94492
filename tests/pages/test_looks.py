"""The page in front of everybody: axe, the smallest screen, dark mode, hostile merchants."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import DESKTOP, SMALL, is_too_wide
from tests.npm import install
from tests.pages.living import Living, living

AXE = "axe-core@4.14.1"
# What WCAG 2.2 AA demands; best practices beyond it are not asked for.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN_AXE = """async (rules) => {
  const found = await axe.run(document, { runOnly: { type: "tag", values: rules } });
  return found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" | ")}`);
}"""

# The least that every reader takes for a document of one empty page.
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>endobj
trailer<</Root 1 0 R>>
"""

UNBROKEN = "W" * 90
HOSTILE = (
    "<script>window.hit=1</script>",
    '"><img src=x onerror="window.hit=1">',
    "{{ 7*7 }}%(app)s{% raw %}",
    "\u202egnirts desrever",
)


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fetch axe into a folder of its own; skip loudly where that cannot be done."""
    folder = tmp_path_factory.mktemp("axe")
    install(folder, AXE, for_what="axe", tools=("npm",))
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


@pytest.fixture(scope="package")
def urls(shop: Living) -> dict[str, str]:
    """Make one invoice for each look that a page can have."""
    _, by_link = shop.bill(kid="1234566", dueDate="2031-12-01", orderLines=[_line("Windows")])
    _, in_app = shop.ask()
    paid, paid_url = shop.ask()
    refused, refused_url = shop.ask()
    shop.act("approve", paid)
    shop.act("reject", refused)
    shop.api.reaches(paid, "authorized")
    shop.api.reaches(refused, "aborted")
    nobodys = f"{shop.url}/i/{'x' * 24}"
    return {
        "by link": by_link,
        "in app": in_app,
        "paid": paid_url,
        "refused": refused_url,
        "unknown": nobodys,
    }


def _line(name: str) -> dict[str, object]:
    return {
        "name": name,
        "id": "1",
        "totalAmount": 49_900,
        "totalAmountExcludingTax": 39_920,
        "totalTaxAmount": 9_980,
        "taxRate": 2500,
    }


@pytest.fixture(params=["light", "dark"])
def shaded(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Give a tab in a browser that likes it light, or dark."""
    is_dark = request.param == "dark"
    # Our own rules forbid scripts that are not ours, and axe is one.
    context = browser.new_context(color_scheme="dark" if is_dark else "light", bypass_csp=True)
    yield context.new_page()
    context.close()


def test_axe_finds_nothing(shaded: Page, urls: dict[str, str], axe: str) -> None:
    """WCAG 2.2 AA, on every kind of page, in both shades, small and large, all opened."""
    troubles = {}
    for name, url in urls.items():
        for width, height in (DESKTOP, SMALL):
            shaded.set_viewport_size({"width": width, "height": height})
            shaded.goto(url)
            shaded.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
            shaded.evaluate(axe)
            troubles[f"{name} {width}"] = shaded.evaluate(RUN_AXE, RULES)

    assert {where: found for where, found in troubles.items() if found} == {}


@pytest.mark.parametrize("language", ["nb", "fi"])
def test_smallest_screen_needs_no_sideways_scrolling(
    page: Page, shop: Living, urls: dict[str, str], language: str
) -> None:
    """320 pixels are enough, also in Finnish and for a merchant who knows no spaces."""
    amount = {"currency": "NOK", "value": 65_000_000}
    line = _line(UNBROKEN) | {"totalAmount": 65_000_000}
    _, wide = shop.bill(description=UNBROKEN, amount=amount, orderLines=[line])
    page.set_viewport_size({"width": SMALL[0], "height": SMALL[1]})

    found = {}
    for url in (*urls.values(), wide):
        page.goto(f"{url}?lang={language}")
        found[url] = is_too_wide(page)

    assert not any(found.values()), found


@pytest.mark.parametrize("text", HOSTILE)
def test_merchants_text_is_only_ever_text(page: Page, shop: Living, text: str) -> None:
    """Whatever an invoice says is shown letter by letter, and nothing of it runs."""
    _, url = shop.bill(description=text, orderLines=[_line(text)])

    page.goto(url)

    expect(page.locator("h1")).to_have_text(text)
    assert page.evaluate("window.hit") is None
    assert page.locator("main script, main img:not(.scan img)").count() == 0


def test_language_is_switched_on_the_page(page: Page, urls: dict[str, str]) -> None:
    """One press, and the whole visit is in that language."""
    page.goto(urls["by link"])
    page.locator(".languages summary").click()
    page.get_by_role("link", name="Suomi").click()
    expect(page.get_by_role("button", name="Maksa Vippsillä")).to_be_visible()

    page.goto(urls["in app"])

    expect(page.get_by_role("heading", name="Odottaa Vipps-sovelluksessasi")).to_be_visible()


def test_code_is_for_who_sits_at_a_desktop(page: Page, urls: dict[str, str]) -> None:
    """A phone neither shows the code of its own page nor loads it."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": SMALL[0], "height": SMALL[1]})
    page.goto(urls["by link"], wait_until="networkidle")
    on_phone = [url for url in asked if url.endswith("/qr.svg")]
    page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    page.goto(urls["by link"])

    expect(page.locator(".scan img")).to_be_visible()
    assert on_phone == []


def test_page_can_be_read_in_the_apps_web_view(page: Page, shop: Living) -> None:
    """See details in the app shows the page at once, and the customer can get back."""
    reference, _ = shop.ask()
    number = shop.api.invoice(reference)["customer"]["phoneNumber"]
    page.goto(f"{shop.url}/phone/{number}/payments/123456/{reference}")
    page.get_by_role("button", name="See details").click()

    framed = page.frame_locator("iframe")

    expect(framed.get_by_role("heading", name="Waiting in your Vipps app")).to_be_visible()


def test_invoice_is_read_as_pdf_on_the_page(page: Page, shop: Living) -> None:
    """The merchant's own PDF stands on the page, is served as one, and can be opened by itself."""
    reference, url = shop.bill()
    shop.add_document(reference, PDF)
    paper = page.locator("iframe.paper")
    with page.expect_response(lambda answer: answer.url == f"{url}/document") as answered:
        page.goto(url)
        paper.scroll_into_view_if_needed()

    headers = answered.value.headers
    box = paper.bounding_box()
    assert answered.value.status in (200, 206)
    assert headers["content-type"] == "application/pdf"
    assert headers["content-disposition"].startswith("inline")
    assert box and box["height"] > 300
    assert not is_too_wide(page)
    expect(page.get_by_role("link", name="Open the invoice as PDF")).to_be_visible()


def test_replaced_invoice_leads_to_no_other(page: Page, shop: Living) -> None:
    """The new one may be somebody else's: the page says that there is one, and not where."""
    old, url = shop.bill()
    new, new_url = shop.bill(replaces=old)
    page.goto(url)

    expect(page.locator("#standing-title")).to_have_text("Replaced by a new invoice")
    expect(page.get_by_role("button")).to_have_count(0)
    assert new not in page.content() and new_url not in page.content()
    page.goto(new_url)
    expect(page.get_by_role("button", name="Pay with Vipps")).to_be_visible()


def test_page_names_mobilepay_where_it_is_called_so(tmp_path: Path, page: Page) -> None:
    """A Dane pays with MobilePay, in its colour, until it is renamed."""
    with living(tmp_path, CURRENCY="DKK") as shop:
        _, url = shop.bill(amount={"currency": "DKK", "value": 49_900})
        page.goto(f"{url}?lang=da")
        button = page.get_by_role("button", name="Betal med MobilePay")
        expect(button).to_be_visible()
        colour = button.evaluate("element => getComputedStyle(element).backgroundColor")

    assert colour == "rgb(90, 120, 255)"
