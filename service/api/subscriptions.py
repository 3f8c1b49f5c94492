"""Merchants' subscriptions: made, read, tested, ended."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from anyio import to_thread
from sqlmodel import Session

from service.api.answers import Answer, json_answer
from service.api.bodies import check
from service.api.calls import Call, Handler
from service.api.conditions import content_etag, require_match
from service.api.cursors import read_id, write_cursor
from service.api.idempotency import claim_key, keep_answer
from service.api.mutations import Effect, Mutation, perform, read_mutation
from service.api.query import Query
from service.api.running import Running
from service.api.schemas import NothingIn, RotateIn, SubscriptionIn, SubscriptionPatch
from service.outbox import changing, subscriptions
from service.outbox.changing import Wish
from service.outbox.egress import TOTAL_S, Egress, Reply
from service.outbox.ping import send_test
from service.store.tables import Subscription

_LIST = "subscriptions"


async def create(call: Call) -> Answer:
    """Answer `POST /v1/subscriptions`: 201 with the secret, shown once."""
    Query(call.request)
    mutation = await read_mutation(call)
    body = check(SubscriptionIn, mutation.body)
    context = call.context

    def work(session: Session) -> Effect:
        require_match(mutation.if_match, None)
        subscription, secret = subscriptions.create(
            session,
            context.vault,
            msn=call.caller.msn,
            url=body.url,
            event_types=body.event_types,
            description=body.description,
            allow=context.settings.subscriber_allow,
            now=context.clock.now(),
            is_in_order=body.in_order,
        )
        resource = _render(session, call, subscription)
        headers = {"Location": f"/v1/subscriptions/{subscription.id}", "ETag": _etag(resource)}
        return Effect(json_answer({**resource, "secret": secret}, status=201, headers=headers))

    return await perform(call, mutation, work)


async def list_subscriptions(call: Call) -> Answer:
    """Answer `GET /v1/subscriptions`: newest first."""
    query, msn = Query(call.request, "limit", "cursor"), call.caller.msn
    limit, cursor = query.limit(), query.text("cursor")
    after = read_id(cursor, _LIST, msn) if cursor is not None else None

    def work(session: Session) -> dict[str, Any]:
        found, last = subscriptions.list_page(session, msn=msn, limit=limit, after=after)
        items = subscriptions.render(session, call.context.vault, found)
        return {"items": items, "cursor": write_cursor(_LIST, msn, last) if last else None}

    return json_answer(await call.read(work))


async def one_subscription(call: Call) -> Answer:
    """Answer `GET /v1/subscriptions/{id}`, with its ETag and without its secret."""
    Query(call.request)
    resource = await call.read(lambda session: _render(session, call, _find(session, call)))
    return json_answer(resource, headers={"ETag": _etag(resource)})


async def change(call: Call) -> Answer:
    """Answer `PATCH /v1/subscriptions/{id}` with the subscription as it is then.

    `"status": "healthy"` lets it be sent to again, `"disabled"` stops it."""
    Query(call.request)
    mutation = await read_mutation(call)
    wish, context = _wish(check(SubscriptionPatch, mutation.body)), call.context
    allow = context.settings.subscriber_allow

    def work(session: Session) -> Effect:
        _require_match(session, call, mutation)
        found, now = _find(session, call), context.clock.now()
        changing.change(session, context.vault, found, wish, allow=allow, now=now)
        resource = _render(session, call, found)
        return Effect(json_answer(resource, headers={"ETag": _etag(resource)}))

    return await perform(call, mutation, work)


def _wish(body: SubscriptionPatch) -> Wish:
    given = body.model_fields_set
    columns = {
        "event_types": "event_types",
        "description": "description",
        "in_order": "is_in_order",
    }
    values = {column: getattr(body, name) for name, column in columns.items() if name in given}
    if "event_types" in values:
        values["event_types"] = list(dict.fromkeys(values["event_types"]))
    return Wish(
        values,
        url=body.url if "url" in given else None,
        is_on=body.status == "healthy" if "status" in given else None,
    )


async def rotate_secret(call: Call) -> Answer:
    """Answer `POST /v1/subscriptions/{id}/rotate-secret` with the new secret, shown once."""
    Query(call.request)
    mutation = await read_mutation(call)
    overlap_s, context = check(RotateIn, mutation.body).overlap_seconds, call.context

    def work(session: Session) -> Effect:
        _require_match(session, call, mutation)
        found, now = _find(session, call), context.clock.now()
        secret = changing.rotate_secret(session, context.vault, found, overlap_s=overlap_s, now=now)
        return Effect(json_answer({**_render(session, call, found), "secret": secret}))

    return await perform(call, mutation, work)


async def delete(call: Call) -> Answer:
    """Answer `DELETE /v1/subscriptions/{id}`: 204; what it is owed is not sent any more."""
    Query(call.request)
    mutation = await read_mutation(call)
    check(NothingIn, mutation.body)
    now = call.context.clock.now()

    def work(session: Session) -> Effect:
        _require_match(session, call, mutation)
        subscriptions.delete(session, msn=call.caller.msn, subscription_id=call.path_part, now=now)
        return Effect(Answer(204))

    return await perform(call, mutation, work)


def test_handler(running: Running) -> Handler:
    """Return the handler of `POST /v1/subscriptions/{id}/test`: a ping is sent at once."""

    async def handle(call: Call) -> Answer:
        Query(call.request)
        mutation = await read_mutation(call)
        check(NothingIn, mutation.body)
        stored = await to_thread.run_sync(_begin_test, call, mutation)
        if stored is not None:
            return stored
        return await _send(call, running.way_out, mutation)

    return handle


async def _send(call: Call, egress: Egress, mutation: Mutation) -> Answer:
    """Send the ping outside any transaction; its answer is kept afterwards.

    Where that fails the key stays taken until the time for it is over, then it is free."""
    event_id, reply = await send_test(
        call.context, egress, msn=call.caller.msn, subscription_id=call.path_part
    )
    answer = json_answer(_said(event_id, reply))
    await to_thread.run_sync(_keep, call, mutation, answer)
    return answer


def _begin_test(call: Call, mutation: Mutation) -> Answer | None:
    """Check that it may be tested, and take the request's key for as long as that may last."""
    now = call.context.clock.now()
    busy_until = now + timedelta(seconds=TOTAL_S + 5)
    with call.context.database.transaction() as session:
        stored = None
        if mutation.claim is not None:
            stored = claim_key(
                session, call.context.vault, mutation.claim, now=now, busy_until=busy_until
            )
        if stored is None:
            _require_match(session, call, mutation)
        return stored


def _keep(call: Call, mutation: Mutation, answer: Answer) -> None:
    if mutation.claim is not None:
        with call.context.database.transaction() as session:
            keep_answer(session, call.context.vault, mutation.claim, answer, busy_until=None)


def _said(event_id: str, reply: Reply) -> Mapping[str, Any]:
    """Return what the receiver said, as the log of deliveries would show it."""
    return {
        "event": event_id,
        "type": "test.ping",
        "delivered": reply.is_accepted,
        "status": reply.status,
        "latencyMs": reply.latency_ms,
        "answer": reply.answer.decode("utf-8", "replace"),
        "error": reply.error,
    }


def _find(session: Session, call: Call) -> Subscription:
    return subscriptions.get(session, msn=call.caller.msn, subscription_id=call.path_part)


def _render(session: Session, call: Call, subscription: Subscription) -> dict[str, Any]:
    return subscriptions.render(session, call.context.vault, [subscription])[0]


def _require_match(session: Session, call: Call, mutation: Mutation) -> None:
    """Check that it is this sales unit's, and as the request expects it."""
    require_match(mutation.if_match, _etag(_render(session, call, _find(session, call))))


def _etag(resource: Mapping[str, Any]) -> str:
    """Return the ETag of all but the next try, which moves with every delivery."""
    return content_etag({k: v for k, v in resource.items() if k != "nextAttemptAt"})
