"""What the doctors find: one line each, marked, and one thing to do next."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import httpx
from rich.console import Console

from service.context import Context
from service.inbox.lost import LOOKED_BACK, Unknown
from service.inbox.registering import Standing
from service.vipps import reason_of
from webhooks.instants import parse_http_date
from webhooks.vipps import TOLERANCE_S

# Half of what is tolerated: time to mend it before anything is refused.
CLOCK_S_MAX = TOLERANCE_S // 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, whether it is well, and what mends it or is worth doing."""

    check: str
    is_well: bool
    detail: str
    advice: str = ""


async def compare_clocks(context: Context, http: httpx.AsyncClient) -> Finding:
    """Compare this machine's clock with Vipps's, whose signatures are dated."""
    try:
        answer = await http.get(context.settings.upstream_url)
    except httpx.HTTPError as error:
        said = f"Vipps can't be reached: {reason_of(error)}"
        return Finding("clock", False, said, "let this machine reach Vipps")
    theirs = parse_http_date(answer.headers.get("date", "").encode())
    if theirs is None:
        return Finding("clock", True, "Vipps's answer has no date to compare with")
    ahead_s = round((context.clock.now() - theirs).total_seconds())
    return Finding(
        "clock",
        abs(ahead_s) <= CLOCK_S_MAX,
        f"{ahead_s:+d} s beside Vipps's",
        "set this machine's clock by NTP" if abs(ahead_s) > CLOCK_S_MAX else "",
    )


def differences(standing: Standing) -> list[Finding]:
    """Return what differs between the registrations here and at Vipps."""
    found = [f"Vipps has deleted {one.vipps_id}" for one in standing.gone]
    found += [f"{one.vipps_id} stands at {one.url}" for one in standing.elsewhere]
    found += [f"{vipps_id} is at our address, without our secret" for vipps_id in standing.unknown]
    advice = f"betalbar webhooks sync --msn {standing.msn}"
    return [Finding("registration", False, detail, advice) for detail in found]


def strangers(msn: str, unknown: Unknown) -> list[Finding]:
    """Return what Vipps reported of payments that are not here: lost ones, and others'."""
    found = []
    if unknown.lost:
        named = ", ".join(f"{one.reference} ({one.state})" for one in unknown.lost)
        advice = (
            "have them posted again, by the same reference and amount: nobody is asked twice;"
            " docs/how-to/backup.md says what follows"
        )
        said = f"made after the backup that was restored, and at Vipps: {named}"
        found.append(Finding(f"lost invoices of {msn}", False, said, advice))
    if count := unknown.others + unknown.unasked:
        said = f"{count} in {LOOKED_BACK.days} days, as another shop on this sales unit has them"
        found.append(Finding(f"payments of others at {msn}", True, said))
    return found


def show_findings(console: Console, findings: Iterable[Finding]) -> None:
    """Print a line for each; what is well and has advice is marked as worth a look."""
    for one in findings:
        mark = "[green]ok  [/]" if one.is_well else "[red]bad [/]"
        if one.is_well and one.advice:
            mark = "[yellow]note[/]"
        console.print(mark, end=" ")
        # No markup: details are other people's words.
        console.print(f"{one.check}: {one.detail}", soft_wrap=True, markup=False)
        if one.advice:
            console.print(f"     {one.advice}", soft_wrap=True, markup=False)


def next_step(findings: Sequence[Finding]) -> str:
    """Return what to do first: the advice of the first thing that is not well, or nothing."""
    return next((one.advice or one.detail for one in findings if not one.is_well), "")
