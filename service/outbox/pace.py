"""How often what fails is looked after, so that it costs those that are well next to nothing."""

# Nobody who has repaired a receiver notices it.
_REST_S = 0.125
# A look takes the database and the interpreter from everybody else: so much of the time may go to
# it, alone and while others are told.
_SHARE_ALONE, _SHARE_BESIDE = 0.1, 0.02
# Beside others so much of the time belongs to each try that is claimed, and to each that has failed
# again: a second together, unless those that failed come back.
_REST_PER_CLAIM_S, _REST_PER_FAILURE_S = 0.25, 0.75
# A disk that is slow for a moment must not stop the tries for long.
_REST_MAX_S = 2.0
# Who was sent something as lately as this is sent more in a moment.
_LATELY_S = 1.0


class Pace:
    """When it is time for the next look; times are monotonic seconds."""

    def __init__(self) -> None:
        """Let the first look be now."""
        self._due_at = 0.0
        self._others_at = -_LATELY_S

    def is_due(self, at: float) -> bool:
        """Tell whether it is time to look again."""
        return at >= self._due_at

    def met_others(self, at: float) -> None:
        """Note that somebody who is well was sent something."""
        self._others_at = at

    def looked(self, begun: float, ended: float, *, claimed: int, failed: int) -> None:
        """Note how long a look has taken, how many tries were claimed in it, and how many stored
        that have failed again: the more, the later is the next."""
        is_beside_others = begun - self._others_at < _LATELY_S
        share = _SHARE_BESIDE if is_beside_others else _SHARE_ALONE
        rest_s = min(max((ended - begun) / share, _REST_S), _REST_MAX_S)
        if is_beside_others:
            rest_s = max(rest_s, claimed * _REST_PER_CLAIM_S + failed * _REST_PER_FAILURE_S)
        self._due_at = begun + rest_s

    def rest_s(self, at: float) -> float:
        """Return how long it is to the next look."""
        return max(0.0, self._due_at - at)
