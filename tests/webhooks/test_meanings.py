"""What would have to be otherwise for a refused webhook, said to people."""

import pytest

from webhooks.meanings import meaning_of


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("host=shop.example", "signed for another host"),
        ("unknown_signature", "no secret of ours"),
        ("clock_s=-420", "this machine's clock is wrong"),
        ("of_tomorrow", ""),  # a newer process may have noted what this one cannot explain
    ],
)
def test_meaning_of_a_cause_says_what_to_look_at(cause: str, said: str) -> None:
    """Whoever mends it reads a sentence, whatever stands behind the cause."""
    assert meaning_of(cause).partition(":")[0].startswith(said)
    assert bool(meaning_of(cause)) is bool(said)
