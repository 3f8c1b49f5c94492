"""Trouble on request: the share of calls and webhooks that shall go wrong.

All dice come from one seed, so the same calls in the same order meet the same fate.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.sandbox.fields import Faults, is_number

_SHARES = {
    "lose": "lose",
    "duplicate": "duplicate",
    "reorder": "reorder",
    "status429": "status_429",
    "status5xx": "status_5xx",
    "timeoutAfterActing": "timeout_after_acting",
}
_DELAY_MAX_S = 7 * 86_400
# A reordered webhook comes late by up to this many seconds, while others overtake it.
_LATE_S = 2.0


@dataclass(frozen=True, slots=True)
class ChaosPlan:
    """Shares from 0 to 1, and how long every webhook waits before its first attempt."""

    lose: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    status_429: float = 0.0
    status_5xx: float = 0.0
    timeout_after_acting: float = 0.0
    delay_s: float = 0.0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class CallFate:
    """What shall happen to one API call; `status` is an answer given before acting."""

    status: int | None = None
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class WebhookFate:
    """What shall happen to one event on its way to one registration."""

    copies: int = 1
    delay_s: float = 0.0
    keeps_order: bool = True


_CALM_CALL = CallFate()
_CALM_WEBHOOK = WebhookFate()


class Chaos:
    """Throw the dice for each call and each webhook."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.set(ChaosPlan())

    def set(self, plan: ChaosPlan) -> None:
        """Follow this plan from now on, with the dice fresh from its seed."""
        self.plan = plan
        seed = self._seed if plan.seed is None else plan.seed
        # S311 is about secrets; these dice are meant to be repeatable.
        self._call_dice = random.Random(f"calls:{seed}")  # noqa: S311
        self._webhook_dice = random.Random(f"webhooks:{seed}")  # noqa: S311
        # Then nothing hangs on the dice; the next plan's are fresh anyway.
        self._is_calm = replace(plan, seed=None) == ChaosPlan()

    def call_fate(self) -> CallFate:
        """Return what happens to the next API call."""
        if self._is_calm:
            return _CALM_CALL
        # Always three throws, so that changing one share leaves the others' fates alone.
        first, second, third = (self._call_dice.random() for _ in range(3))
        if first < self.plan.status_429:
            return CallFate(status=429)
        if second < self.plan.status_5xx:
            return CallFate(status=503 if second < self.plan.status_5xx / 2 else 500)
        return CallFate(is_silent=third < self.plan.timeout_after_acting)

    def webhook_fate(self) -> WebhookFate:
        """Return what happens to the next webhook."""
        if self._is_calm:
            return _CALM_WEBHOOK
        lost, doubled, moved, late = (self._webhook_dice.random() for _ in range(4))
        if lost < self.plan.lose:
            return WebhookFate(copies=0)
        keeps_order = moved >= self.plan.reorder
        delay_s = self.plan.delay_s + (0.0 if keeps_order else late * _LATE_S)
        return WebhookFate(1 + (doubled < self.plan.duplicate), delay_s, keeps_order)


def plan_of(body: Mapping[str, Any]) -> ChaosPlan:
    """Return the plan a request asks for; what it leaves out is calm. Raises: Refused."""
    faults = Faults()
    known = (*_SHARES, "delaySeconds", "seed")
    for name in body:
        faults.expect(name in known, name, reason=f"Known are {list(known)}.")
    for name in _SHARES:
        reason = "Must be a number from 0 to 1."
        faults.expect(is_number(body.get(name, 0), most=1), name, reason=reason)
    delay_s, reason = body.get("delaySeconds", 0), "Must be seconds, at most seven days."
    faults.expect(is_number(delay_s, most=_DELAY_MAX_S), "delaySeconds", reason=reason)
    faults.whole(body, "seed", least=0, most=2**63)
    faults.settle()
    shares = {ours: body.get(name, 0) for name, ours in _SHARES.items()}
    return ChaosPlan(**shares, delay_s=delay_s, seed=body.get("seed"))


def plan_answer(plan: ChaosPlan) -> dict[str, Any]:
    """Return the plan by its API names."""
    shares = {name: getattr(plan, ours) for name, ours in _SHARES.items()}
    return shares | {"delaySeconds": plan.delay_s, "seed": plan.seed}
