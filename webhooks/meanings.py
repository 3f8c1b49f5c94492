"""What the causes mean that `diagnosis` finds, in plain words, for whoever mends it."""

from __future__ import annotations

from collections.abc import Mapping

MEANINGS: Mapping[str, str] = {
    "host": "signed for another host: BETALBAR_PUBLIC_URL is not what was registered",
    "path": "signed for another path: register the address that `list` shows",
    "retired_secret": "signed with an old secret: an old registration is still at Vipps; `sync`",
    "decoded_secret": "signed with the decoded secret: a sender other than Vipps",
    "clock_s": "this machine's clock is wrong by so many seconds",
    "clock": "dated too far from this machine's clock",
    "body_rewritten": "a proxy has changed the body",
    "header_missing": "a header of the signature is gone: a proxy strips it, or it is not Vipps",
    "header_malformed": "a header of the signature is there twice, or in another form",
    "unknown_signature": "no secret of ours: another shop's registration here, or not Vipps",
}


def meaning_of(cause: str) -> str:
    """Return in plain words what a cause such as `host=shop.example` means."""
    return MEANINGS.get(cause.partition("=")[0], "")
