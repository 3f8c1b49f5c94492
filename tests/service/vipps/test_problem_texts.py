"""What a merchant's staff reads of a refusal."""

import pytest

from service.vipps.problem_texts import TEXTS, problem_text
from service.vipps.verdicts import TABLE

_CODES_WITH_A_ROW = sorted({sign for rows in TABLE.values() for sign in rows if len(sign) > 3})


@pytest.mark.parametrize("code", [c for c in _CODES_WITH_A_ROW if c.isdigit()])
def test_text_of_each_code_that_is_acted_on_exists(code: str) -> None:
    """Whatever the service acts on, it can explain."""
    assert code in TEXTS


def test_text_of_7010_says_nothing_of_a_wrong_number() -> None:
    """7010 has many causes, and some are the customer's own business."""
    text = problem_text("7010", 400).lower()

    assert "number" not in text
    assert "wrong" not in text


@pytest.mark.parametrize("text", TEXTS.values())
def test_text_is_one_short_sentence(text: str) -> None:
    """A problem is a sentence that fits a table's cell."""
    assert text[0].isupper()
    assert text.endswith(".")
    assert len(text) <= 100


def test_text_of_an_unknown_code_names_it() -> None:
    """A code of tomorrow is shown, so that it can be looked up."""
    assert "9999" in problem_text("9999", 400)


@pytest.mark.parametrize("status", [None, 400, 401, 403, 404, 409, 423, 429, 500, 503])
def test_text_without_a_code_is_by_status(status: int | None) -> None:
    """An answer without a code is explained too."""
    assert problem_text(None, status).endswith(".")
