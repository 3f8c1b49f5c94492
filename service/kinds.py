"""Words that tables and the parts above them share: commands, roles of people, scopes of keys."""

from enum import StrEnum


class CommandKind(StrEnum):
    """What a command asks of Vipps."""

    ATTACH_CATEGORY = "attach_category"
    CREATE_PAYMENT = "create_payment"
    CANCEL_PAYMENT = "cancel_payment"
    CAPTURE = "capture"
    REFUND = "refund"
    READ_PAYMENT = "read_payment"


class Scope(StrEnum):
    """What an API key may do; none of them has another one in it."""

    READ = "read"
    WRITE = "write"
    MONEY = "money"  # take it, give it back, let it go


class Role(StrEnum):
    """What a person at the merchant's does with the console; each may what the ones before may."""

    VIEWER = "viewer"
    SUPPORT = "support"
    FINANCE = "finance"
    ADMIN = "admin"
