"""What is said to Vipps, and what its answers mean: values in, values out.

`client` speaks HTTP and gives an `Answer`; `verdicts` says what follows from one; `bodies` writes
requests and `reading` reads what Vipps tells of a payment, both without I/O. No tables, no ledger.
"""

from service.vipps.answer import Answer
from service.vipps.client import VippsClient, new_http
from service.vipps.exchange import reason_of
from service.vipps.keys import VippsKeys
from service.vipps.verdicts import CommandVerdict, Then, judge

__all__ = [
    "Answer",
    "CommandVerdict",
    "Then",
    "VippsClient",
    "VippsKeys",
    "judge",
    "new_http",
    "reason_of",
]
