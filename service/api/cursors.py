"""Places in a list, as texts that mean something only here.

They name the list and the sales unit, so that a cursor from elsewhere is refused and not
misread. They are not secret: every query is held to the caller's sales unit besides.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from service.errors import FieldError, InvalidInput

_POSITION = re.compile(r"[0-9]{1,18}")
_ID = re.compile(r"[a-z]{3}_[0-9A-Z]{26}")


def write_cursor(list_name: str, msn: str, place: str | int) -> str:
    """Return the cursor after an item of a list."""
    text = f"{list_name} {msn} {place}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_position(cursor: str, list_name: str, msn: str, field: str = "cursor") -> int:
    """Return the number that a cursor of this list stands after.

    Raises: InvalidInput, naming the field that it came in."""
    return int(_read(cursor, list_name, msn, _POSITION, field))


def read_id(cursor: str, list_name: str, msn: str) -> str:
    """Return the id that a cursor of this list stands after. Raises: InvalidInput."""
    return _read(cursor, list_name, msn, _ID, "cursor")


def _read(cursor: str, list_name: str, msn: str, form: re.Pattern[str], field: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        text = urlsafe_b64decode(padded).decode("ascii")
    except ValueError:
        text = ""
    start = f"{list_name} {msn} "
    place = text.removeprefix(start)
    if not text.startswith(start) or form.fullmatch(place) is None:
        raise InvalidInput(FieldError(field, "is not a cursor of this list"))
    return place
