"""What went to a subscription, and sending it again."""

from datetime import timedelta
from functools import partial

from anyio import to_thread
from sqlmodel import Session

from service.api.answers import Answer, json_answer
from service.api.bodies import check
from service.api.calls import Call
from service.api.conditions import require_match
from service.api.cursors import read_id, write_cursor
from service.api.mutations import Effect, perform, perform_long, read_mutation
from service.api.schemas import NothingIn, ReplayIn
from service.api.subscriptions import find_subscription, require_seen
from service.errors import FieldError, InvalidInput
from service.outbox import again, delivery_log
from service.outbox.again import Wanted, Window
from service.shapes.subscriptions import Count, DeliveryPage
from service.store.tables import DeliveryStatus

# Each transaction is short, so that no webhook of Vipps waits for a replay.
_TOGETHER = 500
# Longer than the largest replay takes: until then its key says that it is under way.
_REPLAY_LASTS = timedelta(seconds=120)


async def list_deliveries(call: Call) -> Answer:
    """Answer `GET /v1/subscriptions/{id}/deliveries`: newest first; `?status=` filters."""
    query, msn = call.query, call.caller.msn
    limit, cursor, statuses = query.limit(), query.text("cursor"), query.several("status")
    if not set(statuses) <= set(DeliveryStatus):
        raise InvalidInput(FieldError("status", f"is one of {', '.join(DeliveryStatus)}"))
    list_name = f"deliveries/{call.path_part}"
    after = read_id(cursor, list_name, msn) if cursor is not None else None

    def work(session: Session) -> DeliveryPage:
        subscription = find_subscription(session, call)
        items, last = delivery_log.list_page(
            session,
            call.context.vault,
            subscription.id,
            limit=limit,
            after=after,
            statuses=statuses,
        )
        return {"items": items, "cursor": write_cursor(list_name, msn, last) if last else None}

    return json_answer(await call.read(work))


async def redeliver(call: Call) -> Answer:
    """Answer `POST /v1/deliveries/{id}/redeliver`: 202, with the delivery as it stands then."""
    mutation = await read_mutation(call)
    check(NothingIn, mutation.body)
    context, delivery_id = call.context, call.path_part

    def work(session: Session) -> Effect:
        again.redeliver(
            session, msn=call.caller.msn, delivery_id=delivery_id, now=context.clock.now()
        )
        require_match(mutation.if_match, None)  # a delivery has no version to name
        resource = delivery_log.one(session, context.vault, delivery_id)
        return Effect(json_answer(resource, status=202))

    return await perform(call, mutation, work)


async def replay(call: Call) -> Answer:
    """Answer `POST /v1/subscriptions/{id}/replay` with how many are, or would be, sent again."""
    mutation = await read_mutation(call)
    body = check(ReplayIn, mutation.body)
    window = _window(body, call)
    act = partial(_replay, call, window, is_dry=body.dry_run)
    look = partial(require_seen, call=call, mutation=mutation)
    return await perform_long(call, mutation, look, act, lasts=_REPLAY_LASTS)


async def _replay(call: Call, window: Window, *, is_dry: bool) -> Answer:
    wanted = await call.read(
        lambda session: again.find(session, find_subscription(session, call), window)
    )
    count = len(wanted) if is_dry else await to_thread.run_sync(_send, call, wanted)
    shown: Count = {"count": count}
    return json_answer(shown)


def _window(body: ReplayIn, call: Call) -> Window:
    now = call.context.clock.now()
    if body.start > now:
        raise InvalidInput(FieldError("from", "is in the future"))
    if body.to is not None and body.to <= body.start:
        raise InvalidInput(FieldError("to", "is not after `from`"))
    return Window(body.start, body.to or now + timedelta(seconds=1), body.mode)


def _send(call: Call, wanted: list[Wanted]) -> int:
    """Make them due, some at a time. Where it breaks off, asking again does the rest."""
    context, count = call.context, 0
    for start in range(0, len(wanted), _TOGETHER):
        with context.database.transaction() as session:
            count += again.send_again(
                session,
                find_subscription(session, call).id,
                wanted[start : start + _TOGETHER],
                now=context.clock.now(),
            )
        context.wake.deliveries.set()
    return count
