"""What happens when the customer says yes."""

from dataclasses import replace

from service.sandbox.cards import UNKNOWN_FOR, UNKNOWN_FOR_A_WHILE_MINOR, decline_of
from service.sandbox.consents import Consent
from service.sandbox.payments import Payment, authorized, authorizing, declined
from service.sandbox.persons import Person, shared_details, sub_of
from service.sandbox.problems import refusal
from service.sandbox.world import World

# Who pays a payment that names no customer and is approved by nobody in particular.
SOMEBODY = "4712345678"


def approve(
    world: World, payment: Payment, *, phone_number: str | None = None, card: str | None = None
) -> Payment:
    """Reserve the money, with the customer's data if they were asked for.

    `card` None means the person's own. Where the amount is one that fails, the failure is in
    the event log with `success: false`, the payment stays open, and this raises 10010.
    Raises: Refused.
    """
    customer = payment.request.get("customer") or {}
    person = world.person(phone_number or customer.get("phoneNumber") or SOMEBODY)
    if not person.is_user:
        raise refusal(7010)
    if world.settings.has_failing_amounts:
        _check_amount(world, payment)
        if payment.amount_minor == UNKNOWN_FOR_A_WHILE_MINOR and not payment.is_authorizing:
            return _leave_unknown(world, payment)
    return _reserve(world, replace(payment, settles_at=None), person, card=card or person.card)


def _check_amount(world: World, payment: Payment) -> None:
    reason = decline_of(payment.amount_minor, payment.currency)
    if reason is not None:
        world.record(declined(payment, world.clock.now()))
        raise refusal(10010, f"{reason}. The customer may try again until the payment expires.")


def _leave_unknown(world: World, payment: Payment) -> Payment:
    unknown = authorizing(payment, settles_at=world.clock.now() + UNKNOWN_FOR)
    world.record(unknown)
    return unknown


def settle(world: World, payment: Payment) -> None:
    """Reserve the money of a payment whose outcome was unknown, now that its hour is over."""
    customer = payment.request.get("customer") or {}
    person = world.person(customer.get("phoneNumber") or SOMEBODY)
    _reserve(world, payment, person, card=person.card)


def _reserve(world: World, payment: Payment, person: Person, *, card: str) -> Payment:
    now = payment.settles_at or world.clock.now()
    after = authorized(payment, now, card=card)
    if not payment.scope:
        world.record(after)
        return after
    details, sub = shared_details(person, payment.scope), sub_of(person, payment.msn)
    after = replace(after, sub=sub, user_details=details)
    scope, told_at = tuple(sorted(payment.scope)), world.clock.real_now()
    consent = Consent(payment.msn, person.phone_number, scope, given_at=now, told_at=told_at)
    world.record(after, consent=(sub, consent))
    return after
