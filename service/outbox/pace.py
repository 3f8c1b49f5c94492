"""How often what fails is looked after, so that it costs those that are well next to nothing."""

# Nobody who has repaired a receiver notices it.
_REST_S = 0.25
# A look takes the database and the interpreter from everybody else: as much of the time as may go
# to it while nobody who is well waits, and while somebody does. With the latter a look meets fewer
# than one in a hundred of what goes out.
_SHARE_OF_TIME, _SHARE_AMONG_OTHERS = 0.02, 0.004
# A disk that is slow for a moment must not stop the tries for long.
_REST_MAX_S, _REST_AMONG_OTHERS_MAX_S = 2.0, 5.0
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

    def looked(self, begun: float, ended: float) -> None:
        """Note how long a look has taken: the longer, the later is the next."""
        is_among_others = begun - self._others_at < _LATELY_S
        share = _SHARE_AMONG_OTHERS if is_among_others else _SHARE_OF_TIME
        at_most_s = _REST_AMONG_OTHERS_MAX_S if is_among_others else _REST_MAX_S
        self._due_at = begun + min(max((ended - begun) / share, _REST_S), at_most_s)

    def rest_s(self, at: float) -> float:
        """Return how long it is to the next look."""
        return max(0.0, self._due_at - at)
