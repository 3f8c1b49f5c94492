"""The kinds of commands to Vipps: the word that tables, worker and client share."""

from enum import StrEnum


class CommandKind(StrEnum):
    """What a command asks of Vipps."""

    ATTACH_CATEGORY = "attach_category"
    CREATE_PAYMENT = "create_payment"
    CANCEL_PAYMENT = "cancel_payment"
    CAPTURE = "capture"
    REFUND = "refund"
    READ_PAYMENT = "read_payment"
