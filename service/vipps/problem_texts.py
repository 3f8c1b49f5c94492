"""What a refusal of Vipps means, in a sentence for the merchant's staff.

Never for the customer, and never more than Vipps said: 7010 covers people without the app, under
age or not allowed to pay, so it must not say that a number is wrong.
Source: developer.vippsmobilepay.com/docs/APIs/epayment-api/api-guide/errors/
"""

from collections.abc import Mapping

TEXTS: Mapping[str, str] = {
    "4010": "Vipps has already got a capture under this key; its event log tells the rest.",
    "4020": "Vipps has already got another request under this key.",
    "4040": "Vipps does not take this amount.",
    "4070": "Vipps does not take this form of phone number.",
    "4080": "Vipps does not know the information that the customer was asked to share.",
    "4090": "Vipps does not take one of the URLs.",
    "4140": "Vipps misses something in the request.",
    "4150": "This reference is already used at Vipps, or the refund was asked for before.",
    "5030": "This sales unit may not ask for that information about the customer.",
    "5040": "The currency is not the one of this sales unit at Vipps.",
    "5050": "This sales unit is not approved for payments that wait longer than ten minutes.",
    "5060": "The sales unit's bank account is not verified at Vipps.",
    "5070": "Vipps does not let this sales unit create the payment.",
    "5080": "This sales unit is not approved for requests in the app; the link can be paid.",
    "5090": "Vipps does not know the payment.",
    "6010": "The amount is below the least that Vipps takes.",
    "6020": "Nothing is reserved or captured yet, so nothing can be refunded.",
    "6030": "The time in which the reservation could be cancelled is over.",
    "6040": "The payment is captured and can't be cancelled; it can be refunded.",
    "6050": "Nothing is reserved, so nothing can be cancelled.",
    "6060": "The customer approved the payment before it could be withdrawn.",
    "6070": "The reservation was cancelled, so nothing can be captured.",
    "6080": "The customer has not approved the payment yet, so nothing can be captured.",
    "6090": "More than what is left of the reservation can't be captured.",
    "6100": "The time in which the reservation could be captured is over.",
    "6110": "The payment would wait longer than Vipps lets this sales unit's payments wait.",
    "6120": "The payment would end sooner than ten minutes from now.",
    "6130": "Vipps wants a receipt with a payment that waits.",
    "6140": "This sales unit may only capture the full amount.",
    "6150": "More than what is captured and not yet refunded can't be refunded.",
    "6160": "Vipps is working on this payment; it is tried again.",
    "6170": "The payment is already captured.",
    "6180": "The payment is already refunded.",
    "6190": "Vipps can't cancel the payment in its present state.",
    "6200": "Vipps can't capture the payment in its present state.",
    "6210": "Vipps can't refund the payment in its present state.",
    "6220": "The time in which the payment could be refunded is over.",
    "6230": "The customer has already approved the payment.",
    "6250": "The customer is paying at this moment; it is tried again.",
    "6260": "The customer's bank no longer holds the money for this capture.",
    "6280": "The money can't be captured just now; it is tried again.",
    "7010": "Vipps can't ask this customer for the payment; the link can still be sent.",
}

_STATUS_TEXTS: Mapping[int | None, str] = {
    None: "Vipps did not answer; it is tried again.",
    401: "Vipps does not accept this sales unit's keys.",
    403: "Vipps does not let this sales unit do that.",
    404: "Vipps does not know the payment.",
    409: "Vipps sees a conflict with an earlier request.",
    423: "Vipps is working on this payment; it is tried again.",
    429: "Vipps asks for fewer requests; it is tried again.",
}


def problem_text(code: str | None, status: int | None) -> str:
    """Return a sentence for the merchant's staff; the code decides, else the status."""
    if code is not None:
        return TEXTS.get(code, f"Vipps refused this (code {code}).")
    if status is not None and status >= 500:
        return "Vipps has a fault; it is tried again."
    return _STATUS_TEXTS.get(status, "Vipps refused this and gave no code.")
