"""What one process has in hand, and who may have more of it (T31).

Subscriptions that are well and all others have places of their own, so that dead receivers can
only wait for each other. A receiver that has just begun to hang is not known yet: what takes
longer than a moment gives its place back, its subscription gets nothing more until it has
answered, and who has not answered quickly before begins with one. Should a crowd of them die at
once, what is left is for those that are known to be well.
"""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from service.outbox.deliveries import Claimed, Room

# With receivers that answer in 20 ms this is 3 000 a second.
SOUND_MAX = 64
# A thousand dead receivers that hang for 15 s each, at sixteen tries a second, need twice as many;
# then they wait for each other.
TROUBLED_MAX = 128
# Per look, so that a crowd of dead receivers coming back together costs the healthy a few
# milliseconds each time, not a tenth of a second.
_TROUBLED_PER_LOOK = 8
# Of those that are not known to be well; beyond it there is room for the others only.
STRANGERS_MAX = 192
# Each holds a socket, and a process mostly has a thousand of them.
_IN_HAND_MAX = 400
# Longer than receivers take that are well, shorter than anybody wants to wait behind one.
SLOW_S = 1.0
# Per subscription and second. A receiver that has been away must not be run over by its queue.
RATE_MAX = 500
# Whose last answer was quick and good, the latest of them.
_TRUSTED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class _Held:
    subscription_id: str
    is_sound: bool
    since: float


class Places:
    """The deliveries in hand of one process; times are monotonic seconds."""

    def __init__(self) -> None:
        """Start with nothing in hand, and nobody known."""
        self._held: dict[str, _Held] = {}
        self._trusted: OrderedDict[str, None] = OrderedDict()
        self._second = 0
        self._begun: Counter[str] = Counter()

    def take(self, delivery: Claimed, at: float) -> None:
        """Note that a delivery is being sent from now on."""
        held = _Held(delivery.subscription_id, delivery.is_sound, at)
        self._held[f"{delivery.id} {delivery.lease}"] = held
        self._count(at)[delivery.subscription_id] += 1

    def learn(self, subscription_id: str, *, is_well: bool) -> None:
        """Note whether a receiver has just answered quickly and with a 2xx."""
        self._trusted.pop(subscription_id, None)
        if is_well:
            self._trusted[subscription_id] = None
            if len(self._trusted) > _TRUSTED_MAX:
                self._trusted.popitem(last=False)

    def leave(self, deliveries: Sequence[Claimed]) -> None:
        """Note that these are settled or given up."""
        for each in deliveries:
            self._held.pop(f"{each.id} {each.lease}", None)

    def room(self, at: float) -> Room:
        """Return what can be taken on now."""
        held = self._held.values()
        slow = [each for each in held if at - each.since > SLOW_S]
        sound = sum(each.is_sound for each in held) - sum(each.is_sound for each in slow)
        troubled = sum(not each.is_sound for each in held)
        trusted = frozenset(self._trusted)  # it is read in another thread
        strangers = sum(each.is_sound and each.subscription_id not in trusted for each in held)
        left = _IN_HAND_MAX - len(self._held)
        hurried = {key for key, count in self._count(at).items() if count >= RATE_MAX}
        return Room(
            sound=min(SOUND_MAX - sound, left),
            troubled=min(TROUBLED_MAX - troubled, _TROUBLED_PER_LOOK, left),
            in_hand=Counter(each.subscription_id for each in held),
            closed=hurried.union(each.subscription_id for each in slow),
            trusted=trusted,
            is_for_trusted_only=strangers >= STRANGERS_MAX,
        )

    def _count(self, at: float) -> Counter[str]:
        """Return how many were begun in this second, by subscription."""
        if int(at) != self._second:
            self._second, self._begun = int(at), Counter()
        return self._begun
