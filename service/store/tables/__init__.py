"""The tables, one module per subject; every constraint says what it prevents."""

from service.store.tables.commands import OPEN_STATUSES, Command, CommandAttempt, CommandStatus
from service.store.tables.documents import Document, DocumentChunk
from service.store.tables.inbox import RefusedWebhook, StoredVippsEvent
from service.store.tables.invoices import (
    LIVE_PAYMENT_STATES,
    Act,
    Invoice,
    InvoiceRecord,
    Payment,
    PaymentRecord,
    ReferenceClaim,
    Transition,
)
from service.store.tables.outgoing import (
    Attempt,
    BrokerPosition,
    Delivery,
    DeliveryStatus,
    Event,
    Fanout,
    Feed,
    LetGo,
    Subscription,
)
from service.store.tables.people import Customer, Withdrawal
from service.store.tables.recovery import Home, Unread
from service.store.tables.requests import StoredAnswer
from service.store.tables.staff import RefundRequest, StaffAct, StaffSession, StaffUnit, StaffUser
from service.store.tables.units import ApiKey, DataKey, Registration, SalesUnit
from webhooks.health import SubscriptionStatus

__all__ = [
    "LIVE_PAYMENT_STATES",
    "OPEN_STATUSES",
    "Act",
    "ApiKey",
    "Attempt",
    "BrokerPosition",
    "Command",
    "CommandAttempt",
    "CommandStatus",
    "Customer",
    "DataKey",
    "Delivery",
    "DeliveryStatus",
    "Document",
    "DocumentChunk",
    "Event",
    "Fanout",
    "Feed",
    "Home",
    "Invoice",
    "InvoiceRecord",
    "LetGo",
    "Payment",
    "PaymentRecord",
    "ReferenceClaim",
    "RefundRequest",
    "RefusedWebhook",
    "Registration",
    "SalesUnit",
    "StaffAct",
    "StaffSession",
    "StaffUnit",
    "StaffUser",
    "StoredAnswer",
    "StoredVippsEvent",
    "Subscription",
    "SubscriptionStatus",
    "Transition",
    "Unread",
    "Withdrawal",
]
