"""After a conflict on create: is the payment that Vipps has ours? Pure."""

from enum import StrEnum

from service.vipps.reading import PaymentSnapshot

# A payment may show up in a read a moment after it was made. After a minute it would have.
UNSEEN_S = 60


class Settlement(StrEnum):
    """How a conflict on create ends."""

    ADOPT = "adopt"  # it is ours: go on as if it had been created just now
    NEXT_SUFFIX = "next_suffix"  # the reference is someone else's: the next one, under a new key
    AGAIN_SAME = "again_same"  # not seen yet: the same key and body again


def may_adopt(found: PaymentSnapshot, *, invoice_id: str, amount_minor: int, currency: str) -> bool:
    """Tell whether a payment found at Vipps is the one we asked for (contract, section 5)."""
    wanted = (invoice_id, amount_minor, currency)
    return wanted == (found.metadata_invoice_id, found.amount_minor, found.currency)


def settle_conflict(
    *, is_known: bool, is_ours: bool, code: str | None, last_try_ago_s: float
) -> Settlement:
    """Return what follows from the read after 4020, 4150 or 409 on create.

    `is_known`: Vipps has a payment of that reference; `is_ours`: see `may_adopt`. A reference that
    Vipps calls taken but does not know is taken in another of its APIs. That is believed only a
    minute after the last try: too early, and the customer could be asked twice (I9)."""
    if is_known:
        return Settlement.ADOPT if is_ours else Settlement.NEXT_SUFFIX
    is_taken = code in ("4020", "4150") and last_try_ago_s >= UNSEEN_S
    return Settlement.NEXT_SUFFIX if is_taken else Settlement.AGAIN_SAME
