"""Words that tables and the parts above them share: kinds of commands, roles of people."""

from enum import StrEnum


class CommandKind(StrEnum):
    """What a command asks of Vipps."""

    ATTACH_CATEGORY = "attach_category"
    CREATE_PAYMENT = "create_payment"
    CANCEL_PAYMENT = "cancel_payment"
    CAPTURE = "capture"
    REFUND = "refund"
    READ_PAYMENT = "read_payment"


class Role(StrEnum):
    """What a person at the merchant's does with the console; each may what the ones before may."""

    VIEWER = "viewer"
    SUPPORT = "support"
    FINANCE = "finance"
    ADMIN = "admin"
