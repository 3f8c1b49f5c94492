"""Merchants' subscriptions: made, read, tested, ended."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from sqlmodel import Session

from service.api.answers import Answer, json_answer
from service.api.bodies import check
from service.api.calls import Call, Handler
from service.api.conditions import content_etag, require_match
from service.api.cursors import read_id, write_cursor
from service.api.mutations import Effect, Mutation, perform, perform_long, read_mutation
from service.api.running import Running
from service.api.schemas import NothingIn, RotateIn, SubscriptionIn, SubscriptionPatch
from service.outbox import changing, subscriptions
from service.outbox.changing import Wish
from service.outbox.egress import TOTAL_S, Reply
from service.outbox.ping import send_test
from service.shapes.subscriptions import (
    PingResult,
    SubscriptionPage,
    SubscriptionResource,
    SubscriptionWithSecret,
)
from service.store.tables import Subscription

_LIST = "subscriptions"


async def create(call: Call) -> Answer:
    """Answer `POST /v1/subscriptions`: 201 with the secret, shown once."""
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
        shown: SubscriptionWithSecret = {**resource, "secret": secret}
        return Effect(json_answer(shown, status=201, headers=headers))

    return await perform(call, mutation, work)


async def list_subscriptions(call: Call) -> Answer:
    """Answer `GET /v1/subscriptions`: newest first."""
    msn, limit, cursor = call.caller.msn, call.query.limit(), call.query.text("cursor")
    after = read_id(cursor, _LIST, msn) if cursor is not None else None

    def work(session: Session) -> SubscriptionPage:
        found, last = subscriptions.list_page(session, msn=msn, limit=limit, after=after)
        items = subscriptions.render(session, call.context.vault, found)
        return {"items": items, "cursor": write_cursor(_LIST, msn, last) if last else None}

    return json_answer(await call.read(work))


async def one_subscription(call: Call) -> Answer:
    """Answer `GET /v1/subscriptions/{id}`, with its ETag and without its secret."""
    resource = await call.read(
        lambda session: _render(session, call, find_subscription(session, call))
    )
    return json_answer(resource, headers={"ETag": _etag(resource)})


async def change(call: Call) -> Answer:
    """Answer `PATCH /v1/subscriptions/{id}` with the subscription as it is then.

    `"status": "healthy"` lets it be sent to again, `"disabled"` stops it."""
    mutation = await read_mutation(call)
    wish, context = _wish(check(SubscriptionPatch, mutation.body)), call.context
    allow = context.settings.subscriber_allow

    def work(session: Session) -> Effect:
        require_seen(session, call, mutation)
        found, now = find_subscription(session, call), context.clock.now()
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
    mutation = await read_mutation(call)
    overlap_s, context = check(RotateIn, mutation.body).overlap_seconds, call.context

    def work(session: Session) -> Effect:
        require_seen(session, call, mutation)
        found, now = find_subscription(session, call), context.clock.now()
        secret = changing.rotate_secret(session, context.vault, found, overlap_s=overlap_s, now=now)
        shown: SubscriptionWithSecret = {**_render(session, call, found), "secret": secret}
        return Effect(json_answer(shown))

    return await perform(call, mutation, work)


async def delete(call: Call) -> Answer:
    """Answer `DELETE /v1/subscriptions/{id}`: 204; what it is owed is not sent any more."""
    mutation = await read_mutation(call)
    check(NothingIn, mutation.body)
    now = call.context.clock.now()

    def work(session: Session) -> Effect:
        require_seen(session, call, mutation)
        subscriptions.delete(session, msn=call.caller.msn, subscription_id=call.path_part, now=now)
        return Effect(Answer(204))

    return await perform(call, mutation, work)


def test_handler(running: Running) -> Handler:
    """Return the handler of `POST /v1/subscriptions/{id}/test`: a ping is sent at once."""

    async def handle(call: Call) -> Answer:
        mutation = await read_mutation(call)
        check(NothingIn, mutation.body)
        send = partial(_send, call, running)
        look = partial(require_seen, call=call, mutation=mutation)
        lasts = timedelta(seconds=TOTAL_S + 5)
        return await perform_long(call, mutation, look, send, lasts=lasts)

    return handle


async def _send(call: Call, running: Running) -> Answer:
    """Send the ping, outside any transaction."""
    event_id, reply = await send_test(
        call.context, running.way_out, msn=call.caller.msn, subscription_id=call.path_part
    )
    return json_answer(_said(event_id, reply))


def _said(event_id: str, reply: Reply) -> PingResult:
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


def find_subscription(session: Session, call: Call) -> Subscription:
    """Return the subscription that the path names. Raises: NotFound."""
    return subscriptions.get(session, msn=call.caller.msn, subscription_id=call.path_part)


def _render(session: Session, call: Call, subscription: Subscription) -> SubscriptionResource:
    return subscriptions.render(session, call.context.vault, [subscription])[0]


def require_seen(session: Session, call: Call, mutation: Mutation) -> None:
    """Check that it is this sales unit's, and as the request expects it."""
    require_match(
        mutation.if_match, _etag(_render(session, call, find_subscription(session, call)))
    )


def _etag(resource: Mapping[str, Any]) -> str:
    """Return the ETag of all but the next try, which moves with every delivery."""
    return content_etag({k: v for k, v in resource.items() if k != "nextAttemptAt"})
