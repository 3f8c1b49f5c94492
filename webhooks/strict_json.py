"""Read JSON so that no two readers can disagree about what it says."""

from __future__ import annotations

import json
from collections.abc import Iterable

import orjson

from webhooks.errors import MalformedEvent

# The receiver refuses larger bodies before it hashes; here too, so that the parser is safe alone.
BODY_BYTES_MAX = 65_536
# A real event nests three deep; sixteen leaves room and keeps every walk shallow.
DEPTH_MAX = 16


def loads(body: bytes, *, bytes_max: int = BODY_BYTES_MAX) -> object:
    """Return the value that a UTF-8 JSON text means to every reader alike.

    Refused as `body`: more than `bytes_max`, more than 16 levels, a member named twice, NaN and
    infinity in any spelling, lone surrogates, a byte order mark, UTF-16. Raises: MalformedEvent.
    """
    if len(body) > bytes_max:
        raise MalformedEvent("body", f"larger than {bytes_max // 1024} KiB")
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # `from None`: the library's error carries the document, and that is personal data.
        raise MalformedEvent("body", f"not JSON ({error.msg})") from None
    _check_depth(value, DEPTH_MAX)
    # Every parser here keeps the last of two members of one name, and the next reader may keep the
    # first. A text equal to its own serialisation has none, which is how Vipps writes; others are
    # read a second time, by a parser that shows the pairs.
    if orjson.dumps(value) != body:
        json.loads(body, object_pairs_hook=_refuse_twins)
    return value


def _check_depth(value: object, levels_left: int) -> None:
    inner: Iterable[object]
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return
    if not levels_left:
        raise MalformedEvent("body", f"nested deeper than {DEPTH_MAX} levels")
    for item in inner:
        _check_depth(item, levels_left - 1)


def _refuse_twins(pairs: list[tuple[str, object]]) -> None:
    if len(pairs) != len({name for name, _ in pairs}):
        raise MalformedEvent("body", "a member is named twice")
