"""What each role may do; the only place that says so."""

from enum import StrEnum

from service.kinds import Role


class Permission(StrEnum):
    """A kind of thing that a person does in the console."""

    SEE = "see"
    ASK = "ask"  # push, soft-dismiss, send an event again
    MONEY = "money"  # capture, refund, cancel, paid elsewhere
    MANAGE = "manage"  # subscriptions, registrations, settings


_NEEDED = {
    Permission.SEE: Role.VIEWER,
    Permission.ASK: Role.SUPPORT,
    Permission.MONEY: Role.FINANCE,
    Permission.MANAGE: Role.ADMIN,
}


def may(role: Role, permission: Permission) -> bool:
    """Tell whether the role, which includes those before it, has the permission."""
    ranks = list(Role)
    return ranks.index(role) >= ranks.index(_NEEDED[permission])


def needs_second_factor(role: Role) -> bool:
    """Tell whether a password alone is too little: for those who move money."""
    return may(role, Permission.MONEY)
