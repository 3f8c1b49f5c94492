"""Checks against the other two witnesses: what really happened at Vipps, what the merchant got."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fake_merchant import Received
from tests.flows.checks import Books, Row

Json = dict[str, Any]

# Vipps's effect -> the command that asked for it.
ASKED_BY = {
    "created": "create_payment",
    "captured": "capture",
    "refunded": "refund",
    "cancelled": "cancel_payment",
    "terminated": "cancel_payment",
}


def doubled_effects(books: Books, effects: Sequence[Json]) -> list[str]:
    """I6: effects that nobody decided, or that one decision had twice."""
    commands = {c["idempotency_key"]: c for c in books.rows("SELECT * FROM command")}
    asked = [e for e in effects if e["effect"] in ASKED_BY]
    wrong = [f"nobody asked: {e}" for e in asked if not _is_asked(e, commands)]
    decisions = Counter(_decision(e, commands) for e in asked)
    return wrong + [f"{n} times: {decision}" for decision, n in decisions.items() if n > 1]


def _is_asked(effect: Json, commands: Mapping[str, Row]) -> bool:
    command = commands.get(effect["idempotencyKey"])
    if command is None or command["kind"] != ASKED_BY[effect["effect"]]:
        return False
    return command["amount_minor"] in (None, effect["amount"]["value"])


def _decision(effect: Json, commands: Mapping[str, Row]) -> tuple[Any, ...]:
    """Name what was decided: an act, or what follows by itself from a payment."""
    command = commands.get(effect["idempotencyKey"], {})
    payment = (effect["msn"], effect["reference"])
    return (*payment, effect["effect"], command.get("act_id"))


def missing_decisions(books: Books, asked: Mapping[tuple[str, str], int]) -> list[str]:
    """Acts on an invoice, by (reference, name), that are not stored as often as acknowledged."""
    stored = Counter(
        (row["reference"], row["name"])
        for row in books.rows(
            "SELECT i.reference, a.name FROM act a JOIN invoice i ON i.id = a.invoice_id"
        )
    )
    return [
        f"{key}: {n} acknowledged, {stored[key]} stored"
        for key, n in asked.items()
        if stored[key] != n
    ]


def diverged(books: Books, payments: Mapping[str, Json]) -> list[str]:
    """I4: invoices whose state or money is not what Vipps has of their payments."""
    wrong = []
    ours: dict[str, list[Row]] = defaultdict(list)
    for payment in books.rows("SELECT * FROM payment ORDER BY invoice_id, attempt"):
        ours[payment["invoice_id"]].append(payment)
    for invoice in books.rows("SELECT * FROM invoice"):
        chain = [p for p in ours[invoice["id"]] if p["reference"] in payments]
        live = [p for p in chain if payments[p["reference"]]["state"] == "CREATED"]
        if len(live) > 1:
            wrong.append(f"{invoice['reference']} has {len(live)} live payments")
        if chain:
            by = next((p for p in chain if p["id"] == invoice["authorized_by"]), chain[-1])
            wrong += _compare(invoice, payments[by["reference"]])
    return wrong


def _compare(invoice: Row, payment: Json) -> list[str]:
    sums = {k.removesuffix("Amount"): v["value"] for k, v in payment["aggregate"].items()}
    kept = {k: invoice[f"{k}_minor"] for k in sums}
    if payment["state"] == "TERMINATED":  # nothing was reserved, so nothing is released
        sums = kept
    expected = _states(payment["state"], sums)
    if invoice["state"] in expected and kept == sums:
        return []
    theirs = f"Vipps has {payment['state']} {sums}"
    return [f"{invoice['reference']} is {invoice['state']} {kept}, {theirs}"]


def _states(state: str, sums: Mapping[str, int]) -> tuple[str, ...]:
    """Return the states an invoice may be in, by its payment's."""
    if state != "AUTHORIZED":
        return {
            "CREATED": ("pushed", "soft_dismissed"),
            "ABORTED": ("aborted",),
            "EXPIRED": ("expired", "soft_dismissed"),
            "TERMINATED": ("terminated",),
        }[state]
    if sums["captured"] == 0:
        return ("cancelled",) if sums["cancelled"] == sums["authorized"] else ("authorized",)
    is_over = sums["captured"] + sums["cancelled"] == sums["authorized"]
    is_back = sums["refunded"] == sums["captured"]
    return ("refunded",) if is_over and is_back else ("captured",)


def wrongly_told(books: Books, received: Sequence[Received]) -> list[str]:
    """I7: events the merchant lacks, or got forged, altered, or in another order."""
    events = books.rows("SELECT id, invoice_id, position FROM event ORDER BY position")
    ids = {e["id"] for e in events}
    told = [r for r in received if r.event["type"] != "test.ping"]
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for one in told:
        bodies[one.webhook_id].add(one.body)
    # The others tell of a subscription, and it is not told of itself.
    events = [e for e in events if e["invoice_id"]]
    wrong = [f"{e['id']} was never told" for e in events if e["id"] not in bodies]
    wrong += [f"{i} is in no feed" for i in bodies if i not in ids]
    wrong += [f"{i} has {len(b)} bodies" for i, b in bodies.items() if len(b) > 1]
    wrong += [f"{r.webhook_id} is not genuine" for r in told if not r.is_verified]
    arrived = {key: place for place, key in enumerate(dict.fromkeys(r.webhook_id for r in told))}
    last: dict[str, int] = {}
    for event in events:
        if event["id"] not in arrived:
            continue  # said above, and no order is broken by what is still to come
        place = arrived[event["id"]]
        if place < last.get(event["invoice_id"], -1):
            wrong.append(f"{event['id']} came before an earlier one of its invoice")
        last[event["invoice_id"]] = place
    return wrong
