"""Pictures of the invoice page for the documents: two languages, two widths, both shades."""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser import DESKTOP, SMALL
from tests.pages.living import Living, living

# File, language, currency, size, shade: each market with its own words and its own colour.
_SHOTS = (
    ("invoice-nb-1280", "nb", "NOK", DESKTOP, False),
    ("invoice-nb-320", "nb", "NOK", SMALL, True),
    ("invoice-da-1280", "da", "DKK", DESKTOP, True),
    ("invoice-da-320", "da", "DKK", SMALL, False),
)
_WORDS = {
    "NOK": ("Vindusvask og markise", ("Vindusvask, mai", "Markise, første del")),
    "DKK": ("Vinduespolering og markise", ("Vinduespolering, maj", "Markise, første del")),
}


def take_invoices(browser: Browser, folder: Path) -> None:
    """Take them all into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for currency in ("NOK", "DKK"):
        with (
            tempfile.TemporaryDirectory() as place,
            living(Path(place), CURRENCY=currency) as shop,
        ):
            url = _bill(shop, currency)
            for name, language, of_currency, size, is_dark in _SHOTS:
                if of_currency == currency:
                    file = folder / f"{name}.png"
                    _take(browser, f"{url}?lang={language}", file, size, is_dark)


def _bill(shop: Living, currency: str) -> str:
    description, names = _WORDS[currency]
    _, url = shop.bill(
        amount={"currency": currency, "value": 200_000},
        description=description,
        dueDate="2027-01-11",
        **({"kid": "1234566"} if currency == "NOK" else {}),
        orderLines=[_line(names[0], 150_000), _line(names[1], 50_000)],
    )
    return url


def _line(name: str, amount_minor: int) -> dict[str, object]:
    tax_minor = amount_minor // 5
    return {
        "name": name,
        "id": name[:20],
        "totalAmount": amount_minor,
        "totalAmountExcludingTax": amount_minor - tax_minor,
        "totalTaxAmount": tax_minor,
        "taxRate": 2500,
    }


def _take(browser: Browser, url: str, file: Path, size: tuple[int, int], is_dark: bool) -> None:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if is_dark else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(url, wait_until="networkidle")
    page.screenshot(path=file, full_page=True)
    context.close()
