"""How often what fails is looked after, so that it costs those that are well next to nothing."""

# Nobody who has repaired a receiver notices it.
_REST_S = 0.25
# A look takes the database and the interpreter from everybody else: so much of the time may go to
# it, and while others are told, so much time must lie between the tries.
_SHARE_OF_TIME, _BETWEEN_TRIES_S = 0.02, 0.25
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

    def looked(self, begun: float, ended: float, *, tries: int) -> None:
        """Note how long a look has taken, and of how many tries it was: the more, the later is
        the next."""
        rest_s = min(max((ended - begun) / _SHARE_OF_TIME, _REST_S), _REST_MAX_S)
        if begun - self._others_at < _LATELY_S:
            rest_s = max(rest_s, tries * _BETWEEN_TRIES_S)
        self._due_at = begun + rest_s

    def rest_s(self, at: float) -> float:
        """Return how long it is to the next look."""
        return max(0.0, self._due_at - at)
