"""What the front door puts up with."""

import resource
from dataclasses import dataclass

import structlog

from service.settings import Network

# Vipps sends some twenty headers, browsers fewer; the parser itself knows no limit and took a
# line of 200 MiB (threats, finding 6).
HEAD_BYTES_MAX = 16 * 1024
HEADERS_MAX = 100

# Whoever sends faster than this may take longer than `body_s`: a document of 10 MiB over a slow
# line is no attack. Whoever drips gets nothing for it.
BODY_BYTES_PER_S = 128 * 1024

# Vipps waits ten seconds for an answer, and asks again for a week. What is not answered in six is
# better refused: the rest is for the way there and back, and for a machine that has no time for us.
HURRIED_PATH = "/webhooks/"

# How long a refusal may take to be read, and how much may still come, before the line is cut.
LINGER_S = 2.0
LINGER_BYTES_MAX = 1024 * 1024
LINGERING_MAX = 500

# Files beside the connections from outside: the database, Vipps, subscribers, logs.
_SPARE_FILES = 300

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many, and how long; `uncounted` are networks whose connections stand for many.

    `answer_s` is how long a webhook may wait for its answer, and `stalled_s` how long an answer
    may lie there with nothing of it taken."""

    connections: int = 2_000
    per_address: int = 500
    uncounted: tuple[Network, ...] = ()
    headers_s: float = 10.0
    body_s: float = 10.0
    idle_s: float = 5.0
    answer_s: float = 6.0
    stalled_s: float = 30.0
    look_every_s: float = 1.0


def room_for(connections: int) -> int:
    """Let this process have files for so many connections; return for how many it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _SPARE_FILES
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = max(soft - _SPARE_FILES, soft // 2)
    if room < connections:
        log.warning("connections_limited", by="open files", files=soft, connections=room)
    return min(connections, room)
