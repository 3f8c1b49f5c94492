"""A body has one meaning or none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks import strict_json
from webhooks.errors import MalformedEvent

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def nested(levels: int, opening: str = "[", closing: str = "]") -> bytes:
    """Return a text nested that deep."""
    return (opening * levels + closing * levels).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{'a':1}",
        b'{"a":1,}',
        b"// no\n{}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":' + b"9" * 10_000 + b"}",
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":"\n"}',
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-32"),
        b"\x00",
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":1}',
        b'{"x":[{"a":1,"a":1}]}',
        nested(17),
        nested(1000),
        nested(30_000),
        b'{"a":' * 17 + b"1" + b"}" * 17,
        b'"' + b"a" * 65_536 + b'"',
    ],
)
def test_loads_doubtful_text_is_malformed(body: bytes) -> None:
    """What two readers could read differently, we do not read at all."""
    with pytest.raises(MalformedEvent) as caught:
        strict_json.loads(body)

    assert caught.value.field == "body"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": 1, "b": {"a": 2}}', {"a": 1, "b": {"a": 2}}),
        (b'{"a":"\\u00e6\\ud83d\\ude00"}', {"a": "æ😀"}),
        ('{"a":"Å"}'.encode(), {"a": "Å"}),
        (b"1.50", 1.5),
        (b"null", None),
        (b'"' + b"a" * 65_534 + b'"', "a" * 65_534),
    ],
)
def test_loads_plain_text_is_read(body: bytes, value: object) -> None:
    """Spaces, escapes and other letters are ordinary JSON, up to the size limit exactly."""
    assert strict_json.loads(body) == value


def test_loads_with_another_limit_moves_the_size() -> None:
    """A merchant's invoice may be larger than a webhook, up to its own limit exactly."""
    body = b'"' + b"a" * 102_398 + b'"'

    assert strict_json.loads(body, bytes_max=102_400) == "a" * 102_398
    with pytest.raises(MalformedEvent, match="larger than 99 KiB"):
        strict_json.loads(body, bytes_max=102_399)


def test_loads_sixteen_levels_are_the_most() -> None:
    """Depth is allowed up to the limit exactly."""
    strict_json.loads(nested(16))

    with pytest.raises(MalformedEvent, match="16 levels"):
        strict_json.loads(nested(17))


@given(value=JSON, indent=st.none() | st.just(2), ascii_only=st.booleans())
def test_loads_gives_back_what_was_written(
    value: object, indent: int | None, ascii_only: bool
) -> None:
    """However a sender formats JSON, we read what it wrote."""
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()

    assert strict_json.loads(body) == value


@given(body=st.binary() | st.text(alphabet='{}[]",:0eE+-.\\u"dD8 ').map(str.encode))
def test_loads_random_bytes_raises_only_our_family(body: bytes) -> None:
    """No body can crash us."""
    try:
        strict_json.loads(body)
    except MalformedEvent as error:
        assert error.field == "body"
