"""Running one command: the calls to Vipps, with no transaction open."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random

from service.commands.claim import Claimed
from service.kinds import CommandKind
from service.ledger.sharing import Told, told_by_userinfo, told_by_vipps
from service.vipps import Answer, CommandVerdict, Then, VippsClient, judge
from service.vipps.adoption import is_of_a_lost
from service.vipps.answer import no_answer
from service.vipps.bodies import modification_body
from service.vipps.reading import (
    EventLog,
    PaymentSnapshot,
    UnreadableAnswer,
    read_log,
    read_payment,
    read_redirect_url,
)

# What Vipps answers to these moves nothing by itself: the event log says what happened
# (contract, section 4), so it is read in the same run.
_TOLD_BY_LOG = frozenset((CommandKind.CANCEL_PAYMENT, CommandKind.CAPTURE, CommandKind.REFUND))
_READ_AFTER = frozenset(
    (
        Then.READ_FIRST,
        Then.WAIT_AND_READ,
        Then.TOO_LATE,
        Then.ADOPT_OR_SUFFIX,
        Then.ASK_ANEW,
    )
)
# What a read may say of itself; all else that it says is about the payment.
_NOT_READ = frozenset((Then.AGAIN_SAME, Then.HOLD))


@dataclass(frozen=True, slots=True)
class Reading:
    """What Vipps tells of a payment at one moment; None: it knows of none."""

    log: EventLog
    snapshot: PaymentSnapshot
    userinfo: Told | None = None


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that was run: what Vipps said, and what follows.

    `is_absent`: Vipps knows of no such payment, which a read that failed does not say."""

    claimed: Claimed
    answer: Answer
    verdict: CommandVerdict
    reading: Reading | None
    redirect_url: str | None = field(repr=False)
    at: datetime
    is_absent: bool = False

    @property
    def is_of_a_lost(self) -> bool:
        """Tell whether Vipps has a payment of this invoice from before a restore has lost it."""
        there = self.reading
        return there is not None and is_of_a_lost(there.snapshot, self.claimed.invoice_id)

    @property
    def last_try_ago_s(self) -> float | None:
        """Return how long ago the same was tried before; None where it was not."""
        last = self.claimed.last_started_at
        return (self.at - last).total_seconds() if last else None


async def run(
    client: VippsClient, claimed: Claimed, *, base_url: str, dice: Random, now: datetime
) -> Ran:
    """Make the command's calls and judge the answer; never raise for what Vipps does."""
    if claimed.is_outdated:
        return await _look_instead(client, claimed, base_url=base_url, dice=dice, now=now)
    if claimed.kind is CommandKind.READ_PAYMENT:
        answer, reading = await _read(client, claimed, base_url)
    elif claimed.is_accepted:
        # Said once is enough; a second call would only use up what Vipps allows.
        answer, reading = Answer(200, {"reference": claimed.reference}, None, None, None, 0), None
    else:
        answer, reading = await _call(client, claimed), None
    verdict = judge(
        claimed.kind,
        answer,
        attempt=claimed.tries + 1,
        jitter=dice.uniform(-1, 1),
        has_expires_at="expiresAt" in (claimed.body or {}),
    )
    is_absent = False
    if reading is None and _wants_reading(claimed.kind, verdict.then):
        read, reading = await _read(client, claimed, base_url)
        is_absent = _says_unknown(read)
    redirect_url = None
    if claimed.kind is CommandKind.CREATE_PAYMENT and answer.is_success:
        redirect_url = read_redirect_url(answer.body, base_url)
    return Ran(claimed, answer, verdict, reading, redirect_url, now, is_absent)


async def _look_instead(
    client: VippsClient, claimed: Claimed, *, base_url: str, dice: Random, now: datetime
) -> Ran:
    """Read what became of a request that must not be sent again; one never sent made nothing."""
    if claimed.last_started_at is None:
        verdict = CommandVerdict(Then.ASK_ANEW, 0.0, None)
        return Ran(claimed, no_answer(0), verdict, None, None, now, is_absent=True)
    answer, reading = await _read(client, claimed, base_url)
    jitter = dice.uniform(-1, 1)
    verdict = judge(CommandKind.READ_PAYMENT, answer, attempt=claimed.tries + 1, jitter=jitter)
    if verdict.then not in _NOT_READ:
        verdict = replace(verdict, then=Then.ASK_ANEW)
    return Ran(claimed, answer, verdict, reading, None, now, is_absent=_says_unknown(answer))


def _wants_reading(kind: CommandKind, then: Then) -> bool:
    # A no to an act says that the payment is not as we thought: its log tells what it is.
    return then in _READ_AFTER or (then in (Then.DONE, Then.FINAL) and kind in _TOLD_BY_LOG)


def _says_unknown(read: Answer) -> bool:
    return judge(CommandKind.READ_PAYMENT, read, attempt=1, jitter=0.0).then is Then.NOT_KNOWN


async def _call(client: VippsClient, claimed: Claimed) -> Answer:
    keys, reference, key = claimed.keys, claimed.reference, claimed.idempotency_key
    body = claimed.body or {}
    match claimed.kind:
        case CommandKind.ATTACH_CATEGORY:
            return await client.put_category(keys, reference, body["orderDetailsUrl"])
        case CommandKind.CREATE_PAYMENT:
            answer = await client.create_payment(keys, body, idempotency_key=key)
            is_about_it = answer.body.get("reference") == reference
            return answer if is_about_it or not answer.is_success else no_answer(answer.latency_ms)
        case CommandKind.CANCEL_PAYMENT:
            only_before = body.get("cancelTransactionOnly") is True
            return await client.cancel_payment(
                keys, reference, only_before_authorization=only_before, idempotency_key=key
            )
        case _:
            return await client.modify_payment(
                keys,
                reference,
                act="capture" if claimed.kind is CommandKind.CAPTURE else "refund",
                body=modification_body(claimed.amount_minor or 0, claimed.currency),
                idempotency_key=key,
            )


async def _read(
    client: VippsClient, claimed: Claimed, base_url: str
) -> tuple[Answer, Reading | None]:
    """Read the log, then the sums, so that the sums are never the older of the two."""
    events = await client.get_events(claimed.keys, claimed.reference)
    if not events.is_success:
        return events, None
    payment = await client.get_payment(claimed.keys, claimed.reference)
    if not payment.is_success:
        return payment, None
    try:
        log, snapshot = read_log(events.body, claimed.msn), read_payment(payment.body, base_url)
    except UnreadableAnswer:
        return no_answer(payment.latency_ms), None  # not from the API: ask again
    return payment, Reading(log, snapshot, await _userinfo(client, claimed, snapshot))


async def _userinfo(
    client: VippsClient, claimed: Claimed, snapshot: PaymentSnapshot
) -> Told | None:
    """Ask who paid, where a shared number is awaited and the payment itself does not tell it.

    Whatever goes wrong here says nothing about the payment; the next read asks again."""
    told = told_by_vipps(snapshot.sub, snapshot.user_details)
    is_its_turn = claimed.kind is CommandKind.READ_PAYMENT and claimed.awaits_number
    if not is_its_turn or told.sub is None or told.phone_number is not None:
        return None
    answer = await client.get_userinfo(claimed.keys, told.sub)
    return told_by_userinfo(told.sub, answer.body) if answer.is_success else None
