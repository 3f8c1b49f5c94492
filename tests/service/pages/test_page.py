"""What a customer reads on the page, and what nobody reads without the link."""

import gzip
import re
from datetime import date

import pytest

from service.ledger import acts
from service.pages.endpoint import LOOKS
from service.store.db import Database
from tests.builders import ONLY_SQLITE, REFERENCE
from tests.service.api.shop import take_away
from tests.service.pages.visiting import Visitor, a_line, visiting

pytestmark = [pytest.mark.anyio]

NOBODYS = "x" * 24


async def test_page_shows_who_wants_how_much_for_what(visitor: Visitor) -> None:
    """A customer recognises the invoice, on either database."""
    lines = [a_line("Insurance", 210_000), a_line("Bonus", 10_000, isReturn=True)]
    visitor.bill(
        description="Travel <b>insurance</b>",
        due_date=date(2026, 12, 1),
        terms={"kid": "1234566", "orderLines": lines, "documentUrl": "https://erp.example/1.pdf"},
    )

    page = await visitor.look()

    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for text in (
        *("Acme", "999 999 999", "Travel &lt;b&gt;insurance&lt;/b&gt;", "1 December 2026"),
        *(
            "NOK 2,000.00",
            "1234566",
            REFERENCE,
            "Insurance",
            "NOK 2,100.00",
            "\N{MINUS SIGN}NOK 100.00",
        ),
        "Not paid yet",
    ):
        assert text in shown
    for url in ("contact", "terms", "privacy"):
        assert f'href="https://acme.example/{url}"' in page
    assert 'href="https://erp.example/1.pdf"' in page


@ONLY_SQLITE
async def test_page_is_private_and_runs_only_its_own(visitor: Visitor) -> None:
    """Nothing of the page is kept, framed, told to others, or able to run what it should not."""
    visitor.bill()

    headers = (await visitor.client.get(visitor.path())).headers

    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert (policy["default-src"], policy["script-src"]) == ("'none'", "'self'")
    assert "https://*.mobilepay.dk" in policy["form-action"]
    # The built-in sandbox's phone shows the page in a frame, as the app does in its web view.
    assert policy["frame-ancestors"] == "'self' http://127.0.0.1:*"
    assert "set-cookie" not in headers


@ONLY_SQLITE
async def test_open_page_hears_of_every_change(visitor: Visitor) -> None:
    """The version that the page asks for changes with what it would show, and says nothing."""
    visitor.bill()
    page = await visitor.look()
    first = (await visitor.client.get(visitor.path() + "/state")).json()

    visitor.desk.act(acts.cancel)
    second = await visitor.client.get(visitor.path() + "/state")

    assert f'data-version="{first["version"]}"' in page
    assert second.json()["version"] != first["version"]
    assert set(first) == {"version", "nextMs"}
    assert second.headers["cache-control"] == "no-store"


@ONLY_SQLITE
async def test_page_beside_a_real_vipps_is_framed_by_nobody(database: Database) -> None:
    """No stranger can lay their own page over ours."""
    real = {
        **{f"VIPPS_{n}": "a-key" for n in ("CLIENT_ID", "CLIENT_SECRET", "SUBSCRIPTION_KEY")},
        "VIPPS_MSN": "123456",
        "VIPPS_URL": "https://api.vipps.no",
        "PUBLIC_URL": "https://pay.example",
    }
    async with visiting(database, **real) as opened:
        answer = await opened.client.get(f"/i/{NOBODYS}")

    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("token", [NOBODYS, "short", "x" * 25, "%00" * 24, "assets", "é" * 24])
@ONLY_SQLITE
async def test_unknown_token_tells_nothing(visitor: Visitor, token: str) -> None:
    """Whatever was guessed, the answer is the same page to the last byte."""
    visitor.bill()
    expected = await visitor.client.get(f"/i/{'y' * 24}")

    answer = await visitor.client.get(f"/i/{token}")

    assert (answer.status_code, answer.text) == (404, expected.text)
    assert "There is no such page" in answer.text
    assert "Acme" not in answer.text


@ONLY_SQLITE
async def test_guessing_is_slowed_down_and_customers_are_not(visitor: Visitor) -> None:
    """Many wrong tokens from one address are refused; a right one from there still opens."""
    visitor.bill()

    guesses = [(await visitor.client.get(f"/i/{NOBODYS}")).status_code for _ in range(45)]
    right = await visitor.client.get(visitor.path())

    # A new window may begin while the test runs; it never gives more than one more of them.
    assert guesses[:20] == [404] * 20
    assert 429 in guesses
    assert right.status_code == 200


@ONLY_SQLITE
async def test_page_gone_wild_is_slowed_down(visitor: Visitor) -> None:
    """One link takes no more of the service than its share."""
    visitor.bill()

    answers = [(await visitor.client.get(visitor.path())).status_code for _ in range(250)]

    # A new window may begin while the test runs; it never gives more than one more of them.
    assert answers[LOOKS.amount - 1] == 200
    assert answers.count(200) <= 2 * LOOKS.amount < len(answers)


@ONLY_SQLITE
async def test_database_away_is_said_kindly(visitor: Visitor) -> None:
    """A restart of the database costs a moment, and shows no error of ours."""
    visitor.bill()
    path = visitor.path()
    take_away(visitor.desk.context.database)

    answer = await visitor.client.get(path)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "Just a moment" in answer.text


@ONLY_SQLITE
async def test_everything_together_is_small(visitor: Visitor) -> None:
    """The page opens at once on a poor connection: under 60 kB, all files and no compression."""
    visitor.bill(terms={"orderLines": [a_line("x" * 20, 20_000)] * 10})
    page = await visitor.look()

    files = [
        await visitor.client.get(path)
        for path in re.findall(r'(?:src|href)="(/i/assets/[^"]+)', page)
    ]

    assert len(files) == 3
    assert all("immutable" in file.headers["cache-control"] for file in files)
    assert len(page.encode()) + sum(len(file.content) for file in files) < 60_000
    assert len(gzip.compress(page.encode())) < 6_000
    assert (await visitor.client.get("/i/assets/other.py")).status_code == 404
