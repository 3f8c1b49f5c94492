"""`betalbar recover`: a restored database learns from Vipps first, and sends nothing until then."""

from typing import Annotated

import typer

from service.cli.output import AsJson, opened, show_rows
from service.context import Context
from service.errors import NotFound
from service.ledger.resource import rfc3339
from service.store.recovery import Recovery, begin_recovery, end_recovery, recoveries
from service.store.tables import SalesUnit


def recover(
    msn: Annotated[str, typer.Option(help="One sales unit only; without, every one.")] = "",
    is_offline: Annotated[
        bool,
        typer.Option(
            "--without-vipps", help="End the recovery, whatever Vipps did since the backup."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Begin the recovery of a restored database: read at Vipps first, and send nothing until then.

    For a PostgreSQL that was brought back from a base backup, before anything serves from it; of a
    dump that was read in, and of `betalbar restore`, it begins by itself. The service then reads
    every payment that Vipps may have moved since, and tells by /readyz and `betalbar doctor` how
    far it is; meanwhile it receives webhooks, calls nothing else at Vipps, tells merchants nothing,
    and answers what they ask of invoices with 503 `recovering`. Begun again, all is read again.
    With --without-vipps the recovery ends as it is: where nothing was lost, or for a sales unit
    that can't be read any more.
    """
    with opened() as context:
        found = _ended(context, msn) if is_offline else _begun(context, msn)
    rows = [
        {"salesUnit": one.msn, "since": rfc3339(one.since), "leftToRead": one.left_to_read}
        for one in found
    ]
    show_rows(rows, as_json=as_json, empty="Nothing is recovering.")
    if not as_json and not is_offline:
        print("Nothing is sent until that is read. Next: betalbar serve")
    elif not as_json and rows:
        print("Ended: what was left to read was not read.")


def _begun(context: Context, msn: str) -> list[Recovery]:
    with context.database.transaction() as session:
        if msn and session.get(SalesUnit, msn) is None:
            raise NotFound(f"there is no sales unit {msn}")
        begin_recovery(session, now=context.clock.shared_now(session), msn=msn)
        begun = _chosen(recoveries(session), msn)
    context.wake.recovery.set()
    return begun


def _ended(context: Context, msn: str) -> list[Recovery]:
    with context.database.transaction() as session:
        ended = _chosen(recoveries(session), msn)
        for one in ended:
            end_recovery(session, one.msn)
    context.wake.set_all_work()
    return ended


def _chosen(found: list[Recovery], msn: str) -> list[Recovery]:
    return [one for one in found if msn in ("", one.msn)]
