"""What is seen from inside of a delivery: its span, its line in the log, its place in a count."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import structlog

from service.context import Context
from service.ids import made_at
from service.outbox.deliveries import Claimed
from service.outbox.settling import Sent
from service.traces import Span

log = structlog.get_logger(__name__)


def traced(context: Context, delivery: Claimed) -> AbstractContextManager[Span]:
    """Return the span of one attempt, in the trace of what the event comes from."""
    return context.traces.span("deliver", kind="client", parent=delivery.cause.traceparent)


def note_answers(context: Context, sent: Sequence[Sent]) -> None:
    """Count and log what came of attempts that are stored now.

    Those that were taken share a line: one each would cost as much as sending them."""
    for one in sent:
        result = _result(one)
        is_taken = result == "accepted"
        age_s = (context.clock.now() - made_at(one.delivery.event_id)).total_seconds()
        context.observed.attempt_made(result, max(0.0, age_s) if is_taken else None)
        if not is_taken:
            log.warning(
                "delivery_not_accepted",
                request_id=one.delivery.cause.request_id,
                event_id=one.delivery.event_id,
                delivery=one.delivery.id,
                subscription=one.delivery.subscription_id,
                status=one.reply.status,
                reason=result,
            )
    if taken := [one.delivery for one in sent if one.reply.is_accepted]:
        log.info(
            "deliveries_accepted",
            count=len(taken),
            event_ids=[each.event_id for each in taken],
            request_ids=sorted({each.cause.request_id for each in taken} - {""}),
        )


def _result(sent: Sent) -> str:
    if sent.reply.is_accepted:
        return "accepted"
    if not sent.reply.was_tried:
        return "put_off"
    return "no_answer" if sent.reply.status is None else "refused"
