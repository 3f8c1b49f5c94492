"""`betalbar events tail`: what merchants are told, as it happens."""

import hmac
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import orjson
import typer

from service.api.feed_places import LAST, wanted_types
from service.cli.following import Seen, from_database, from_service
from service.cli.forwarding import Forward
from service.cli.output import Msn, examples, opened
from service.errors import SettingsInvalid
from service.settings import load_settings
from webhooks import standard

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="What merchants are told: the feed.",
)


@app.callback()
def _group() -> None:
    pass


@app.command(
    epilog=examples(
        "betalbar events tail --types 'invoice.*'",
        "betalbar events tail --forward http://localhost:3000/webhooks",
        "betalbar events tail --at https://pay.example.com --forward http://localhost:3000/webhooks",
    )
)
def tail(
    msn: Msn = "",
    types: Annotated[
        list[str] | None,
        typer.Option(help="Only this type, `invoice.*` or `*`; may be given several times."),
    ] = None,
    cursor: Annotated[
        str, typer.Option(help="Go on after this place; `_first` is the beginning, `_last` now.")
    ] = LAST,
    forward: Annotated[
        str, typer.Option(help="Also post each to this address, signed as to a subscription.")
    ] = "",
    at: Annotated[
        str, typer.Option(help="Of a service elsewhere, with its API key in BETALBAR_API_KEY.")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each: its cursor, the event.")
    ] = False,
) -> None:
    """Print each event of a sales unit's feed as it comes, until Ctrl-C.

    Begins now, unless a cursor says where: one of the API's is good here too, and the one that is
    printed at the end goes on where this ended. Works beside a running service.

    With --forward the receiver on your own machine gets each as a subscriber would: the same
    bytes, headers and signature, without an address that the internet reaches. The secret is
    printed, and is the same every time. It waits until something listens; an answer that is no
    2xx is shown, and not tried again.
    """
    wanted = wanted_types(types or [], "--types")
    with _source(msn, at, cursor=cursor, types=wanted) as (events, secret):
        target = _target(forward, secret)
        place = cursor
        try:
            for seen in events:
                place = seen.cursor
                if seen.payload:
                    said = target.deliver(seen.payload) if target else None
                    print(_json_line(seen, said) if as_json else _line(seen, said), flush=True)
        except KeyboardInterrupt:
            print(f"Go on with --cursor {place}", file=sys.stderr)


@contextmanager
def _source(
    msn: str, at: str, *, cursor: str, types: tuple[str, ...]
) -> Iterator[tuple[Iterator[Seen], str]]:
    """Give the events, and the secret that signs them on their way to a developer."""
    if at:
        key = load_settings().api_key
        if not key:
            raise SettingsInvalid("BETALBAR_API_KEY: must be set with --at")
        secret = standard.new_secret(hmac.digest(key.encode(), b"events tail", "sha256"))
        yield from_service(at.rstrip("/"), key, cursor=cursor, types=types), secret
        return
    with opened() as context:
        unit = msn or context.settings.msn
        secret = standard.new_secret(context.vault.forwarding_key(unit))
        yield from_database(context, unit, cursor=cursor, types=types), secret


def _target(url: str, secret: str) -> Forward | None:
    if not url:
        return None
    print(f"To {url}, signed with {secret}", file=sys.stderr, flush=True)
    return Forward(url, secret)


def _json_line(seen: Seen, said: str | None) -> str:
    line = {"cursor": seen.cursor, "event": orjson.Fragment(seen.payload)}
    return orjson.dumps(line | ({"answer": said} if said else {})).decode()


def _line(seen: Seen, said: str | None) -> str:
    event: dict[str, Any] = orjson.loads(seen.payload)
    reference = event["data"].get("invoice", {}).get("reference", "")
    line = f"{event['timestamp']}  {event['type']}  {reference}".rstrip()
    return f"{line}  -> {said}" if said else line
