"""`doctor`: everything weak about this installation, each with its remedy."""

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from backend.cli.console import ENV, RefusedError, first_line, opened, settings
from backend.core import passwords
from backend.core.config import Settings, is_loopback
from backend.database.crud.auth import BUILT_IN_BOT, ApiTokenCRUD
from backend.database.crud.ledger import LedgerCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.schema import SchemaError, check_schema
from backend.database.session import Database

LONG_ACCESS_MINUTES = 60
FEW_BYTES = 1_000_000_000
WEAK_DATABASE_PASSWORDS = frozenset({"", "postgres", "password", "admin", "lyceum", "secret"})


def doctor() -> None:
    """List every weak setting. Exit code 0: none; 1: some."""
    config = settings()
    found = [*weak_settings(config), *weak_files(config), *weak_data(config)]
    for line in found:
        typer.echo(f"- {line}")
    if found:
        typer.echo(f"{len(found)} to mend." if len(found) > 1 else "One to mend.")
        raise typer.Exit(1)
    typer.echo("Nothing weak was found.")


def weak_settings(config: Settings) -> Iterator[str]:
    public = not is_loopback(config.host)
    if not config.https and public:
        yield ("BASE_URL is plain http: anyone on the way can read passwords and take over sessions. Use https://.")
    if config.debug:
        yield "DEBUG is on: set DEBUG=0 for a school with real students."
    if config.sandbox_on:
        yield "SANDBOX is on: sales are test sales. Set TELEGRAM_BOT_TOKEN and SANDBOX=0 to sell."
    elif not config.bot_on:
        yield "No bot: set TELEGRAM_BOT_TOKEN, or students cannot reach the school."
    if config.api_rate_limit == 0:
        yield "API_RATE_LIMIT=0 lets one client take all of the server: leave it at 1200."
    if config.access_token_expire_minutes > LONG_ACCESS_MINUTES:
        yield "ACCESS_TOKEN_EXPIRE_MINUTES is long: 15 is enough, refresh tokens do the rest."
    yield from weak_proxies(config, public=public)
    yield from weak_secrets(config)


def weak_proxies(config: Settings, *, public: bool) -> Iterator[str]:
    if "*" in config.trusted_proxies:
        yield (
            "TRUSTED_PROXIES=* lets everyone choose their address and so escape the limits: name the proxy's address."
        )
    if public and is_loopback(config.api_host) and not config.trusted_proxies:
        yield (
            "BASE_URL is public and a proxy passes requests on, but TRUSTED_PROXIES is empty: all"
            " visitors share one"
            " address, and its limits. Set TRUSTED_PROXIES=127.0.0.1."
        )


def weak_secrets(config: Settings) -> Iterator[str]:
    password = config.admin_password.get_secret_value()
    if password:
        yield "ADMIN_PASSWORD is still set: it is needed for the first start only, take it out."
        if passwords.problem(password, config.admin_username):
            yield "ADMIN_PASSWORD is easy to guess: change it in the settings of the school."
    url = make_url(config.database_url)
    if url.get_backend_name() != "postgresql":
        return
    if str(url.password or "").lower() in WEAK_DATABASE_PASSWORDS and not is_loopback(url.host or "localhost"):
        yield ("DATABASE_URL has no password or one that everyone tries first: give the database user a random one.")
    remote = "." in (url.host or "") and not is_loopback(url.host or "")
    if remote and url.query.get("sslmode") not in ("require", "verify-ca", "verify-full"):
        yield ("The database is on another machine without TLS: add ?sslmode=verify-full to DATABASE_URL.")


def weak_files(config: Settings) -> Iterator[str]:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield "Lyceum runs as root: run it as a user of its own."
    url = make_url(config.database_url)
    private = [ENV, config.media_dir]
    if url.get_backend_name() == "sqlite":
        private.append(Path(url.database or ""))
    yield from open_to_others(private)
    folder = next((path for path in (config.data_dir, Path()) if path.exists()), Path())
    if shutil.disk_usage(folder).free < FEW_BYTES:
        free = f"Less than {FEW_BYTES // 10**9} GB is free"
        yield f"{free} on the disk of {folder.absolute()}: make room."


def open_to_others(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield f"{path} can be read by other users of this machine: chmod go= {path}"


def weak_data(config: Settings) -> Iterator[str]:
    try:
        with opened(config) as database:
            check_schema(database)
            damaged = [*damage(database)]
            yield from damaged or (*weak_accounts(database), *broken_books(database))
    except (RefusedError, SchemaError) as error:
        yield str(error)


def weak_accounts(database: Database) -> Iterator[str]:
    with database.read() as session:
        admins = StaffCRUD(session).admins()
        tokens = ApiTokenCRUD(session).live()
    if not admins:
        yield "There is no administrator: python -m backend.cli create-admin"
    for admin in admins:
        if admin.password_hash is None:
            yield f"{admin.login or admin.name} has no password yet: set one in the settings."
    for token in tokens:
        if token.last_used_at is None and token.user_id is None and token.name != BUILT_IN_BOT:
            yield f"The API token {token.name!r} was never used: revoke it in the settings."


def broken_books(database: Database) -> Iterator[str]:
    """Rules of the money that do not hold: nothing of ours should ever break one."""
    with database.read() as session:
        broken = LedgerCRUD(session).problems()
    for problem in broken:
        yield f"The books do not agree: {problem}. Make a backup and report this."


def damage(database: Database) -> Iterator[str]:
    if not database.is_sqlite:
        return
    try:
        with database.engine.connect() as connection:
            verdict = first_line(connection.exec_driver_sql("PRAGMA quick_check").scalars().first())
    except SQLAlchemyError as error:
        verdict = first_line(getattr(error, "orig", None) or error)
    if verdict != "ok":
        yield f"The database is damaged ({verdict}): restore the last backup."
