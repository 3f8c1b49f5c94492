"""After a conflict on create: is the payment that Vipps has ours? Pure.

An invoice that was made after the backup and posted again, once that was restored, has another id
than the payment at Vipps names. Yet the two differ by their time alone: the rest is derived from
the invoice's reference, by a key that only this database has (`Vault.invoice_name`).
"""

from service.ids import name_part
from service.vipps.reading import PaymentSnapshot

# A payment may show up in a read a moment after it was made. After a minute it would have.
UNSEEN_S = 60


def may_adopt(found: PaymentSnapshot, *, invoice_id: str, amount_minor: int, currency: str) -> bool:
    """Tell whether a payment found at Vipps is the one we asked for (contract, section 5)."""
    is_it = is_of(found, invoice_id)
    return is_it and (amount_minor, currency) == (found.amount_minor, found.currency)


def is_of(found: PaymentSnapshot, invoice_id: str) -> bool:
    """Tell whether a payment was made for an invoice, or for one that it was before a restore."""
    return name_part(found.metadata_invoice_id or "") == name_part(invoice_id)


def is_of_a_lost(found: PaymentSnapshot, invoice_id: str) -> bool:
    """Tell whether it was made for what the invoice was before a restore."""
    return found.metadata_invoice_id != invoice_id and is_of(found, invoice_id)


def is_seen_by_now(last_try_ago_s: float | None) -> bool:
    """Tell whether a read would show what the last try has made; None: nothing was tried."""
    return last_try_ago_s is None or last_try_ago_s >= UNSEEN_S


def is_taken_elsewhere(code: str | None, last_try_ago_s: float | None) -> bool:
    """Tell whether a reference that Vipps does not know is taken in another of its APIs.

    So it is where Vipps calls it taken, and no try of ours can be behind that: believed too early,
    the customer could be asked twice (I9)."""
    is_called_taken = code in ("4020", "4150")
    return is_called_taken and last_try_ago_s is not None and is_seen_by_now(last_try_ago_s)
