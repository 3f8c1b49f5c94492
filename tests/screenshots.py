"""Make the pictures of the documents, or, with FOLDER, pictures of every page to look at.

`python -m tests.screenshots [FOLDER]`
"""

import sys
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser import DESKTOP, HOW_TO_GET_IT, SMALL, chromium_path, open_browser
from tests.console.pictures import take_console
from tests.pages.pictures import take_invoices
from tests.sandbox import harness
from tests.sandbox.phones import Customer, shop

_IMAGES = Path(__file__).parent.parent / "docs" / "img"


def main(folder: Path | None) -> None:
    """Play a small life at a sandbox and take its picture."""
    if chromium_path() is None:
        raise SystemExit(HOW_TO_GET_IT)
    with shop() as shop_url, harness.sandbox() as merchant, open_browser() as browser:
        customer = Customer(merchant, "4791234567")
        pages = _live(customer, shop_url)
        if folder is None:
            _take_phone(browser, pages["cancel"])
            take_invoices(browser, _IMAGES)
            take_console(browser, _IMAGES)
        else:
            _take_all(browser, pages, folder)
            take_invoices(browser, folder)
            take_console(browser, folder)


def _live(customer: Customer, shop_url: str) -> dict[str, str]:
    merchant = customer.merchant
    name = {"name": "Fjord Window Care"}
    merchant.client.put(f"/sandbox/sales-units/{merchant.msn}", json=name)
    asked = customer.ask_for_long(
        "invoice-2041",
        paymentDescription="Invoice 2041: windows, May",
        amount={"currency": "NOK", "value": 49_900},
    )
    customer.show(asked, f"{shop_url}/invoice-2041")
    customer.ask_briefly("invoice-2042", paymentDescription="Awning, first part")
    later = customer.ask_for_long("invoice-2040", paymentDescription="Windows, April")
    merchant.act("postpone", later)
    paid, refused = customer.ask_briefly("invoice-2039"), customer.ask_briefly("invoice-2038")
    merchant.act("approve", paid)
    merchant.act("reject", refused)
    shares = customer.ask_briefly("invoice-2043", profile={"scope": "name phoneNumber email"})
    sheet = customer.payment_url(asked)
    return {
        "choose": customer.url("/phone"),
        "home": customer.home,
        "sheet": sheet,
        "cancel": f"{sheet}/cancel",
        "details": f"{sheet}/details",
        "consent": customer.payment_url(shares) + "/consent",
        "paid": customer.payment_url(paid),
        "refused": customer.payment_url(refused),
        "landing": customer.link("invoice-2044", paymentDescription="Gift card"),
        "controls": customer.url("/sandbox"),
    }


def _take_phone(browser: Browser, url: str) -> None:
    # The part of the story that no other sandbox has: the question before a payment ends.
    page = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    page.emulate_media(reduced_motion="reduce")
    page.goto(url)
    _IMAGES.mkdir(parents=True, exist_ok=True)
    page.locator(".phone").screenshot(path=_IMAGES / "phone.png")


def _take_all(browser: Browser, pages: dict[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for is_dark in (False, True):
        for width, height in (DESKTOP, SMALL):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if is_dark else "light",
                reduced_motion="reduce",
            )
            page = context.new_page()
            for name, url in pages.items():
                page.goto(url)
                shade = "dark" if is_dark else "light"
                page.screenshot(path=folder / f"{name}-{width}-{shade}.png", full_page=True)
            context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
