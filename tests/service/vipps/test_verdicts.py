"""What follows from each answer of Vipps: one test for each row of contract section 5."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.kinds import CommandKind
from service.vipps.answer import Answer, parse_answer
from service.vipps.problem_texts import TEXTS
from service.vipps.verdicts import TABLE, CommandVerdict, Then, judge
from tests.service.vipps.builders import a_problem, an_answer, parsed

CREATE, CANCEL, READ = "create_payment", "cancel_payment", "read_payment"
CAPTURE, REFUND, ATTACH = "capture", "refund", "attach_category"
CHANGING = [CREATE, CAPTURE, REFUND]
BLOCKING = [*CHANGING, CANCEL, READ]


def judged(kind: str, answer: Answer, attempt: int = 1) -> CommandVerdict:
    """Return the verdict without jitter."""
    return judge(kind, answer, attempt=attempt, jitter=0.0)


def test_kinds_are_those_of_the_stored_commands() -> None:
    """A command's row and the table call the same things by the same names."""
    assert {kind.value for kind in CommandKind} == {kind.value for kind in TABLE}


@pytest.mark.parametrize("kind", [*BLOCKING, ATTACH])
def test_success_of_any_command_is_done(kind: str) -> None:
    """What Vipps has done is done."""
    assert judged(kind, an_answer(200)).then is Then.DONE


@pytest.mark.parametrize("kind", [*CHANGING, READ])
@pytest.mark.parametrize("status", [None, 500, 502, 503, 504, 302, 100])
def test_unknown_outcome_is_tried_again_with_the_same_key(kind: str, status: int | None) -> None:
    """Without an answer nobody knows: the same key and body again can't do it twice."""
    verdict = judged(kind, an_answer(status))

    assert verdict.then is Then.AGAIN_SAME
    assert verdict.wait_s > 0


@pytest.mark.parametrize("status", [None, 500, 503])
def test_unknown_outcome_of_a_cancel_is_read_first(status: int | None) -> None:
    """A cancel is not repeated blindly: the customer may have approved meanwhile."""
    assert judged(CANCEL, an_answer(status)).then is Then.READ_FIRST


@pytest.mark.parametrize("kind", CHANGING)
@pytest.mark.parametrize("raw", [b'{"hello":"world"}', b"null", b'"ok"', b"", b"[]", b"<html>"])
def test_success_that_names_no_payment_is_an_unknown_outcome(kind: str, raw: bytes) -> None:
    """A 200 from something else than Vipps takes no money and makes no payment."""
    assert judged(kind, parsed(200, raw)).then is Then.AGAIN_SAME


@pytest.mark.parametrize("kind", BLOCKING)
@pytest.mark.parametrize("status", [401, 403])
def test_refused_keys_hold_the_sales_unit(kind: str, status: int) -> None:
    """Wrong keys end no invoice: the sales unit's commands wait until they are mended."""
    verdict = judged(kind, parsed(status, b'{"statusCode":401,"message":"Access denied"}'))

    assert verdict.then is Then.HOLD
    assert verdict.wait_s == 60


@pytest.mark.parametrize("kind", BLOCKING)
def test_too_many_requests_are_repeated_when_vipps_says(kind: str) -> None:
    """Vipps's wish to wait is granted."""
    verdict = judged(kind, an_answer(429, retry_after_s=77))

    assert verdict == CommandVerdict(Then.AGAIN_SAME, 77.0, None)


@pytest.mark.parametrize("kind", [*CHANGING, READ])
def test_locked_payment_is_tried_again(kind: str) -> None:
    """423 means: shortly, again."""
    assert judged(kind, parsed(423, a_problem(423, "6160"))).then is Then.AGAIN_SAME


@pytest.mark.parametrize(("status", "code"), [(423, None), (400, "6250"), (423, "6250")])
def test_cancel_while_the_customer_pays_waits_and_reads(status: int, code: str | None) -> None:
    """While the customer is paying nothing can be withdrawn; what they did is read afterwards."""
    verdict = judged(CANCEL, parsed(status, a_problem(status, code)))

    assert (verdict.then, verdict.wait_s, verdict.code) == (Then.WAIT_AND_READ, 5.0, code)


def test_cancel_after_the_approval_is_too_late() -> None:
    """6060: the customer was faster, and the payment is authorized."""
    assert judged(CANCEL, an_answer(400, code="6060")).then is Then.TOO_LATE


@pytest.mark.parametrize(("status", "code"), [(409, None), (409, "4020"), (400, "4150")])
def test_conflict_on_create_is_settled_by_a_read(status: int, code: str | None) -> None:
    """A taken reference may be our own payment: it is read, and adopted or passed over."""
    verdict = judged(CREATE, an_answer(status, code=code))

    assert verdict.then is Then.ADOPT_OR_SUFFIX
    assert verdict.wait_s > 0


@pytest.mark.parametrize("kind", [CAPTURE, REFUND, CANCEL])
def test_conflict_on_a_payment_is_read_first_but_not_for_ever(kind: str) -> None:
    """What conflicts may have happened: it is read, and after eight tries shown to a person."""
    answer = an_answer(409)

    thens = [judged(kind, answer, attempt).then for attempt in (1, 7, 8)]

    assert thens == [Then.READ_FIRST, Then.READ_FIRST, Then.FINAL]


@pytest.mark.parametrize(("kind", "code"), [(CAPTURE, "4010"), (REFUND, "4150")])
def test_conflict_by_code_is_read_first_whatever_the_status(kind: str, code: str) -> None:
    """Vipps documents these codes, but not their status."""
    assert judged(kind, an_answer(400, code=code)).then is Then.READ_FIRST


@pytest.mark.parametrize("status", [400, 403])
def test_expiry_not_allowed_is_tried_once_without(status: int) -> None:
    """5050: the payment is asked for once more, for ten minutes; then the push is refused."""
    answer = parsed(status, a_problem(status, "5050"))

    first = judge(CREATE, answer, attempt=1, jitter=0.0)
    second = judge(CREATE, answer, attempt=1, jitter=0.0, has_expires_at=False)

    assert (first.then, second.then) == (Then.WITHOUT_EXPIRES_AT, Then.PUSH_REFUSED)


def test_expiry_that_came_too_near_is_asked_for_anew() -> None:
    """A request that waited too long gets another end; one without an end can't be mended so."""
    answer = parsed(400, a_problem(400, "6120"))

    first = judge(CREATE, answer, attempt=1, jitter=0.0)
    second = judge(CREATE, answer, attempt=1, jitter=0.0, has_expires_at=False)

    assert (first.then, second.then) == (Then.ASK_ANEW, Then.PUSH_REFUSED)


@pytest.mark.parametrize("code", ["5080", "6110", "7010"])
@pytest.mark.parametrize("status", [400, 403])
def test_push_that_vipps_refuses_leaves_the_invoice(status: int, code: str) -> None:
    """The invoice stays where it is, and its link can still be paid."""
    verdict = judged(CREATE, parsed(status, a_problem(status, code)))

    assert verdict == CommandVerdict(Then.PUSH_REFUSED, 0.0, code)


@pytest.mark.parametrize("kind", [CAPTURE, REFUND])
def test_money_that_may_move_later_is_asked_for_ever_less_often(kind: str) -> None:
    """6280: the bank is away; 6260 is none of these, since the money is not held any more."""
    waits = [judged(kind, an_answer(400, code="6280"), attempt) for attempt in (1, 2, 9)]

    assert [(v.then, v.wait_s) for v in waits] == [(Then.WAIT_AND_READ, s) for s in (60, 120, 900)]
    assert judged(kind, an_answer(400, code="6260")).then is Then.FINAL


@pytest.mark.parametrize("kind", [CREATE, CANCEL, CAPTURE, REFUND])
@pytest.mark.parametrize(("status", "code"), [(400, "5040"), (403, "5070"), (404, "5090")])
def test_other_codes_are_final(kind: str, status: int, code: str) -> None:
    """Any other no of Vipps is final; corrected, it is a new command with a new key."""
    verdict = judged(kind, parsed(status, a_problem(status, code)))

    assert verdict == CommandVerdict(Then.FINAL, 0.0, code)


@pytest.mark.parametrize("kind", [CREATE, CANCEL, CAPTURE, REFUND])
def test_refusal_that_names_a_field_is_final(kind: str) -> None:
    """A refusal without a code is a refusal too."""
    assert judged(kind, parsed(400, a_problem(400))).then is Then.FINAL


@pytest.mark.parametrize("code", [None, "5090"])
def test_read_of_an_unknown_payment_says_so(code: str | None) -> None:
    """A 404 of the API means that Vipps does not know the payment."""
    assert judged(READ, parsed(404, a_problem(404, code))).then is Then.NOT_KNOWN


@pytest.mark.parametrize(
    "raw", [b"", b"<html>Not here</html>", b'{"statusCode":404,"message":"Resource not found"}']
)
def test_read_that_met_a_proxys_404_is_repeated(raw: bytes) -> None:
    """A wrong address or a proxy's page must not make a live payment count as none."""
    assert judged(READ, parsed(404, raw)).then is Then.AGAIN_SAME


@pytest.mark.parametrize("status", [None, 401, 403, 409, 423, 429, 500])
def test_category_is_retried_five_times_and_holds_up_nothing(status: int | None) -> None:
    """The link in the app is a courtesy: the payment never waits for it."""
    answer = an_answer(status)

    verdicts = [judged(ATTACH, answer, attempt) for attempt in (1, 5, 6)]

    assert [v.then for v in verdicts] == [Then.AGAIN_SAME, Then.AGAIN_SAME, Then.FINAL]
    assert not any(v.is_blocking for v in verdicts)


def test_category_that_is_refused_is_given_up() -> None:
    """A definite no to a courtesy is not argued with."""
    assert judged(ATTACH, parsed(400, a_problem(400))).then is Then.FINAL


def test_waits_grow_and_stay_below_the_rate_limit() -> None:
    """Five tries take at least a minute, which is what Vipps allows one payment."""
    waits = [judged(CAPTURE, an_answer(500), attempt).wait_s for attempt in range(1, 10)]

    assert waits == sorted(waits)
    assert sum(waits[:5]) >= 60
    assert waits[-1] == 300


@given(
    st.sampled_from(list(CommandKind)),
    st.none() | st.integers(100, 599),
    st.none() | st.sampled_from([*TEXTS, "9999"]),
    st.integers(1, 50),
)
def test_any_answer_to_any_command_has_a_verdict(
    kind: CommandKind, status: int | None, code: str | None, attempt: int
) -> None:
    """There is no answer after which the worker does not know what to do."""
    raw = a_problem(status or 0, code)
    answer = an_answer(None) if status is None else parse_answer(status, raw, latency_ms=1)

    verdict = judged(kind, answer, attempt)

    assert verdict.then in Then
    assert verdict.wait_s >= 0
