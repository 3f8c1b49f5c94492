"""The sandbox's own API: what the customer does, the clock, chaos, and a look inside.

Nothing here exists at Vipps; it needs no key, so a sandbox belongs on the loopback, and
what changes anything is refused to the pages of other sites.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import documents, payments
from service.sandbox.approval import approve
from service.sandbox.calls import Call, Endpoint, json_response
from service.sandbox.cards import CARDS
from service.sandbox.chaos import plan_answer, plan_of
from service.sandbox.clock import as_text
from service.sandbox.fields import Faults, is_number, is_text
from service.sandbox.gate import PROBLEM, problem
from service.sandbox.order_management import order_name
from service.sandbox.origins import check_sender
from service.sandbox.payments import Payment
from service.sandbox.persons import changed_person, person_answer
from service.sandbox.problems import Fault, Refused, bad_fields, plain
from service.sandbox.sales_units import approvals, with_approvals
from service.sandbox.world import World

Json = dict[str, Any]
Serve = Callable[[Call, Json], Json]

# A year ahead is further than any rule reaches; it keeps dates far from overflowing.
ADVANCE_MAX_S = 366 * 86_400
# Funds unavailable; capture failed, try again later.
_TROUBLES = (6260, 6280)
_MSN = re.compile(r"[0-9]{4,10}", re.ASCII)
_PHONE_NUMBER = re.compile(r"[0-9]{9,15}", re.ASCII)


class Acts:
    """Answer the calls below `/sandbox`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._acts: dict[str, Callable[[Payment, Json], None]] = {
            "approve": self._approve,
            "reject": self._reject,
            "postpone": self._postpone,
            "open-details": self._open_details,
            "begin-authorizing": self._begin_authorizing,
            "fail-captures": self._fail_captures,
        }

    def routes(self) -> list[Route]:
        """Return the routes, none of which catches more than its own path."""
        one = "/sandbox/payments/{reference}"
        return [
            *(self._route(f"{one}/{name}", "POST", serve=self._act(name)) for name in self._acts),
            self._route("/sandbox/payments", "GET", serve=self._list_payments),
            self._route(one, "GET", serve=self._show_payment),
            self._route("/sandbox/effects", "GET", serve=self._list_effects),
            self._route("/sandbox/clock", "GET", serve=self._show_clock),
            self._route("/sandbox/clock", "POST", serve=self._advance_clock),
            self._route("/sandbox/chaos", "GET", serve=self._show_chaos),
            self._route("/sandbox/chaos", "PUT", serve=self._set_chaos),
            self._route("/sandbox/sales-units/{msn}", "GET", serve=self._show_unit),
            self._route("/sandbox/sales-units/{msn}", "PUT", serve=self._set_unit),
            self._route("/sandbox/persons/{phone_number}", "GET", serve=self._show_person),
            self._route("/sandbox/persons/{phone_number}", "PUT", serve=self._set_person),
        ]

    def _route(self, path: str, method: str, *, serve: Serve) -> Route:
        def answer(call: Call) -> Response:
            try:
                if call.method != "GET":
                    check_sender(call.headers, self._world.settings.public_url)
                self._world.expire_due()
                return json_response(serve(call, call.json_object() if call.body.strip() else {}))
            except Refused as refused:
                shown = problem(refused, call.path, self._world.ids.trace_id())
                return json_response(shown, refused.status, media_type=PROBLEM)

        now, kept = self._world.clock.real_now, self._world.store.kept
        return Route(path, Endpoint(answer, now=now, kept=kept), methods=[method])

    def _act(self, name: str) -> Serve:
        def serve(call: Call, body: Json) -> Json:
            payment = self._find(call, body.get("msn"))
            try:
                self._acts[name](payment, body)
            except Refused as refused:
                # Whatever the rule, to a tester it is "not possible now"; its code is kept.
                raise Refused(
                    409, refused.title, detail=refused.detail, faults=refused.faults
                ) from refused
            return self._inspect(self._world.payments.get(payment.key) or payment)

        return serve

    def _approve(self, payment: Payment, body: Json) -> None:
        phone_number = body.get("phoneNumber")
        if phone_number is not None and not is_text(phone_number, _PHONE_NUMBER):
            raise bad_fields([Fault("phoneNumber", "Must be 9 to 15 digits, as text.")])
        faults = Faults()
        faults.one_of(body, "card", choices=CARDS)
        faults.settle()
        approve(self._world, payment, phone_number=phone_number, card=body.get("card"))

    def _reject(self, payment: Payment, body: Json) -> None:
        self._world.record(payments.aborted(payment, self._world.clock.now()))

    def _postpone(self, payment: Payment, body: Json) -> None:
        self._world.record(payments.postponed(payment))

    def _open_details(self, payment: Payment, body: Json) -> None:
        self._world.record(replace(payment, details_opened=payment.details_opened + 1))

    def _begin_authorizing(self, payment: Payment, body: Json) -> None:
        self._world.record(payments.authorizing(payment))

    def _fail_captures(self, payment: Payment, body: Json) -> None:
        faults, code, times = Faults(), body.get("code"), body.get("times", 1)
        faults.expect(code in _TROUBLES, "code", reason=f"Must be one of {list(_TROUBLES)}.")
        faults.whole({"times": times}, "times", least=0, most=1000)
        faults.settle()
        self._world.record(replace(payment, capture_troubles=(code,) * times))

    def _find(self, call: Call, msn: str | None) -> Payment:
        reference = call.params["reference"]
        msns = self._world.msns_of(reference) if msn is None else [msn]
        if len(msns) > 1:
            raise plain(409, f"Name the msn: {reference} is one of {', '.join(msns)}.")
        payment = self._world.payment(msns[0], reference) if msns else None
        if payment is None:
            raise plain(404, f"There is no payment {reference}.")
        return payment

    def _inspect(self, payment: Payment) -> Json:
        name = order_name(payment.msn, payment.reference)
        return documents.inspection(payment, self._world.categories.get(name))

    def _list_payments(self, call: Call, body: Json) -> Json:
        msn = call.query.get("msn")
        found = [p for p in self._world.payments.rows.values() if msn in (None, p.msn)]
        return {"items": [self._inspect(payment) for payment in found]}

    def _show_payment(self, call: Call, body: Json) -> Json:
        return self._inspect(self._find(call, call.query.get("msn")))

    def _list_effects(self, call: Call, body: Json) -> Json:
        after = call.query.get("after", "0")
        if not (after.isascii() and after.isdigit()):
            raise plain(400, "after must be a sequence number.")
        return {"items": list(self._world.effects.after(f"{int(after):012d}"))}

    def _show_clock(self, call: Call, body: Json) -> Json:
        clock = self._world.clock
        return {"now": as_text(clock.now()), "offsetSeconds": clock.offset.total_seconds()}

    def _advance_clock(self, call: Call, body: Json) -> Json:
        seconds = body.get("advanceSeconds")
        # Only forwards: what has expired cannot come back to life.
        if not is_number(seconds, most=ADVANCE_MAX_S):
            raise bad_fields([Fault("advanceSeconds", f"From 0 to {ADVANCE_MAX_S}.")])
        self._world.advance(seconds)
        return self._show_clock(call, body)

    def _show_chaos(self, call: Call, body: Json) -> Json:
        return plan_answer(self._world.chaos.plan)

    def _set_chaos(self, call: Call, body: Json) -> Json:
        plan = plan_of(body)
        self._world.follow(plan)
        return plan_answer(plan)

    def _show_unit(self, call: Call, body: Json) -> Json:
        return approvals(self._world.unit(_param(call, "msn", _MSN)))

    def _set_unit(self, call: Call, body: Json) -> Json:
        unit = with_approvals(self._world.unit(_param(call, "msn", _MSN)), body)
        self._world.save(self._world.sales_units, unit.msn, row=unit)
        return approvals(unit)

    def _show_person(self, call: Call, body: Json) -> Json:
        return person_answer(self._world.person(_param(call, "phone_number", _PHONE_NUMBER)))

    def _set_person(self, call: Call, body: Json) -> Json:
        known = self._world.person(_param(call, "phone_number", _PHONE_NUMBER))
        person = changed_person(known, body)
        self._world.save(self._world.persons, person.phone_number, row=person)
        return person_answer(person)


def _param(call: Call, name: str, pattern: re.Pattern[str]) -> str:
    value: str = call.params[name]
    if not is_text(value, pattern):
        raise plain(404, f"{value} is no {name}.")
    return value
