"""One sales unit's keys for Vipps."""

import re
from dataclasses import dataclass, field

# What can stand in a header unchanged: no space, no control character, nothing beyond ASCII.
_HEADER_SAFE = re.compile(r"[\x21-\x7e]{1,512}")
_MSN = re.compile(r"[0-9]{4,10}")


@dataclass(frozen=True, slots=True)
class VippsKeys:
    """One sales unit's keys; the secrets stay out of `repr`.

    Raises: ValueError, naming the field and never its value."""

    msn: str
    client_id: str
    client_secret: str = field(repr=False)
    subscription_key: str = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what can't be sent in a header, so that no later call fails for it."""
        if _MSN.fullmatch(self.msn) is None:
            raise ValueError("msn is four to ten digits")
        for name in ("client_id", "client_secret", "subscription_key"):
            if _HEADER_SAFE.fullmatch(getattr(self, name)) is None:
                raise ValueError(f"{name} is visible ASCII without spaces, at most 512 characters")
