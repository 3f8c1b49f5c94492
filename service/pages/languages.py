"""The five languages: which one a visitor reads, and its texts.

The texts are gettext catalogues, `locale/*.po`, read as they are: there is nothing to compile
and nothing to forget to compile. English stands in the templates themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel import Locale, negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

FOLDER = Path(__file__).parent / "locale"


@dataclass(frozen=True, slots=True)
class Language:
    """One language: its code, what it calls itself, and how it writes amounts and dates."""

    code: str
    name: str
    locale: Locale


LANGUAGES: Mapping[str, Language] = {
    language.code: language
    for language in (
        Language("nb", "Norsk", Locale("nb", "NO")),
        Language("da", "Dansk", Locale("da", "DK")),
        Language("sv", "Svenska", Locale("sv", "SE")),
        Language("fi", "Suomi", Locale("fi", "FI")),
        # Amounts and dates as people in the Nordic countries expect them of English.
        Language("en", "English", Locale("en", "GB")),
    )
}

# Written Norwegian of either kind is read by every Norwegian.
_ALIASES = {"no": "nb", "nn": "nb"}
# A visitor who asks for none of ours reads the market's.
_OF_CURRENCY = {"NOK": "nb", "DKK": "da", "EUR": "fi"}
_ACCEPTED_MAX = 20


def language_for(chosen: str | None, accepted: str, currency: str | None) -> Language:
    """Return what was chosen, else the best of `Accept-Language`, else the market's."""
    if chosen is not None and chosen in LANGUAGES:
        return LANGUAGES[chosen]
    found = negotiate_locale(_preferred(accepted), list(LANGUAGES), sep="-", aliases={})
    return LANGUAGES[found or _OF_CURRENCY.get(currency or "", "en")]


def _preferred(accepted: str) -> list[str]:
    """Return the languages of the header, the most wanted first."""
    wanted = []
    for part in accepted.split(",")[:_ACCEPTED_MAX]:
        tag, _, parameter = part.strip().partition(";")
        weight = _weight(parameter)
        if tag and weight > 0:
            language = tag.split("-")[0].lower()
            wanted.append((weight, _ALIASES.get(language, language)))
    # The sort is stable: of equals, the first named wins.
    return [language for _, language in sorted(wanted, key=lambda pair: -pair[0])]


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


@cache
def texts(code: str) -> NullTranslations:
    """Return the texts of a language; English is what the templates say."""
    if code == "en":
        return NullTranslations()
    with (FOLDER / f"{code}.po").open("rb") as file:
        catalogue = read_po(file, locale=code)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)
