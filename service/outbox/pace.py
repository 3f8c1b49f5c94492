"""How often what fails is looked after, so that it costs those that are well next to nothing."""

# Nobody who has repaired a receiver notices it.
_REST_S = 0.25
# A look takes the database and the interpreter from everybody else.
_SHARE_OF_TIME = 0.02
# A disk that is slow for a moment must not stop the tries for long.
_REST_MAX_S = 2.0


class Pace:
    """When it is time for the next look; times are monotonic seconds."""

    def __init__(self) -> None:
        """Let the first look be now."""
        self._due_at = 0.0

    def is_due(self, at: float) -> bool:
        """Tell whether it is time to look again."""
        return at >= self._due_at

    def looked(self, begun: float, ended: float) -> None:
        """Note how long a look has taken: the longer, the later is the next."""
        rest_s = (ended - begun) / _SHARE_OF_TIME
        self._due_at = begun + min(max(rest_s, _REST_S), _REST_MAX_S)

    def rest_s(self, at: float) -> float:
        """Return how long it is to the next look."""
        return max(0.0, self._due_at - at)
