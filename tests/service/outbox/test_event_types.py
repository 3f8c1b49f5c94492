"""Which events a subscription's filter takes."""

import pytest

from service.outbox.event_types import EVENT_TYPES, is_filter, matches


@pytest.mark.parametrize(
    ("filters", "event_type", "is_taken"),
    [
        (["invoice.captured"], "invoice.captured", True),
        (["invoice.captured"], "invoice.authorized", False),
        (["invoice.*"], "invoice.needs_attention", True),
        (["invoice.*"], "customer.withdrawn", False),
        (["invoice.*", "customer.withdrawn"], "customer.withdrawn", True),
        (["*"], "subscription.disabled", True),
        ([], "invoice.captured", False),
    ],
)
def test_matches_takes_exact_types_and_wildcards(
    filters: list[str], event_type: str, is_taken: bool
) -> None:
    """I am told of what I named, of every invoice event, or of everything."""
    taken = matches(filters, event_type)

    assert taken is is_taken


@pytest.mark.parametrize("text", ["subscription.*", "invoice", "invoice.", "Invoice.*", "", "**"])
def test_is_filter_with_any_other_text_is_false(text: str) -> None:
    """A slip in a type is found when I subscribe, not when nothing arrives."""
    known = is_filter(text)

    assert not known


def test_event_types_are_each_filters() -> None:
    """Whatever I am told of, I can ask for by name."""
    unknown = [event_type for event_type in EVENT_TYPES if not is_filter(event_type)]

    assert unknown == []
    assert len(EVENT_TYPES) == len(set(EVENT_TYPES)) == 11 + 8
