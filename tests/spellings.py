"""How a text could stand somewhere without being sealed."""

import base64
from collections.abc import Iterator


def spellings(text: str) -> Iterator[bytes]:
    """Yield it as it is, in hex, and in base64 at any offset."""
    plain = text.encode()
    yield plain
    yield plain.hex().encode()
    for offset in range(3):
        coded = base64.urlsafe_b64encode(b"\0" * offset + plain)
        # The first and the last digits depend on what stands beside it.
        yield coded[4 if offset else 0 : -4]
