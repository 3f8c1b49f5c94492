"""Five languages: chosen well, complete, and written as their readers write."""

import hashlib
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import service.pages
from service.pages import formats
from service.pages.acting import WORDING
from service.pages.languages import FOLDER, LANGUAGES, language_for
from service.pages.market import brand_of
from tests.builders import ONLY_SQLITE
from tests.service.pages.visiting import Visitor

TRANSLATED = tuple(code for code in LANGUAGES if code != "en")
TEMPLATES = Path(service.pages.__file__).parent / "templates"
RENAMED_ON = date(2027, 1, 12)


def said_in_templates() -> set[str]:
    """Return every text that the templates say."""
    found = extract_from_dir(TEMPLATES, method_map=[("**.html", "jinja2")])
    return {text for _, _, text, _, _ in found if isinstance(text, str)}


@pytest.mark.parametrize("code", TRANSLATED)
def test_catalogue_has_every_text_and_no_other(code: str) -> None:
    """Nobody reads half a page in English, and no translation is kept for nothing."""
    with (FOLDER / f"{code}.po").open("rb") as file:
        catalogue = read_po(file, locale=code, abort_invalid=True)
    entries = {entry.id: entry for entry in catalogue if entry.id}

    assert set(entries) == said_in_templates()
    assert [e.id for e in entries.values() if not e.string or e.fuzzy] == []
    assert dict(catalogue.obsolete) == {}


@pytest.mark.parametrize("code", TRANSLATED)
def test_translation_fills_in_what_the_english_does(code: str) -> None:
    """An amount that English says is said in every language, and no name is misspelt."""
    with (FOLDER / f"{code}.po").open("rb") as file:
        catalogue = read_po(file, locale=code)

    def names(text: object) -> set[str]:
        return set(re.findall(r"%\((\w+)\)s", str(text)))

    assert [e.id for e in catalogue if e.id and names(e.id) != names(e.string)] == []


def test_wording_is_what_its_version_says() -> None:
    """Who changes the words that people agree to gives them a new version, here and there."""
    words = [WORDING]
    for code in TRANSLATED:
        with (FOLDER / f"{code}.po").open("rb") as file:
            entries = [entry for entry in read_po(file) if "gree" in str(entry.id)]
        words += sorted(f"{entry.id}={entry.string}" for entry in entries)

    assert hashlib.sha256("\n".join(words).encode()).hexdigest()[:16] == "d084b9e6c20d9777"


@pytest.mark.parametrize(
    ("accepted", "currency", "code"),
    [
        ("nn-NO,nn;q=0.9,en;q=0.8", "DKK", "nb"),
        ("no", "EUR", "nb"),
        ("fi;q=0.1, sv-FI;q=0.9", "EUR", "sv"),
        ("de-DE,de;q=0.9,en;q=0.1", "NOK", "en"),
        ("de", "DKK", "da"),
        ("*", "EUR", "fi"),
        ("", "NOK", "nb"),
        (";;q=x,,da;q=0", "NOK", "nb"),
        ("da;q=", "NOK", "nb"),
        ("x" * 9_000, None, "en"),
    ],
)
def test_language_is_the_best_of_the_browsers(
    accepted: str, currency: str | None, code: str
) -> None:
    """A visitor reads what the browser prefers, else what is spoken where the merchant is."""
    assert language_for(None, accepted, currency).code == code


def test_chosen_language_goes_before_the_browsers() -> None:
    """The switch is believed, and nonsense in it is not."""
    assert language_for("fi", "da", "NOK").code == "fi"
    assert language_for("xx", "da", "NOK").code == "da"


@pytest.mark.parametrize(
    ("code", "amount", "day"),
    [
        ("nb", "2 000,50 kr", "1. desember 2026"),
        ("da", "2.000,50 NOK", "1. december 2026"),
        ("sv", "2 000,50 Nkr", "1 december 2026"),
        ("fi", "2 000,50 NOK", "1. joulukuuta 2026"),
        ("en", "NOK 2,000.50", "1 December 2026"),
    ],
)
def test_amounts_and_days_are_written_as_in_the_language(code: str, amount: str, day: str) -> None:
    """A customer never wonders what a comma means."""
    language = LANGUAGES[code]

    assert formats.money(200_050, "NOK", language).replace("\xa0", " ") == amount
    assert formats.day(date(2026, 12, 1), language) == day


def test_days_and_times_are_those_where_the_merchant_is() -> None:
    """Half past midnight in Helsinki is the new day, whatever the server thinks."""
    at = datetime(2026, 12, 1, 22, 30, tzinfo=UTC)

    assert formats.local_day(at, "EUR") == date(2026, 12, 2)
    assert formats.clock(at, "EUR", LANGUAGES["fi"]) == "0.30"
    assert formats.local_day(at, "NOK") == date(2026, 12, 1)


def test_organisation_numbers_are_grouped_as_at_home() -> None:
    """Norwegian in threes, Danish in pairs, all else as it is."""
    written = [
        formats.organisation_number(*given)
        for given in (("999999999", "NOK"), ("12345678", "DKK"), ("1234567-8", "EUR"), ("x", "NOK"))
    ]

    assert written == ["999\xa0999\xa0999", "12\xa034\xa056\xa078", "1234567-8", "x"]


def test_app_is_called_as_in_its_market_until_it_is_renamed() -> None:
    """MobilePay in Denmark and Finland, and Vipps everywhere from the day of the new name."""
    eve = date(2027, 1, 11)
    names = {c: brand_of(c, eve, RENAMED_ON).name for c in ("NOK", "DKK", "EUR")}

    assert names == {"NOK": "Vipps", "DKK": "MobilePay", "EUR": "MobilePay"}
    assert brand_of("DKK", RENAMED_ON, RENAMED_ON).name == "Vipps"


@pytest.mark.anyio
@ONLY_SQLITE
async def test_page_is_in_the_visitors_language(visitor: Visitor) -> None:
    """The page and its title say what language they are in, and search engines keep out."""
    visitor.bill()

    page = await visitor.look(language="da,en;q=0.5")

    assert '<html lang="da"' in page
    assert "Ikke betalt endnu" in page


@pytest.mark.anyio
@ONLY_SQLITE
async def test_chosen_language_is_kept_and_nothing_else(visitor: Visitor) -> None:
    """The switch works for the whole visit, and its cookie knows no more than the language."""
    visitor.bill()

    chosen = await visitor.client.get(visitor.path() + "?lang=fi")
    again = await visitor.look(language="nb")

    assert chosen.headers["set-cookie"].startswith("lang=fi; HttpOnly; Max-Age=31536000; Path=/i;")
    assert '<html lang="fi"' in again
    odd = await visitor.client.get(visitor.path() + "?lang=%22%3E")
    assert "set-cookie" not in odd.headers
