"""`serve`: everything that a start needs, then the web server."""

import os
import signal
import socket
import sys
from types import FrameType
from typing import Annotated

import typer
import uvicorn
from uvicorn.supervisors import Multiprocess

from backend.cli.accounts import make_link
from backend.cli.console import ENV, RefusedError, block, note, opened, settings
from backend.cli.firstrun import first_admin, who_needs_a_link, write_secrets
from backend.cli.forking import share
from backend.cli.school import bring_up, load_demo, show
from backend.core.config import ROOT, Settings
from backend.database.crud.staff import StaffCRUD
from backend.database.session import Database

BACKLOG = 2048
DRAIN_SECONDS = 20
INTERRUPTED = 130  # as shells say it
HUNG_SECONDS = 60  # a busy machine is no reason to shoot a worker


def serve(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Web processes.")] = 1,
    link: Annotated[bool, typer.Option("--link", help="Print a one-time sign-in link in any case.")] = False,
    demo: Annotated[
        bool | None,
        typer.Option("--demo/--no-demo", help="Fill an empty database; by default with the sandbox."),
    ] = None,
) -> None:
    """Start the school: secrets, schema, first administrator, web server. Safe to repeat."""
    fresh = write_secrets(ENV)
    config = settings()
    with _listen(config) as listening:
        config = _with_port(config, listening)
        with opened(config) as database:
            empty = _prepare(database, config)
            if empty and (config.sandbox_on if demo is None else demo):
                note("Filling the empty database with the demo school...")
                show(load_demo(database, config))
            server = _server(workers)
            _announce(database, config, fresh=fresh, link=link)
        _run(server, listening, config)


def _prepare(database: Database, config: Settings) -> bool:
    """Schema, roles, first administrator; whether the database was empty."""
    bring_up(database)
    with database.read() as session:
        empty = StaffCRUD(session).is_empty()
    first_admin(database, config)
    try:
        config.media_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(
            f"{config.media_dir.absolute()} cannot be made ({error.strerror}): make DATA_DIR a writable folder."
        ) from error
    return empty


def _listen(config: Settings) -> socket.socket:
    """Takes the port before anything is changed or printed; requests wait in it until the server is
    up.
    """
    family = socket.AF_INET6 if ":" in config.api_host else socket.AF_INET
    listening = socket.socket(family=family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((config.api_host, config.api_port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise RefusedError(_why_not(config, error)) from error
    listening.set_inheritable(True)
    return listening


def _why_not(config: Settings, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"API_HOST={config.api_host} is no address of this machine: use 127.0.0.1 or 0.0.0.0."
    if isinstance(error, PermissionError):
        return f"Port {config.api_port} is reserved for the system: choose another, API_PORT=8000."
    return (
        f"Port {config.api_port} on {config.api_host} is busy or not ours ({error.strerror}):"
        f" stop the other program, or choose another port with API_PORT={config.api_port + 1}."
    )


def _with_port(config: Settings, listening: socket.socket) -> Settings:
    """API_PORT=0 takes any free port: from here on everyone knows which."""
    port = listening.getsockname()[1]
    if port == config.api_port:
        return config
    os.environ["API_PORT"] = str(port)
    return settings()


def _announce(database: Database, config: Settings, *, fresh: bool, link: bool) -> None:
    rows = [("Address", config.url)]
    person = who_needs_a_link(database, config, asked=link)
    if person is not None:
        rows.append(("Sign in", f"{make_link(database, config, person.id)}  (once, within 15 minutes)"))
    if config.sandbox_on:
        rows.append(("Sandbox", f"{config.url}/sandbox/  (the bot without Telegram; test sales)"))
    elif not config.bot_on:
        rows.append(("Bot", "off: set TELEGRAM_BOT_TOKEN, or SANDBOX=1 to try it without Telegram"))
    rows.append(("API", f"{config.url}/docs"))
    if fresh:
        rows.append(("Secrets", f"{ENV.absolute()} (made now, for your eyes only)"))
    block("Lyceum is open. Ctrl+C closes it.", rows)


def _server(workers: int) -> uvicorn.Server:
    """From here on Ctrl+C ends the program: what is announced as open can be closed, also when it was started in the
    background by a shell, which lets its children ignore the signal.
    """
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    server = uvicorn.Server(
        uvicorn.Config(
            "main:app",
            workers=workers,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the app reads TRUSTED_PROXIES itself
            timeout_graceful_shutdown=DRAIN_SECONDS,
            timeout_worker_healthcheck=HUNG_SECONDS,
        )
    )

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        """Before the server listens to it: an import may swallow the exception, and nothing is open yet."""
        if not server.started:
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupted)
    return server


def _run(server: uvicorn.Server, listening: socket.socket, config: Settings) -> None:
    workers = server.config.workers
    try:
        if workers > 1:
            share(config)
            Multiprocess(server.config, sockets=[listening]).run()
        else:
            server.run(sockets=[listening])
    except KeyboardInterrupt:
        return
    if workers == 1 and not server.started:
        raise typer.Exit(3)
