"""Pictures of the console for the documents: two weeks of a small merchant's life, played."""

import tempfile
from pathlib import Path
from random import Random

from playwright.sync_api import Browser, Page

from tests.browser import DESKTOP, SMALL
from tests.flows.processes import eventually
from tests.pages.living import Living, living

_DAYS = 14
_DAY_S = 86_400
_WORDS = ("Window cleaning", "Awning, first part", "Gutters", "Facade, north side", "Deposit")
_ALONE_MINOR = "20000"


def take_console(browser: Browser, folder: Path) -> None:
    """Take them all into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as place,
        living(
            Path(place), REFUND_ALONE_MAX_MINOR=_ALONE_MINOR, QUIET_HOURS="", MAX_PUSHES="1"
        ) as shop,
    ):
        last = _live(shop, Random(5))
        one = f"/console/invoices/{last}"
        # As much of each page as stands well beside the other.
        pages = {
            "console-overview-1280": ("/console", (DESKTOP[0], 1700), False),
            "console-overview-320": ("/console", (SMALL[0], 1445), True),
            "console-invoice-1280": (one, (DESKTOP[0], 1480), True),
            "console-invoice-320": (one, (SMALL[0], 1258), False),
        }
        for name, (path, size, is_dark) in pages.items():
            _take(browser, shop, path, size=size, is_dark=is_dark, file=folder / f"{name}.png")


def _live(shop: Living, dice: Random) -> str:
    """Let two weeks pass; return the reference of an invoice with a history."""
    for day in range(_DAYS):
        for number in range(dice.randint(2, 5)):
            _bill(shop, dice, f"2041-{day:02}-{number}")
        if day + 1 < _DAYS:
            shop.advance(_DAY_S)
    reference = "2041-told-twice"
    shop.bill(
        reference=reference,
        flow="PUSH_MESSAGE",
        customer={"phoneNumber": shop.number()},
        amount={"currency": "NOK", "value": 200_000},
        description="Facade, north side",
    )
    shop.act("postpone", reference)
    shop.advance(1_200)
    shop.api.reaches(reference, "soft_dismissed")
    shop.act("approve", reference)
    shop.api.reaches(reference, "authorized")
    shop.api.act(reference, "capture", {"reason": "Done on Tuesday"}, wait_s=10)
    shop.api.reaches(reference, "captured")
    amount = {"currency": "NOK", "value": 15_000}
    shop.api.act(reference, "refund", {"amount": amount, "reason": "A pane was missed"}, wait_s=10)
    eventually(
        lambda: shop.api.invoice(reference)["aggregate"]["refundedAmount"]["value"] == 15_000,
        what="refunded",
    )
    return reference


def _bill(shop: Living, dice: Random, reference: str) -> None:
    fate = dice.random()
    shop.bill(
        reference=reference,
        flow="PUSH_MESSAGE",
        customer={"phoneNumber": shop.number()},
        amount={"currency": "NOK", "value": dice.randrange(29_900, 490_000, 5_000)},
        description=dice.choice(_WORDS),
        capture="automatic" if fate < 0.6 else "manual",
    )
    shop.advance(int(30 * 10 ** dice.uniform(0, 2.2)))
    if fate < 0.85:
        shop.act("approve" if fate < 0.75 else "reject", reference)
        _until_told(shop, reference)


def _until_told(shop: Living, reference: str) -> None:
    """Wait until what the customer did is known, before the clock is turned on."""
    told = ("authorized", "captured", "aborted")
    eventually(lambda: shop.api.invoice(reference)["state"] in told, what="told")


def _take(
    browser: Browser,
    shop: Living,
    path: str,
    *,
    size: tuple[int, int],
    is_dark: bool,
    file: Path,
) -> None:
    context = browser.new_context(
        base_url=shop.url,
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if is_dark else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    _sign_in(page, shop)
    page.goto(path)
    page.screenshot(path=file)
    context.close()


def _sign_in(page: Page, shop: Living) -> None:
    page.goto("/console")
    page.get_by_label("Login").fill("demo")
    page.get_by_label("Password").fill(shop.context.vault.demo_password())
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Where the invoices are").wait_for()
