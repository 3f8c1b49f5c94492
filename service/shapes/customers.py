"""Customers."""

from typing_extensions import TypedDict

from service.events.shapes import Instant


class ConsentResource(TypedDict):
    """When a customer agreed to be asked in the app, how, and since when no more."""

    grantedAt: Instant | None
    source: str | None
    wording: str | None
    withdrawnAt: Instant | None


class CustomerResource(TypedDict):
    """A customer."""

    id: str
    phoneNumber: str | None
    name: str | None
    consent: ConsentResource | None
    createdAt: Instant
    updatedAt: Instant


class CustomerPage(TypedDict):
    """Customers, newest first."""

    items: list[CustomerResource]
    cursor: str | None


class CustomersFound(TypedDict):
    """Who has a phone number: one customer or none."""

    items: list[CustomerResource]
