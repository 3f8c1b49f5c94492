"""What follows from an answer of Vipps: the table of contract section 5, as data; pure.

To change what the service does about a status or a code, change a row of `TABLE`. Each row has a
test of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from service.kinds import CommandKind
from service.vipps.answer import Answer
from webhooks.retry import backoff_s


class Then(StrEnum):
    """What the worker does next."""

    DONE = "done"
    AGAIN_SAME = "again_same"  # after the wait: the same key and body
    READ_FIRST = "read_first"  # after the wait: the log, and the same again if it has not happened
    ADOPT_OR_SUFFIX = "adopt_or_suffix"  # after the wait: see `adoption`
    WAIT_AND_READ = "wait_and_read"  # the customer is at it: after the wait, the log; decide anew
    TOO_LATE = "too_late"  # the customer was faster: the payment is authorized
    HOLD = "hold"  # the keys are refused: all commands of this sales unit wait
    WITHOUT_EXPIRES_AT = "without_expires_at"  # the body anew without it, under a new key
    ASK_ANEW = "ask_anew"  # the body no longer fits: after a read, one made now, under a new key
    PUSH_REFUSED = "push_refused"  # can't be asked in the app; the invoice stays, so does its link
    NOT_KNOWN = "not_known"  # a read: Vipps has no such payment
    FINAL = "final"  # no, and asking again won't help


@dataclass(frozen=True, slots=True)
class Pace:
    """How a wait grows from try to try."""

    base_s: float
    cap_s: float


# One payment may be written to five times a minute (facts, section 1): 4, 8, 16, 32 s keep to that.
_SOON = Pace(4.0, 300.0)
# A customer who is paying is done, or gone, within a few minutes.
_SHORT = Pace(5.0, 60.0)
# Keys are mended by a person.
_PATIENT = Pace(60.0, 900.0)


@dataclass(frozen=True, slots=True)
class CommandVerdict:
    """What to do next and when; `code` is Vipps's, if it gave one.

    `is_blocking` tells whether the payment's later commands wait for this one."""

    then: Then
    wait_s: float
    code: str | None
    is_blocking: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """What then, how long to wait, and from which try on it is FINAL instead."""

    then: Then
    pace: Pace | None = None
    tries_max: int | None = None


# The first try and at most five more; the link in the app is a courtesy.
_ATTACH_TRIES_MAX = 6
# A key that met a conflict may meet it for ever. After eight tries without any effect, some eight
# minutes, a person has to look; asked for anew, the act gets a new key.
_CONFLICT_TRIES_MAX = 8

# A row's name is a domain code, a status, or a class: `2xx`, `4xx` (any other no), `unclear`.
_COMMON: Mapping[str, Row] = {
    "2xx": Row(Then.DONE),
    "unclear": Row(Then.AGAIN_SAME, _SOON),
    "401": Row(Then.HOLD, _PATIENT),
    "403": Row(Then.HOLD, _PATIENT),
    "409": Row(Then.AGAIN_SAME, _SOON),
    "423": Row(Then.AGAIN_SAME, _SHORT),
    "429": Row(Then.AGAIN_SAME, _SOON),
    "4xx": Row(Then.FINAL),
}

_ATTACH_AGAIN = Row(Then.AGAIN_SAME, _SOON, _ATTACH_TRIES_MAX)
_ADOPT = Row(Then.ADOPT_OR_SUFFIX, _SOON)
_CONFLICT = Row(Then.READ_FIRST, _SOON, _CONFLICT_TRIES_MAX)
_PUSH_REFUSED = Row(Then.PUSH_REFUSED)
_CUSTOMER_IS_AT_IT = Row(Then.WAIT_AND_READ, _SHORT)

# Vipps says that it may work later (facts, section 1): patiently, each time under a new key.
_LATER = Row(Then.WAIT_AND_READ, _PATIENT)

_MONEY = {
    **_COMMON,
    "6280": _LATER,
    "409": _CONFLICT,
    "4010": _CONFLICT,
    "4020": _CONFLICT,
    "4150": _CONFLICT,
}

TABLE: Mapping[CommandKind, Mapping[str, Row]] = {
    # Best effort: not even refused keys hold anything up, the payment itself will meet them.
    CommandKind.ATTACH_CATEGORY: {
        **dict.fromkeys(_COMMON, _ATTACH_AGAIN),
        "2xx": Row(Then.DONE),
        "4xx": Row(Then.FINAL),
    },
    CommandKind.CREATE_PAYMENT: {
        **_COMMON,
        "409": _ADOPT,
        "4020": _ADOPT,
        "4150": _ADOPT,
        "5050": Row(Then.WITHOUT_EXPIRES_AT),
        "5080": _PUSH_REFUSED,
        "6110": _PUSH_REFUSED,
        "6120": Row(Then.ASK_ANEW),
        "7010": _PUSH_REFUSED,
    },
    CommandKind.CANCEL_PAYMENT: {
        **_COMMON,
        # Repeated blindly, it could release what the customer has approved since.
        "unclear": Row(Then.READ_FIRST, _SOON),
        "409": _CONFLICT,
        "423": _CUSTOMER_IS_AT_IT,
        "6060": Row(Then.TOO_LATE),
        "6250": _CUSTOMER_IS_AT_IT,
    },
    CommandKind.CAPTURE: _MONEY,
    CommandKind.REFUND: _MONEY,
    CommandKind.READ_PAYMENT: {**_COMMON, "404": Row(Then.NOT_KNOWN)},
}

_ABOUT_EXPIRES_AT = frozenset((Then.WITHOUT_EXPIRES_AT, Then.ASK_ANEW))

# Statuses that mean the same whoever sends them, so that no problem document is asked for.
_CLEAR_ALONE = frozenset((401, 403, 409, 423, 429))
# Their successes name the payment; one that does not is not from the API.
_NAMES_REFERENCE = frozenset(
    (
        CommandKind.CREATE_PAYMENT,
        CommandKind.CANCEL_PAYMENT,
        CommandKind.CAPTURE,
        CommandKind.REFUND,
    )
)


def judge(
    kind: str, answer: Answer, *, attempt: int, jitter: float, has_expires_at: bool = True
) -> CommandVerdict:
    """Return what follows from an answer to a command of this kind.

    `attempt` counts the tries made, from 1; `jitter` from -1 to 1 moves the wait by up to a fifth;
    `has_expires_at` tells whether the body of a create had one. Raises: ValueError, for another
    kind or numbers out of range.
    """
    command = CommandKind(kind)
    rows = TABLE[command]
    row = next(rows[sign] for sign in _signs(command, answer) if sign in rows)
    then = _then(row, attempt=attempt, has_expires_at=has_expires_at)
    is_blocking = command is not CommandKind.ATTACH_CATEGORY
    wait_s = _wait_s(row.pace, answer, attempt=attempt, jitter=jitter)
    is_over = then is not row.then
    return CommandVerdict(then, 0.0 if is_over else wait_s, answer.code, is_blocking)


def _signs(kind: CommandKind, answer: Answer) -> tuple[str, ...]:
    """Return the names under which an answer may stand in the table, closest first."""
    if _is_unclear(kind, answer):
        return ("unclear",)
    if answer.is_success:
        return ("2xx",)
    if answer.code is None:
        return (str(answer.status), "4xx")
    # Without a code a 403 is about the keys; with one, about what was asked for.
    statuses = () if answer.status == 403 else (str(answer.status),)
    return (answer.code, *statuses, "4xx")


def _is_unclear(kind: CommandKind, answer: Answer) -> bool:
    """Tell whether an answer leaves open what happened, or is none of Vipps's at all."""
    if answer.is_success:
        return kind in _NAMES_REFERENCE and not isinstance(answer.body.get("reference"), str)
    if answer.status is None or not 400 <= answer.status < 500:
        return True
    # A 404 of some proxy does not mean that Vipps has no such payment.
    return answer.status not in _CLEAR_ALONE and not answer.is_problem


def _then(row: Row, *, attempt: int, has_expires_at: bool) -> Then:
    if row.tries_max is not None and attempt >= row.tries_max:
        return Then.FINAL
    if row.then in _ABOUT_EXPIRES_AT and not has_expires_at:
        return Then.PUSH_REFUSED
    return row.then


def _wait_s(pace: Pace | None, answer: Answer, *, attempt: int, jitter: float) -> float:
    if pace is None:
        return 0.0
    return backoff_s(
        attempt,
        jitter=jitter,
        base_s=pace.base_s,
        cap_s=pace.cap_s,
        retry_after_s=answer.retry_after_s,
    )
