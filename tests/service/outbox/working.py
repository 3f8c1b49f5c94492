"""What a deliverer does, step by step, so that a test can stand between the steps."""

from collections.abc import Sequence

from service.outbox.deliveries import Claimed, Room, claim
from service.outbox.egress import Reply
from service.outbox.fanout import fan_out
from service.outbox.settling import settle
from tests.service.outbox.builders import Shop, sent

LEASE_S = 60.0


def claim_now(shop: Shop, limit: int = 100, **in_hand: int) -> list[Claimed]:
    """Fan out what is new and lease what may go."""
    with shop.database.transaction() as session:
        fan_out(session, now=shop.now, limit=10_000)
        room = Room(sound=limit, troubled=limit, in_hand=in_hand)
        return claim(session, now=shop.now, lease_s=LEASE_S, room=room)


def settle_as(shop: Shop, claimed: Sequence[Claimed], reply: Reply) -> int:
    """Store one answer for all of these; return how many were still ours."""
    results = [sent(delivery, reply, at=shop.now) for delivery in claimed]
    with shop.database.transaction() as session:
        return settle(session, shop.vault, results, now=shop.now, jitter=lambda: 0.0).count
