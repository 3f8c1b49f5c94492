"""What happens when the customer says yes."""

from dataclasses import replace

from service.sandbox.payments import Payment, authorized
from service.sandbox.persons import shared_details, sub_of
from service.sandbox.problems import refusal
from service.sandbox.world import World

# Who pays a payment that names no customer and is approved by nobody in particular.
SOMEBODY = "4712345678"


def approve(world: World, payment: Payment, *, phone_number: str | None = None) -> Payment:
    """Reserve the money, with the customer's data if they were asked for. Raises: Refused."""
    customer = payment.request.get("customer") or {}
    person = world.person(phone_number or customer.get("phoneNumber") or SOMEBODY)
    if not person.is_user:
        raise refusal(7010)
    after = authorized(payment, world.clock.now())
    if payment.scope:
        details = shared_details(person, payment.scope)
        after = replace(after, sub=sub_of(person, payment.msn), user_details=details)
    world.record(after)
    return after
