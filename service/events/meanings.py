"""What each event type tells, in a sentence."""

from collections.abc import Mapping
from types import MappingProxyType

from service.outbox.event_types import PING
from statemachine import State

# The states explain themselves; these are the others.
_NOTED = {
    "invoice.payment_ended": "A payment of the chain has ended; the invoice has not moved.",
    "invoice.needs_attention": "Something contradicts what is known, or Vipps said no; "
    "`data.reason` says what.",
    "invoice.double_payment_detected": "It was paid twice, or also elsewhere; what was reserved "
    "is released, what was captured must be looked at.",
    "customer.consented": "A customer agreed to be asked in the app.",
    "customer.withdrawn": "A customer does not want to be asked in the app any more.",
    "subscription.degraded": "Another subscription's receiver fails.",
    "subscription.disabled": "Nothing is sent to another subscription any more.",
    PING: "Are you there? Goes only to the subscription that is tested, and is in no feed.",
}

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        **{f"invoice.{state}": f"The invoice is `{state}`: {state.meaning}." for state in State},
        **_NOTED,
    }
)
