"""What an answer says, whatever its bytes are."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.vipps.answer import ANSWER_BYTES_MAX, Answer
from tests.service.vipps.builders import a_problem, parsed

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
_ODD_MEMBERS = st.dictionaries(
    st.sampled_from(["extraDetails", "invalidParams", "traceId", "instance", "type", "items"]),
    _JSON | st.lists(st.fixed_dictionaries({"name": st.just("ErrorCode"), "reason": _JSON})),
)


def test_answer_with_an_epayment_problem_gives_code_and_trace() -> None:
    """Vipps's own code and trace id are kept, so that a merchant can quote them."""
    answer = parsed(400, a_problem(400, "6080"))

    assert (answer.status, answer.code, answer.trace_id) == (400, "6080", "00-5f0d-01")
    assert answer.is_problem


def test_answer_of_order_management_gives_its_instance_as_trace() -> None:
    """Order Management says no in a shape of its own; its trace is found all the same."""
    raw = b'{"title":"No","instance":"00-616e-00","invalidParams":[{"name":"Url","reason":"x"}]}'

    answer = parsed(400, raw)

    assert (answer.code, answer.trace_id, answer.is_problem) == (None, "00-616e-00", True)


def test_answer_of_the_gateway_is_no_problem_of_an_api() -> None:
    """The gateway in front of Vipps says nothing about payments."""
    answer = parsed(404, b'{"statusCode":404,"message":"Resource not found"}')

    assert (answer.status, answer.code, answer.is_problem) == (404, None, False)


def test_answer_that_names_a_field_has_no_code() -> None:
    """A wrong field is not a domain code."""
    raw = b'{"title":"Bad Request","extraDetails":[{"name":"amount","reason":"6080"}]}'

    answer = parsed(400, raw)

    assert (answer.code, answer.is_problem) == (None, True)


def test_answer_that_is_a_list_keeps_it_as_items() -> None:
    """The event log is a list."""
    answer = parsed(200, b'[{"name":"CREATED"}]')

    assert answer.body == {"items": [{"name": "CREATED"}]}


@pytest.mark.parametrize(("status", "raw"), [(204, b""), (200, b'"16328cb8-d769"')])
def test_answer_without_members_is_a_success(status: int, raw: bytes) -> None:
    """A deletion answers without a body, a category with a bare text."""
    answer = parsed(status, raw)

    assert (answer.status, answer.body) == (status, {})


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>Welcome to the hotel</html>",
        b'{"a": NaN}',
        b'{"a": 1e400}',
        b"{" + b" " * ANSWER_BYTES_MAX + b"}",
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b"[" * 100_000,
        b'{"a": "\\ud800"}',
    ],
)
def test_success_that_cannot_be_read_is_no_answer(raw: bytes) -> None:
    """A success that is not Vipps's proves nothing: the outcome is unknown."""
    answer = parsed(200, raw)

    assert (answer.status, answer.body) == (None, {})


def test_refusal_that_cannot_be_read_keeps_its_status() -> None:
    """A gateway's error page still tells that Vipps was not reached."""
    answer = parsed(502, b"<html>Bad gateway</html>")

    assert (answer.status, answer.body, answer.code) == (502, {}, None)


def test_answer_in_a_log_shows_nothing_of_its_body() -> None:
    """Phone numbers, names and secrets of an answer are in no log."""
    answer = parsed(201, b'{"secret":"canary","userDetails":{"mobileNumber":"4791234567"}}')

    shown = repr(answer)

    assert "canary" not in shown
    assert "4791234567" not in shown


@given(st.sampled_from([200, 201, 302, 400, 404, 500]), st.binary())
def test_answer_of_any_bytes_raises_nothing(status: int, raw: bytes) -> None:
    """Whatever comes back, the worker goes on."""
    answer = parsed(status, raw)

    assert isinstance(answer, Answer)


@given(_ODD_MEMBERS)
def test_answer_of_odd_members_gives_only_plain_codes(members: dict[str, object]) -> None:
    """Members of any type and size leave a code of digits and a plain trace id, or none."""
    answer = parsed(400, orjson.dumps(members))

    assert answer.code is None or (answer.code.isdigit() and len(answer.code) <= 6)
    assert answer.trace_id is None or answer.trace_id.isprintable()
