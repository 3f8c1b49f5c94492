"""Merchants' subscriptions: how each fares, what went to it, and mending it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any, get_args
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from anyio import from_thread
from sqlmodel import Session
from starlette.responses import Response
from starlette.routing import Route

from service.console.figures import time_zone_of
from service.console.flows import flow_of
from service.console.gate import Form, Gate, Visit
from service.console.outside import Outside
from service.console.rendering import see_other
from service.errors import Conflict, FieldError, InvalidInput, NotFound, UpstreamTimeout
from service.outbox import again, changing, delivery_log, subscriptions
from service.outbox.again import Mode, Window
from service.outbox.changing import Wish
from service.outbox.ping import send_test
from service.staff.roles import Permission
from service.staff.signing_in import note
from service.store.tables import DeliveryStatus, Subscription

LIST = "/console/subscriptions"
ONE = f"{LIST}/{{id}}"
PAGE_LENGTH = 25
# A day, in which every receiver's configuration can follow.
ROTATION_OVERLAP_S = 86_400
# What one form sends again at once; more is for the API, which does it in pieces.
REPLAY_MAX = 5_000

_REASON_LENGTH_MAX = 500

# What a form does in one transaction; what it returns is shown once.
Do = Callable[[Session, Visit, Subscription], str | None]


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands above a subscription: what was refused, or is shown only now."""

    problem: str = ""
    news: str = ""
    status: int = 200


def subscription_routes(gate: Gate, outside: Outside) -> list[Route]:
    """Return the routes of subscriptions and their deliveries."""
    forms: dict[str, tuple[Do, Permission]] = {
        "enable": (partial(_switch, is_on=True), Permission.MANAGE),
        "disable": (partial(_switch, is_on=False), Permission.MANAGE),
        "rotate-secret": (_rotate, Permission.MANAGE),
        "replay": (_replay, Permission.MANAGE),
        "redeliver": (_redeliver, Permission.ASK),
    }
    return [
        gate.shown(LIST, _show_all),
        gate.shown(ONE, _show),
        gate.acted(f"{ONE}/test", partial(_test, outside), needs=Permission.MANAGE),
        *(
            gate.acted(f"{ONE}/{name}", partial(_act, name=name, do=do), needs=needs)
            for name, (do, needs) in forms.items()
        ),
    ]


def _show_all(visit: Visit) -> Response:
    with visit.context.database.brief_snapshot() as session:
        found, _ = subscriptions.list_page(
            session, msn=visit.unit.msn, limit=subscriptions.SUBSCRIPTIONS_MAX
        )
        shown = subscriptions.render(session, visit.context.vault, found)
        flows = {one.id: flow_of(session, one) for one in found}
    values = {"subscriptions": shown, "flows": flows, **_common(visit)}
    return visit.page("subscriptions.html", values)


def _show(visit: Visit, shown: Shown = Shown()) -> Response:
    status = visit.query.get("status", "")
    statuses = [status] if status in set(DeliveryStatus) else []
    vault = visit.context.vault
    try:
        with visit.context.database.brief_snapshot() as session:
            found = _find(session, visit)
            deliveries, last = delivery_log.list_page(
                session,
                vault,
                found.id,
                limit=PAGE_LENGTH,
                after=visit.query.get("before"),
                statuses=statuses,
            )
            subscription = subscriptions.render(session, vault, [found])[0]
            flow = flow_of(session, found)
    except NotFound:
        return visit.page("no_subscription.html", {}, status=404)
    kept = {"status": status} if statuses else {}
    values = {
        "subscription": subscription,
        "flow": flow,
        "deliveries": deliveries,
        "next": f"{LIST}/{found.id}?{urlencode({**kept, 'before': last})}" if last else None,
        "statuses": list(DeliveryStatus),
        "chosen": status if statuses else "",
        "modes": get_args(Mode),
        "today": visit.now.astimezone(ZoneInfo(time_zone_of(visit.unit))).date(),
        "shown": shown,
        **_common(visit),
    }
    return visit.page("subscription.html", values, status=shown.status)


def _act(visit: Visit, *, name: str, do: Do) -> Response:
    try:
        with visit.context.database.transaction() as session:
            found = _find(session, visit)
            reason = _reason(visit.form)
            news = do(session, visit, found)
            if not _is_dry(visit):
                note(
                    session,
                    visit.who.person.id,
                    f"subscription.{name}",
                    now=visit.now,
                    msn=visit.unit.msn,
                    subject=visit.form.get("delivery") or found.id,
                    reason=reason,
                )
    except NotFound:
        return visit.page("no_subscription.html", {}, status=404)
    except InvalidInput as refused:
        return _show(visit, Shown(problem=str(refused), status=422))
    except Conflict as refused:
        return _show(visit, Shown(problem=str(refused), status=409))
    visit.context.wake.deliveries.set()
    if news is not None:
        # Not after a redirect: a secret belongs in no address.
        return _show(visit, Shown(news=news))
    return see_other(f"{LIST}/{visit.parts['id']}")


def _test(outside: Outside, visit: Visit) -> Response:
    """Send a ping now, and say what the receiver said."""
    context, key, msn = visit.context, visit.parts["id"], visit.unit.msn
    ping = partial(send_test, msn=msn, subscription_id=key)
    try:
        _, reply = from_thread.run(ping, context, outside.to_subscribers)
    except NotFound:
        return visit.page("no_subscription.html", {}, status=404)
    except UpstreamTimeout:
        return _show(visit, Shown(problem="The service is starting. Try again.", status=503))
    with context.database.transaction() as session:
        who = visit.who.person.id
        note(session, who, "subscription.test", now=visit.now, msn=msn, subject=key)
    answered = f"It answered {reply.status}" if reply.status else f"No answer: {reply.error}"
    told = f"{answered}, in {reply.latency_ms} ms."
    return _show(visit, Shown(news=told) if reply.is_accepted else Shown(problem=told))


def _switch(session: Session, visit: Visit, found: Subscription, *, is_on: bool) -> None:
    context = visit.context
    allow = context.settings.subscriber_allow
    wish = Wish({}, is_on=is_on)
    changing.change(session, context.vault, found, wish, allow=allow, now=visit.now)


def _rotate(session: Session, visit: Visit, found: Subscription) -> str:
    secret = changing.rotate_secret(
        session, visit.context.vault, found, overlap_s=ROTATION_OVERLAP_S, now=visit.now
    )
    return f"The new secret, shown only now: {secret}. The old one signs as well for a day."


def _replay(session: Session, visit: Visit, found: Subscription) -> str:
    wanted = again.find(session, found, _window(visit))
    if _is_dry(visit):
        return f"{_events(len(wanted))} would be sent again."
    if len(wanted) > REPLAY_MAX:
        reason = f"{len(wanted)} events are more than {REPLAY_MAX}: take a shorter time"
        raise InvalidInput(FieldError("from", reason))
    return f"{_events(again.send_again(session, found.id, wanted, now=visit.now))} sent again."


def _events(count: int) -> str:
    return f"{count} event{'' if count == 1 else 's'}"


def _redeliver(session: Session, visit: Visit, found: Subscription) -> None:
    delivery_id = visit.form.get("delivery", "")
    again.redeliver(session, msn=found.msn, delivery_id=delivery_id, now=visit.now)


def _window(visit: Visit) -> Window:
    zone, mode = ZoneInfo(time_zone_of(visit.unit)), visit.form.get("mode", "")
    try:
        begin, end = (date.fromisoformat(visit.form.get(name, "")) for name in ("from", "to"))
    except ValueError:
        raise InvalidInput(FieldError("from", "is a day, as is `to`")) from None
    if end < begin:
        raise InvalidInput(FieldError("to", "is before `from`"))
    for known in get_args(Mode):
        if mode == known:
            start = datetime.combine(begin, time(), zone)
            until = datetime.combine(end + timedelta(days=1), time(), zone)
            return Window(start, until, known)
    raise InvalidInput(FieldError("mode", f"is one of {', '.join(get_args(Mode))}"))


def _find(session: Session, visit: Visit) -> Subscription:
    return subscriptions.get(session, msn=visit.unit.msn, subscription_id=visit.parts["id"])


def _is_dry(visit: Visit) -> bool:
    return visit.form.get("dry") == "yes"


def _reason(form: Form) -> str | None:
    reason = form.get("reason", "").strip()
    if len(reason) > _REASON_LENGTH_MAX:
        raise InvalidInput(FieldError("reason", f"has at most {_REASON_LENGTH_MAX} letters"))
    return reason or None


def _common(visit: Visit) -> dict[str, Any]:
    return {"time_zone": time_zone_of(visit.unit), "at": datetime.fromisoformat}
