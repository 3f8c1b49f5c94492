"""What finance reads: a day's captures and refunds, and the evidence of one invoice."""

import csv
import io
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.api.reports import daily_report
from service.audit.verify import EvidenceBroken, verify_file
from service.ledger.book import write
from service.ledger.record import record
from service.store.db import Database
from statemachine import Outcome
from tests.builders import AMOUNT, MSN, Desk, VippsPayment, a_desk, a_vipps_event, received
from tests.service.api.shop import NOW, ONLY_SQLITE, PHONE, Shop

OSLO = ZoneInfo("Europe/Oslo")
REFERENCE = "acme-2026-000123"
_NUMBERS = count(1)

# Midnights of ordinary days and of those on which the clocks change, and a little around each.
_DAYS = [date(2026, 3, 29), date(2026, 10, 25), date(2026, 12, 31), date(2026, 7, 1)]
_MIDNIGHTS = [datetime(d.year, d.month, d.day, tzinfo=OSLO).astimezone(UTC) for d in _DAYS]
_INSTANTS = st.builds(
    lambda midnight, s: midnight + timedelta(seconds=s),
    st.sampled_from(_MIDNIGHTS),
    st.integers(-90_000, 90_000) | st.sampled_from([-1, 0, 1, 82_800, 86_399, 86_400, 90_000]),
)
_MOVES = st.lists(st.tuples(st.booleans(), st.integers(1, 50_000), _INSTANTS), max_size=4)


@ONLY_SQLITE
def test_daily_reports_add_up_to_vipps_sums(database: Database) -> None:
    """Every øre is in the report of one day, the one that my calendar says, and in no other."""
    desk, expected = a_desk(database), Counter[tuple[date, str]]()

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_MOVES)
    def play(moves: list[tuple[bool, int, datetime]]) -> None:
        _let_happen(desk, moves, expected)

    play()

    days = {day for midnight in _DAYS for day in _around(midnight)}
    with database.snapshot() as session:
        reports = {day: daily_report(session, MSN, day) for day in days}
    for day, report in reports.items():
        assert report["captured"]["value"] == expected[(day, "CAPTURED")]
        assert report["refunded"]["value"] == expected[(day, "REFUNDED")]
    assert sum(r["captured"]["value"] for r in reports.values()) == _total(expected, "CAPTURED")
    assert sum(r["refunded"]["value"] for r in reports.values()) == _total(expected, "REFUNDED")
    assert _total(expected, "REFUNDED") > 0


def _around(day: date) -> list[date]:
    return [day + timedelta(days=n) for n in range(-2, 3)]


def _total(expected: Counter[tuple[date, str]], name: str) -> int:
    return sum(value for (_, what), value in expected.items() if what == name)


def _let_happen(
    desk: Desk, moves: list[tuple[bool, int, datetime]], expected: Counter[tuple[date, str]]
) -> None:
    reference = f"booked-{next(_NUMBERS):06}"
    desk.create(reference=reference, creation_hash=reference.encode())
    vipps = VippsPayment(reference=reference)
    vipps.happens("CREATED", "AUTHORIZED")
    captured = refunded = 0
    for is_refund, wanted, at in moves:
        part = min(wanted, captured - refunded) if is_refund else wanted
        if part == 0:
            continue
        name = "REFUNDED" if is_refund else "CAPTURED"
        vipps.at = at - timedelta(seconds=len(vipps.events))
        vipps.happens(name, amount_minor=part)
        captured, refunded = captured + part * (not is_refund), refunded + part * is_refund
        expected[(at.astimezone(OSLO).date(), name)] += part
    # Half of it twice by webhook, all of it once by a read.
    desk.report(*vipps.webhooks()[::2], *vipps.webhooks()[::2])
    desk.read(vipps)
    assert desk.payment(reference).captured_minor == captured


@pytest.mark.anyio
async def test_daily_report_lists_what_a_clerk_books(shop: Shop) -> None:
    """Each capture and refund with its reference, KID and Vipps's own number."""
    await shop.create(kid="1234566")
    shop.let_be_authorized()
    shop.let_be_captured(150_000)
    shop.report("REFUNDED", 50_000, REFERENCE)

    report = (await shop.client.get("/v1/reports/daily?date=2026-11-22")).json()
    nothing = (await shop.client.get("/v1/reports/daily?date=2026-11-21")).json()

    assert (report["date"], report["timeZone"]) == ("2026-11-22", "Europe/Oslo")
    assert (report["captured"]["value"], report["refunded"]["value"]) == (150_000, 50_000)
    assert [(i["type"], i["invoice"], i["kid"]) for i in report["items"]] == [
        ("capture", REFERENCE, "1234566"),
        ("refund", REFERENCE, "1234566"),
    ]
    assert all(item["pspReference"].startswith("psp_") for item in report["items"])
    assert (nothing["items"], nothing["captured"]["value"]) == ([], 0)


@pytest.mark.anyio
@ONLY_SQLITE
async def test_daily_report_as_csv_runs_nothing(shop: Shop) -> None:
    """No spreadsheet takes a name for a formula; amounts stay numbers."""
    reference = "-cmd-2026-1"
    await shop.create(reference=reference)
    shop.let_be_authorized(reference)
    shop.report("CAPTURED", 200_000, reference)

    answer = await shop.client.get("/v1/reports/daily?date=2026-11-22&format=csv")

    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].endswith('.csv"')
    assert (row["invoice"], row["payment"]) == (f"'{reference}", f"'{reference}")
    assert (row["amount"], row["currency"], row["kid"]) == ("200000", "NOK", "")


@pytest.mark.anyio
@ONLY_SQLITE
@pytest.mark.parametrize(
    "query",
    [
        "",
        "?date=",
        "?date=22.11.2026",
        "?date=0001-01-01",
        "?date=9999-12-31",
        "?date=2026-11-22&format=xml",
        "?date=2026-11-22&day=1",
    ],
)
async def test_daily_report_of_no_day_is_refused(shop: Shop, query: str) -> None:
    """A day that is none is named as the mistake that it is."""
    answer = await shop.client.get(f"/v1/reports/daily{query}")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] in ("date", "format", "day")


@pytest.mark.anyio
async def test_daily_report_shows_no_other_sales_units_money(shop: Shop) -> None:
    """My neighbour's bookkeeping is my neighbour's."""
    await shop.create()
    shop.let_be_authorized()
    shop.let_be_captured(100)

    report = (await shop.other.get("/v1/reports/daily?date=2026-11-22")).json()

    assert (report["items"], report["captured"]["value"]) == ([], 0)


def _let_be_approved_with_details(shop: Shop) -> None:
    """Let Vipps tell who approved, phone number and all."""
    details = {
        "sub": "c06c4afe",
        "userDetails": {"mobileNumber": PHONE, "firstName": "Kari", "email": "kari@example.com"},
    }
    shop.report("CREATED", AMOUNT, REFERENCE)
    said = received(orjson.dumps(a_vipps_event("AUTHORIZED", **details)), at=NOW)
    assert write(shop.context, lambda book: record(book, [said])) == [Outcome.APPLIED]


@pytest.mark.anyio
async def test_evidence_is_whole_signed_and_names_no_phone_number(shop: Shop) -> None:
    """A dispute is settled by one file that anybody can check, and that tells no number."""
    await shop.create()
    _let_be_approved_with_details(shop)

    answer = await shop.client.get(f"/v1/invoices/{REFERENCE}/evidence")

    proven = verify_file(answer.content)
    evidence: dict[str, Any] = answer.json()["evidence"]
    assert answer.headers["content-disposition"] == (
        f'attachment; filename="{REFERENCE}.evidence.json"'
    )
    assert (proven.reference, proven.transitions) == (REFERENCE, 3)
    assert [event["name"] for event in evidence["vippsEvents"]] == ["CREATED", "AUTHORIZED"]
    assert {len(evidence[part]) for part in ("acts", "payments")} == {1}
    assert len(evidence["events"]) == 3
    assert PHONE not in answer.text and PHONE[2:] not in answer.text


@pytest.mark.anyio
@ONLY_SQLITE
async def test_evidence_that_was_changed_is_found(shop: Shop) -> None:
    """One letter changed, and nobody takes the file for ours."""
    await shop.create()
    raw = (await shop.client.get(f"/v1/invoices/{REFERENCE}/evidence")).content

    with pytest.raises(EvidenceBroken):
        verify_file(raw.replace(b"Invoice 123", b"Invoice 124"))


@pytest.mark.anyio
async def test_evidence_of_another_sales_unit_does_not_exist(shop: Shop) -> None:
    """What happened between a neighbour and its customer is none of my business."""
    await shop.create()

    answers = [
        await shop.other.get(f"/v1/invoices/{REFERENCE}/evidence"),
        await shop.client.get("/v1/invoices/unknown-000/evidence"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]


@pytest.mark.anyio
async def test_paid_elsewhere_over_the_api_says_what_became_of_it(shop: Shop) -> None:
    """One call with how it was paid; what was captured before needs one word more."""
    await shop.create()
    shop.let_be_authorized()
    shop.let_be_captured(AMOUNT)
    path = f"/v1/invoices/{REFERENCE}/paid-elsewhere"

    refused = await shop.client.post(path, json={"channel": "bank"})
    taken = await shop.client.post(path, json={"channel": "bank", "refund": True})
    again = await shop.client.post(f"/v1/invoices/{REFERENCE}/push", json={})

    assert (refused.status_code, refused.json()["code"]) == (409, "captured_already")
    assert (taken.status_code, taken.json()["paidElsewhere"]["channel"]) == (202, "bank")
    assert "paid-elsewhere" not in taken.json()["availableActions"]
    assert (again.status_code, again.json()["code"]) == (409, "action_refused")


@pytest.mark.anyio
async def test_correction_over_the_api_is_one_for_each_invoice(shop: Shop) -> None:
    """`replaces` takes the wrong invoice back and sends the right one, once."""
    await shop.create()

    answers = [
        await shop.create(reference=f"acme-2026-00012{n}", replaces=REFERENCE) for n in (4, 5)
    ]
    unknown = await shop.create(reference="acme-2026-000126", replaces="acme-unknown-1")

    assert [answer.status_code for answer in answers] == [201, 409]
    assert answers[0].json()["replaces"] == REFERENCE
    assert answers[1].json()["code"] == "replaced_already"
    assert unknown.json()["errors"][0]["field"] == "replaces"
    assert (await shop.client.get(f"/v1/invoices/{REFERENCE}")).json()["state"] == "terminated"
