"""What one process has in hand, who may be sent to now, and who may have more of it (T31).

What is claimed waits in its subscription's lane until there is a place for it, so that claiming
and settling are done for many at once, however few of one subscription are under way.

Subscriptions that are well and all others have places of their own, so that dead receivers can
only wait for each other. A receiver that has just begun to hang is not known yet: what takes
longer than a moment gives its place back, its subscription gets nothing more until it has
answered, and who has not answered quickly before begins with one. Should a crowd of them die at
once, what is left is for those that are known to be well.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.outbox.deliveries import AT_ONCE_PER_SUBSCRIPTION_MAX, Claimed, Room
from service.outbox.egress import TOTAL_S

# Longer than an attempt by enough to wait for a place and to commit; after a kill, what was in
# hand waits this long.
LEASE_S = 30.0
# What has waited longer goes back: an attempt begun later could outlast the lease.
_SEND_WITHIN_S = LEASE_S - TOTAL_S - 2
# Under way at once. With receivers that answer in 20 ms this is 3 000 a second.
SOUND_MAX = 64
# Claimed and not settled. A claim costs its statements, whether it is one delivery or hundreds.
HELD_MAX = 1_024
# Of one subscription, where as many were taken well in a row.
_SHARE_MAX = 200
# A thousand dead receivers that hang for 15 s each, at sixteen tries a second, need twice as many;
# then they wait for each other.
TROUBLED_MAX = 128
# Per look, so that a crowd of dead receivers coming back together costs the healthy hundredths of
# a second each time, not a tenth. Fewer would cost less and come oftener (`pace`), and the healthy
# would meet more of them.
TROUBLED_PER_LOOK = 16
# Of those that are not known to be well; beyond it there is room for the others only.
STRANGERS_MAX = 192
# Each holds a socket, and a process mostly has a thousand of them.
_UNDER_WAY_MAX = 400
# Longer than receivers take that are well, shorter than anybody wants to wait behind one.
SLOW_S = 1.0
# Per subscription and second, and one more for each that it has taken well in a row: a receiver
# that has been away must not be run over by its queue.
RATE_MAX = 500
# So that what is held back goes out soon, not a second later in one burst.
RATE_WINDOW_S = 0.1
# Whose last answer was quick and good, the latest of them.
_TRUSTED_MAX = 1_000


@dataclass(slots=True)
class _Lane:
    """What one subscription has in hand: waiting, under way, and answered but not settled."""

    is_sound: bool
    waiting: deque[tuple[Claimed, float]] = field(default_factory=deque)
    under_way: dict[str, float] = field(default_factory=dict)  # since when; the oldest is first
    answered: int = 0
    window: int = 0
    begun: int = 0  # in that window

    @property
    def held(self) -> int:
        return len(self.waiting) + len(self.under_way) + self.answered

    def slow(self, at: float) -> int:
        return sum(at - since > SLOW_S for since in self.under_way.values())


class Places:
    """The deliveries in hand of one process; times are monotonic seconds."""

    def __init__(self) -> None:
        """Start with nothing in hand, and nobody known."""
        self._lanes: dict[str, _Lane] = {}
        # Those in which something waits take turns: the sound, and all others.
        self._turns: dict[bool, deque[str]] = {True: deque(), False: deque()}
        self._trusted: OrderedDict[str, int] = OrderedDict()  # how many taken well in a row
        self._returned: list[Claimed] = []
        self._under_way = 0
        self._sound_under_way = 0
        self._slow_and_sound = 0  # as of the last look

    @property
    def has_waiting(self) -> bool:
        """Tell whether something in hand waits for a place."""
        return any(self._turns.values())

    def take(self, deliveries: Sequence[Claimed], at: float) -> None:
        """Put what has just been claimed into its lanes."""
        for each in deliveries:
            key = each.subscription_id
            lane = self._lanes.setdefault(key, _Lane(each.is_sound))
            if not lane.waiting:
                lane.is_sound = each.is_sound
                self._turns[lane.is_sound].append(key)
            lane.waiting.append((each, at))

    def start(self, at: float) -> list[Claimed]:
        """Return what is to be sent now, one of each lane in turn: it is under way."""
        begun: list[Claimed] = []
        for is_sound, turns in self._turns.items():
            passed = 0
            while passed < len(turns) and self._is_place_for(is_sound):
                lane = self._lanes[turns[0]]
                turns.rotate(-1)
                if (delivery := self._first(lane, at)) is None:
                    passed += 1
                else:
                    begun.append(delivery)
                    passed = 0
                if not lane.waiting:
                    turns.pop()
        return begun

    def _is_place_for(self, is_sound: bool) -> bool:
        if self._under_way >= _UNDER_WAY_MAX:
            return False
        return not is_sound or self._sound_under_way - self._slow_and_sound < SOUND_MAX

    def _first(self, lane: _Lane, at: float) -> Claimed | None:
        """Begin with the first that waits, if it may go; a lease that would not last goes back."""
        while lane.waiting and self._may_begin(lane, at):
            delivery, since = lane.waiting.popleft()
            if at - since > _SEND_WITHIN_S:
                self._returned.append(delivery)
                continue
            lane.under_way[_key(delivery)] = at
            lane.begun += 1
            self._under_way += 1
            self._sound_under_way += delivery.is_sound
            return delivery
        return None

    def _may_begin(self, lane: _Lane, at: float) -> bool:
        if (window := int(at / RATE_WINDOW_S)) != lane.window:
            lane.window, lane.begun = window, 0
        rate = RATE_MAX + self._trusted.get(lane.waiting[0][0].subscription_id, 0)
        at_once = len(lane.under_way) < AT_ONCE_PER_SUBSCRIPTION_MAX
        return at_once and lane.begun < rate * RATE_WINDOW_S

    def answered(self, delivery: Claimed, *, is_well: bool) -> None:
        """Note what a receiver has said: whether quickly and with a 2xx.

        If not, what waits for it goes back: how it fares now is for the database to say."""
        key = delivery.subscription_id
        lane = self._end(delivery)
        lane.answered += 1
        well = self._trusted.pop(key, 0)
        if not is_well:
            self._empty(key)
            return
        self._trusted[key] = well + 1
        if len(self._trusted) > _TRUSTED_MAX:
            self._trusted.popitem(last=False)

    def settled(self, deliveries: Sequence[Claimed]) -> None:
        """Note that these, which were answered, are settled."""
        for each in deliveries:
            self._lanes[each.subscription_id].answered -= 1
            self._forget_if_empty(each.subscription_id)

    def give_up(self, delivery: Claimed) -> None:
        """Note that one that was under way came to nothing; its lease ends by itself."""
        self._end(delivery)
        self._forget_if_empty(delivery.subscription_id)

    def give_back(self, *, everything: bool = False) -> list[Claimed]:
        """Return what is not sent after all, and hold it no longer."""
        for key in list(self._lanes) if everything else ():
            self._empty(key)
        returned, self._returned = self._returned, []
        for key in {each.subscription_id for each in returned}:
            self._forget_if_empty(key)
        return returned

    def _end(self, delivery: Claimed) -> _Lane:
        lane = self._lanes[delivery.subscription_id]
        del lane.under_way[_key(delivery)]
        self._under_way -= 1
        self._sound_under_way -= delivery.is_sound
        return lane

    def _empty(self, key: str) -> None:
        lane = self._lanes[key]
        if lane.waiting:
            self._returned += [delivery for delivery, _ in lane.waiting]
            lane.waiting.clear()
            self._turns[lane.is_sound].remove(key)

    def _forget_if_empty(self, key: str) -> None:
        if key in self._lanes and not self._lanes[key].held:
            del self._lanes[key]

    def room(self, at: float) -> Room:
        """Return what can be taken on now; what waits behind a slow one goes back."""
        slow = {key: count for key, lane in self._lanes.items() if (count := lane.slow(at))}
        for key in slow:
            self._empty(key)
        lanes = self._lanes
        self._slow_and_sound = sum(count for key, count in slow.items() if lanes[key].is_sound)
        sound = sum(lane.held for lane in lanes.values() if lane.is_sound)
        troubled = sum(lane.held for lane in lanes.values() if not lane.is_sound)
        strangers = sum(
            lane.held for key, lane in lanes.items() if lane.is_sound and key not in self._trusted
        )
        shares = {
            key: min(max(AT_ONCE_PER_SUBSCRIPTION_MAX, well), _SHARE_MAX)
            for key, well in self._trusted.items()
        }
        # Who has half of its part yet is asked for later, and then for more at once.
        part = HELD_MAX // max(1, len(lanes))
        busy = {k for k, lane in lanes.items() if lane.held > min(part, shares.get(k, 1)) // 2}
        left = _UNDER_WAY_MAX - self._under_way
        return Room(
            sound=HELD_MAX - sound + self._slow_and_sound if left > 0 else 0,
            troubled=min(TROUBLED_MAX - troubled, TROUBLED_PER_LOOK, left),
            in_hand={key: lane.held for key, lane in lanes.items()},
            closed=busy.union(slow),
            unwell=[key for key, lane in lanes.items() if not lane.is_sound],
            shares=shares,
            is_for_trusted_only=strangers >= STRANGERS_MAX,
        )


def _key(delivery: Claimed) -> str:
    return f"{delivery.id} {delivery.lease}"
