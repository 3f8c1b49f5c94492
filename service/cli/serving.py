"""`betalbar serve`, `worker`, `migrate` and `sandbox`: processes that stay, and their schema."""

import asyncio
import math
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, cast

import typer
import uvicorn
from starlette.applications import Starlette
from uvicorn.supervisors import Multiprocess

from service.app import create_app, create_worker, run_worker
from service.cli import samples, scenarios
from service.context import Context
from service.door import FrontDoor, Limits, room_for
from service.errors import SettingsInvalid
from service.logs import configure_logs
from service.opening import open_context
from service.sandbox import SandboxProtocol, SandboxSettings, spare_the_collector
from service.sandbox import create_app as create_sandbox_app
from service.settings import Network, Settings, load_settings
from service.staff.users import DEMO_LOGIN
from service.store.db import Database
from service.store.schema import migrate as migrate_schema

# SIGTERM finishes what is in hand within ten seconds, after which Docker kills: this much for
# open requests, five for the workers (service/app.py), the rest for the last commits.
REQUESTS_WITHIN_S = 3

# A process of several that does not answer for so long is killed and started anew. With the usual
# five seconds a machine that is busy kills each while it still loads, and none ever serves.
START_WITHIN_S = 60

_FACTORY = "service.cli.serving:app_from_environment"
_FACTORY_WITHOUT_WORKER = "service.cli.serving:app_without_worker"


def serve(
    processes: Annotated[
        int, typer.Option(min=1, help="More than one needs PostgreSQL and a Vipps of its own.")
    ] = 1,
    has_worker: Annotated[
        bool,
        typer.Option(
            "--worker/--no-worker", help="Also talk to Vipps and to subscribers, or only listen."
        ),
    ] = True,
    has_samples: Annotated[
        bool, typer.Option("--samples", help="Put sample invoices into the built-in sandbox.")
    ] = False,
) -> None:
    """Serve the API, receive what Vipps reports, and do the work that follows.

    Without BETALBAR_VIPPS_URL a sandbox is built in: no keys are needed, and its URLs and an API
    key are printed. SQLite is brought to this version's schema; PostgreSQL needs `betalbar
    migrate` first. SIGTERM and Ctrl-C finish what is in hand, within 10 s.
    """
    settings = load_settings()
    _require_possible(settings, processes, has_samples)
    listening = listen(settings.host, settings.port)
    configure_logs(settings.log)
    if processes > 1:
        # What can't be served is said once, here, and not by every process for ever.
        open_context(settings).database.dispose()
        factory = _FACTORY if has_worker else _FACTORY_WITHOUT_WORKER
        config = front_door(factory, settings, workers=processes)
        Multiprocess(config, sockets=[listening]).run()
        return
    app = create_app(settings, has_worker=has_worker)
    spare_the_collector()
    _introduce(app.state.context)
    if has_samples:
        samples.start(settings, api_key(app.state.context))
    _run(front_door(app, settings), listening)


def worker(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Answer /healthz, /readyz and /metrics there.")
    ] = 0,
) -> None:
    """Talk to Vipps and to subscribers, and listen to nobody but, with --port, to probes.

    Runs beside `betalbar serve --no-worker`, on any number of machines with one PostgreSQL.
    """
    settings = load_settings()
    if settings.has_built_in_sandbox:
        raise SettingsInvalid(
            "BETALBAR_VIPPS_URL: a worker of its own needs a Vipps that is not built into `serve`"
        )
    if not port:
        configure_logs(settings.log)
        asyncio.run(_work(settings))
        return
    listening = listen(settings.host, port)
    configure_logs(settings.log)
    _run(front_door(create_worker(settings), settings), listening)


def migrate() -> None:
    """Bring the database to this version's schema; doing it again changes nothing.

    Run it before the new version is started. SQLite is migrated by `serve` itself.
    """
    database = Database(load_settings().direct_url)
    try:
        migrate_schema(database)
    finally:
        database.dispose()
    print("The database has this version's schema.")


def sandbox(
    host: Annotated[str, typer.Option(help="It needs no key: leave it on the loopback.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where to listen.")] = 8090,
    file: Annotated[
        Path | None, typer.Option(help="Keep its payments here; without, they end with it.")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="Play this file, a life of payments, once it is up.")
    ] = None,
    speed: Annotated[
        str, typer.Option(help="Seconds of a scenario that pass in one, or `max`.")
    ] = "",
    retry_scale: Annotated[
        float,
        typer.Option(
            min=0.0001,
            max=1.0,
            help="Shorten the waits between attempts at a webhook: 0.01 makes an hour 36 s.",
        ),
    ] = 1.0,
) -> None:
    """Serve a Vipps look-alike by itself, for tests and integrators.

    Any keys open it. Point a service at it with BETALBAR_VIPPS_URL; approve a payment with
    POST /sandbox/payments/REFERENCE/approve, and see docs/sandbox.md for the rest.
    """
    if math.isnan(retry_scale):  # which is neither under the least nor over the most
        raise typer.BadParameter("is not a number", param_hint="--retry-scale")
    played = scenarios.read(scenario, speed)
    url = f"http://{host}:{port}"
    listening = listen(host, port)
    configure_logs("console")
    settings = SandboxSettings(public_url=url, database_path=file, retry_scale=retry_scale)
    app = create_sandbox_app(settings)
    spare_the_collector()
    lines = [f"A Vipps look-alike is at {url}", f"  phone      {url}/phone"]
    print("\n".join([*lines, f"  controls   {url}/sandbox"]), flush=True)
    if played is not None:
        scenarios.start(played, url)
    _run(_config(app, SandboxProtocol), listening)


def app_from_environment() -> Starlette:
    """Return the service for one process of several."""
    return _app(has_worker=True)


def app_without_worker() -> Starlette:
    """Return the service for one process of several that only listen."""
    return _app(has_worker=False)


def _app(*, has_worker: bool) -> Starlette:
    settings = load_settings()
    configure_logs(settings.log)
    app = create_app(settings, has_worker=has_worker)
    spare_the_collector()
    return app


def api_key(context: Context) -> str:
    """Return the API key that a developer uses beside the built-in sandbox."""
    settings = context.settings
    return settings.api_key or context.vault.sandbox_api_key(settings.msn)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there. Raises: SettingsInvalid."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    # A restart must not wait for the last connections' time-out.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        reason = (error.strerror or "can't be used").lower()
        raise SettingsInvalid(
            f"BETALBAR_HOST, BETALBAR_PORT: {host}:{port}: {reason}; choose another"
            f" port, such as BETALBAR_PORT={port + 1 if port < 65535 else 8080}"
        ) from error
    listening.set_inheritable(True)
    return listening


def _require_possible(settings: Settings, processes: int, has_samples: bool) -> None:
    if processes > 1 and settings.database_url.startswith("sqlite"):
        raise SettingsInvalid("--processes: SQLite has one writer; set BETALBAR_DATABASE_URL")
    if processes > 1 and settings.has_built_in_sandbox:
        raise SettingsInvalid(
            "--processes: the built-in sandbox lives in one process; run `betalbar sandbox` and"
            " set BETALBAR_VIPPS_URL"
        )
    if has_samples and not settings.has_built_in_sandbox:
        raise SettingsInvalid("--samples: samples are only for the built-in sandbox")


def _introduce(context: Context) -> None:
    settings = context.settings
    url = settings.local_url
    lines = [f"Betalbar is at {url}", f"  API        {url}/v1/invoices"]
    if not settings.has_built_in_sandbox:
        lines.append(f"  console    {url}/console")
    if settings.has_built_in_sandbox:
        lines += [
            f"  API key    {api_key(context)}",
            f"  console    {url}/console (login {DEMO_LOGIN},"
            f" password {context.vault.demo_password()})",
            f"  phone      {url}/phone (be the customer)",
            f"  sandbox    {url}/sandbox (its clock, its faults, its payments)",
        ]
    print("\n".join(lines), flush=True)


# A browser that was here once comes by https only, for so long.
_HTTPS_ONLY = [("Strict-Transport-Security", f"max-age={365 * 86_400}")]


def front_door(app: Any, settings: Settings, *, workers: int = 1) -> uvicorn.Config:
    """Return how the service is served to the outside; `app` may be the name of a factory."""
    limits = Limits(
        connections=room_for(settings.connections_max),
        per_address=settings.connections_per_address_max,
        uncounted=settings.trusted_proxies,
    )
    # Uvicorn calls it as it would the class.
    protocol = cast(type[asyncio.Protocol], FrontDoor(limits))
    config = _config(app, protocol, workers=workers, proxies=settings.trusted_proxies)
    if settings.base_url.startswith("https://"):
        config.headers += _HTTPS_ONLY
    return config


def _config(
    app: Any, protocol: type[asyncio.Protocol], *, workers: int = 1, proxies: Sequence[Network] = ()
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=workers,
        loop="service.door.listening:Loop",
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Uvicorn's own default believes whoever is on the same machine.
        proxy_headers=bool(proxies),
        forwarded_allow_ips=[str(network) for network in proxies],
        timeout_graceful_shutdown=REQUESTS_WITHIN_S,
        timeout_worker_healthcheck=START_WITHIN_S,
    )


def _run(config: uvicorn.Config, listening: socket.socket) -> None:
    # The server raises the signal again once it has stopped in good order, which is "done".
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    server = uvicorn.Server(config)
    server.run(sockets=[listening])
    if not server.started:
        raise typer.Exit(1)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run_worker(settings, stop)
