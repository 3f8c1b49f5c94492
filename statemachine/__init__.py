"""The invoice's state machine: pure decisions, values in, values or typed errors out.

Read `table.py` first: it is the machine. `machine.py` runs it, `vipps_events.py` says what Vipps's
events mean for it, `actions.py` what a merchant can do, `diagram.py` draws it.
"""

from statemachine.actions import available_actions
from statemachine.amounts import Amounts
from statemachine.case import ENDS
from statemachine.diagram import as_json, mermaid
from statemachine.errors import GuardFailed, MachineError, TransitionRefused
from statemachine.guards import Facts, Guard, Reason
from statemachine.machine import NOTHING_KNOWN, Decision, decide, possible_triggers
from statemachine.reports import (
    InvoiceView,
    Outcome,
    PaymentState,
    PaymentView,
    Reaction,
    ReportedEvent,
    Twin,
    Verdict,
    VippsEventName,
)
from statemachine.table import RULES, TERMINAL_STATES, Rule, State, Trigger
from statemachine.vipps_events import EVENT_TABLE, judge

__all__ = [
    "ENDS",
    "EVENT_TABLE",
    "NOTHING_KNOWN",
    "RULES",
    "TERMINAL_STATES",
    "Amounts",
    "Decision",
    "Facts",
    "Guard",
    "GuardFailed",
    "InvoiceView",
    "MachineError",
    "Outcome",
    "PaymentState",
    "PaymentView",
    "Reaction",
    "Reason",
    "ReportedEvent",
    "Rule",
    "State",
    "TransitionRefused",
    "Trigger",
    "Twin",
    "Verdict",
    "VippsEventName",
    "as_json",
    "available_actions",
    "decide",
    "judge",
    "mermaid",
    "possible_triggers",
]
