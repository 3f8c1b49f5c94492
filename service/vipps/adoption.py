"""After a conflict on create: is the payment that Vipps has ours? Pure."""

from service.vipps.reading import PaymentSnapshot

# A payment may show up in a read a moment after it was made. After a minute it would have.
UNSEEN_S = 60


def may_adopt(found: PaymentSnapshot, *, invoice_id: str, amount_minor: int, currency: str) -> bool:
    """Tell whether a payment found at Vipps is the one we asked for (contract, section 5)."""
    wanted = (invoice_id, amount_minor, currency)
    return wanted == (found.metadata_invoice_id, found.amount_minor, found.currency)


def is_seen_by_now(last_try_ago_s: float | None) -> bool:
    """Tell whether a read would show what the last try has made; None: nothing was tried."""
    return last_try_ago_s is None or last_try_ago_s >= UNSEEN_S


def is_taken_elsewhere(code: str | None, last_try_ago_s: float | None) -> bool:
    """Tell whether a reference that Vipps does not know is taken in another of its APIs.

    So it is where Vipps calls it taken, and no try of ours can be behind that: believed too early,
    the customer could be asked twice (I9)."""
    is_called_taken = code in ("4020", "4150")
    return is_called_taken and last_try_ago_s is not None and is_seen_by_now(last_try_ago_s)
