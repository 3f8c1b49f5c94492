"""Reads: what they bring, confirm, compare, and set going."""

from collections.abc import Callable, Sequence

import pytest

from service.ledger.acts import cancel, capture, push
from service.ledger.book import Book
from service.ledger.reading import take_in
from service.ledger.types import Ask
from service.store.db import Database
from service.store.tables import Command, InvoiceRecord, StoredVippsEvent, Transition
from tests.builders import (
    AMOUNT,
    NOW,
    Desk,
    VippsPayment,
    a_desk,
    a_pushed_desk,
    a_vipps_event,
    an_authorized_desk,
    nok,
)


def test_read_brings_what_webhooks_lost(database: Database) -> None:
    """With every webhook lost, the invoice ends where Vipps's log does."""
    desk = a_desk(database)
    desk.create()
    vipps = VippsPayment()
    vipps.happens("CREATED", "AUTHORIZED")
    vipps.happens("CAPTURED", amount_minor=700)

    desk.read(vipps)

    assert desk.invoice().state == "captured"
    assert (desk.invoice().authorized_minor, desk.invoice().captured_minor) == (AMOUNT, 700)
    assert desk.payment().psp_reference == f"psp-{vipps.reference}"


def test_read_again_stores_and_moves_nothing(database: Database) -> None:
    """Looking twice is not happening twice."""
    desk, vipps = an_authorized_desk(database)
    stored, told = len(desk.all(StoredVippsEvent)), len(desk.told())

    desk.read(vipps)

    assert (len(desk.all(StoredVippsEvent)), len(desk.told())) == (stored, told)


def test_two_reads_settled_in_one_transaction_count_once(database: Database) -> None:
    """Two workers that both saw the capture take it in once, and call nothing a contradiction."""
    desk, vipps = an_authorized_desk(database)
    vipps.happens("CAPTURED")

    def both(book: Book) -> None:
        invoice, payment = book.payment(desk.payment().id)
        for _ in range(2):
            take_in(book, invoice, payment, vipps.log(), vipps.snapshot(invoice.id), read_id="cmd")

    desk.write(both)

    assert desk.history()[-1] == "capture>captured by poll"
    assert desk.invoice().captured_minor == AMOUNT
    assert "invoice.needs_attention" not in desk.told_types()


def test_read_confirms_an_event_that_it_makes_fit(database: Database) -> None:
    """A kept webhook that a read makes fit is confirmed by that same read."""
    desk, vipps = a_pushed_desk(database)
    vipps.happens("AUTHORIZED")
    desk.report(vipps.happens("CAPTURED"))

    desk.read(vipps)

    last = desk.all(Transition)[-1]
    assert (last.trigger, last.source, last.confirmed_at) == ("capture", "webhook", NOW)


def test_sums_that_differ_twice_are_flagged_and_read_again(database: Database) -> None:
    """A difference that lasts is shown to me; one that passes is not."""
    desk, vipps = an_authorized_desk(database)
    ahead = VippsPayment(events=list(vipps.events), state="AUTHORIZED")
    hidden = ahead.happens("CAPTURED", amount_minor=700)

    _read_sums_of(desk, vipps, ahead)
    first = desk.told_types().count("invoice.needs_attention")
    _read_sums_of(desk, vipps, ahead)
    _read_sums_of(desk, vipps, ahead)
    flagged = desk.told_types().count("invoice.needs_attention")
    waiting = desk.all(Command, Command.kind == "read_payment", Command.status == "waiting")
    desk.report(hidden)
    desk.read(ahead)

    assert (first, flagged, len(waiting)) == (0, 1, 1)
    assert desk.told()[-2]["data"].get("reason") == "aggregate_differs"
    assert desk.payment().drifting_reads == 0


def _read_sums_of(desk: Desk, log: VippsPayment, sums: VippsPayment) -> None:
    """Take in a read whose log is older than its sums."""
    desk.change(lambda b, i, p: take_in(b, i, p, log.log(), sums.snapshot(i.id), read_id="cmd"))


def _amounts(commands: Sequence[Command]) -> list[int | None]:
    return [command.amount_minor for command in commands]


def test_automatic_capture_waits_for_a_read_and_happens_once(database: Database) -> None:
    """The money is taken when a read has confirmed the approval, and once."""
    desk, vipps = a_pushed_desk(database, capture="automatic")
    desk.report(vipps.happens("AUTHORIZED"))
    unconfirmed = desk.commands("capture")

    desk.read(vipps)
    desk.read(vipps)
    desk.settle_commands()
    desk.read(vipps)

    assert unconfirmed == []
    assert _amounts(desk.commands("capture")) == [AMOUNT]


def test_automatic_capture_waits_for_the_approval_in_the_log(database: Database) -> None:
    """A read that does not show the approval confirms nothing."""
    desk, vipps = a_pushed_desk(database, capture="automatic")
    older = VippsPayment(events=list(vipps.events))
    desk.report(vipps.happens("AUTHORIZED"))

    desk.read(older)

    assert desk.commands("capture") == []


@pytest.mark.parametrize("act", [capture, cancel])
def test_automatic_capture_does_not_follow_what_was_asked(
    database: Database, act: Callable[[Book, InvoiceRecord, Ask], None]
) -> None:
    """What I do myself is not done again by itself."""
    desk, vipps = a_pushed_desk(database, capture="automatic")
    desk.report(vipps.happens("AUTHORIZED"))
    desk.act(act)
    desk.settle_commands("failed")

    desk.read(vipps)

    assert len(desk.commands("capture", "cancel_payment")) == 1


def test_automatic_capture_is_not_held_up_by_a_withdrawal_that_came_too_late(
    database: Database,
) -> None:
    """If the customer approves while I ask again, the money is taken all the same."""
    desk, vipps = a_pushed_desk(database, capture="automatic")
    desk.act(push)
    desk.report(vipps.happens("AUTHORIZED"))

    desk.read(vipps)

    assert _amounts(desk.commands("capture")) == [AMOUNT]


def test_read_is_hastened_and_not_doubled(database: Database) -> None:
    """One look at Vipps serves all who ask for one."""
    desk, vipps = a_pushed_desk(database)

    desk.report(vipps.happens("AUTHORIZED"), a_vipps_event("CAPTURED", amount=nok(AMOUNT + 1)))

    (read,) = desk.all(Command, Command.kind == "read_payment", Command.status == "waiting")
    assert read.next_attempt_at == NOW
