"""The six digits of an authenticator app (TOTP, RFC 6238), each good once."""

from datetime import datetime

import pyotp

_STEP_S = 30
# A telephone's clock may be half a minute off, either way.
_STEPS_AROUND = (0, -1, 1)


def new_secret() -> str:
    """Return a secret for one person's authenticator app, in base32."""
    return pyotp.random_base32()


def link(secret: str, *, login: str, issuer: str) -> str:
    """Return the `otpauth://` link that an authenticator app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=issuer)


def code_at(secret: str, at: datetime) -> str:
    """Return the six digits that the app shows at this time."""
    return pyotp.TOTP(secret).at(at)


def step_of(secret: str, code: str, *, now: datetime) -> int | None:
    """Return the half minute whose code this is; None, where it is none of those around now."""
    current = int(now.timestamp()) // _STEP_S
    totp = pyotp.TOTP(secret)
    for step in (current + around for around in _STEPS_AROUND):
        if pyotp.utils.strings_equal(totp.generate_otp(step), code.strip()):
            return step
    return None
