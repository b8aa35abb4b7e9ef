"""`doctor`: everything weak about this installation, each with its remedy."""

import ipaddress
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import typer
from sqlalchemy.engine import URL, make_url

from backend.cli.checkup import weak_data, weak_storage
from backend.cli.console import ENV, settings
from backend.core import passwords
from backend.core.config import Settings
from backend.core.hosts import is_ip, is_loopback
from backend.core.i18n import _, current_language, negotiate
from backend.core.permissions import ADMIN, SYSTEM_ROLES

LONG_ACCESS_MINUTES = 15
WIDEST, WIDEST_6, WIDEST_MAPPED = 8, 32, 96 + 8  # bits of the widest network of proxies; of IPv4 written as IPv6
FEW_BYTES, FEW_SHARE = 1_000_000_000, 0.05
WEAK_DATABASE_PASSWORDS = frozenset({"", "postgres", "password", "admin", "lyceum", "secret"})


def doctor() -> None:
    """List every weak setting, in the language of the terminal (LANG). Exit code 0: none; 1: some."""
    config = settings()
    spoken = current_language.set(negotiate(terminal_language()))
    try:
        found = [*weak_settings(config), *weak_files(config), *weak_storage(config), *weak_data(config)]
        for line in found:
            typer.echo(f"- {line}")
        if found:
            typer.echo(_("To fix: %(count)s.") % {"count": len(found)})
            raise typer.Exit(1)
        typer.echo(_("Nothing weak was found."))
    finally:
        current_language.reset(spoken)


def terminal_language() -> str:
    """As Accept-Language says it: "ru-RU.UTF-8"."""
    told = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return next(filter(None, told), "").replace("_", "-")


def weak_settings(config: Settings) -> Iterator[str]:
    public = not is_loopback(config.host)
    wide = ",".join(filter(_is_wide, config.trusted_proxies))
    proxies = public and not config.trusted_proxies and (config.https or is_loopback(config.api_host))
    found = (
        (public and not config.https, _(
            "BASE_URL is plain http: anyone on the way can read passwords and take over sessions. Use https://."
        )),
        (config.allow_http and (config.https or not public), _("ALLOW_HTTP=1 is no longer needed: remove it.")),
        (config.debug, _("DEBUG is on: set DEBUG=0 for a school with real students.")),
        (config.sandbox_on, _(
            "SANDBOX is on: sales are test sales. Set TELEGRAM_BOT_TOKEN and SANDBOX=0 to sell."
        )),
        (not config.bot_on, _("No bot: set TELEGRAM_BOT_TOKEN, or students cannot reach the school.")),
        (not config.mail_on, _(
            "No email: set SMTP_URL, or every email waits in the outbox for someone to pass it on."
        )),
        (config.registration and not config.mail_on, _(
            "REGISTRATION is open, but emails cannot be confirmed: set SMTP_URL, or REGISTRATION=0."
        )),
        (config.api_rate_limit == 0, _(
            "API_RATE_LIMIT=0 lets one client take all of the server: leave it at 1200."
        )),
        (config.access_token_expire_minutes > LONG_ACCESS_MINUTES, _(
            "ACCESS_TOKEN_EXPIRE_MINUTES is long: 15 is enough, refresh tokens do the rest."
        )),
        (config.remember_days > 0, _(
            "REMEMBER_DAYS keeps idle sessions signed in: 0 ends a session after an idle hour and 12 hours at most."
        )),
        (config.https and not config.needs_factor(ADMIN, SYSTEM_ROLES[ADMIN]), _(
            "REQUIRE_2FA_ROLES lets administrators in with a password alone: remove it, or add their role to it."
        )),
        (len(config.secret_keys) > 1, _(
            "SECRET_KEY still lists old keys: run rotate-keys, wait 12 hours, then take them out."
        )),
        (bool(wide), _(
            "TRUSTED_PROXIES=%(proxies)s lets everyone choose their address and so escape the limits: name the proxy's"
            " address."
        ) % {"proxies": wide}),
        (proxies, _(
            "BASE_URL is public and a proxy passes requests on, but TRUSTED_PROXIES is empty: all visitors share one"
            " address, and its limits. Set TRUSTED_PROXIES=127.0.0.1."
        )),
    )  # fmt: skip
    yield from (words for weak, words in found if weak)
    yield from weak_lines(config)
    yield from weak_secrets(config)


def _is_wide(proxy: str) -> bool:
    """Whether it is everyone, or nobody's own: 10.0.0.0/8 is the widest network that somebody has to themselves."""
    try:
        network = ipaddress.ip_network(proxy, strict=False)
    except ValueError:
        return proxy == "*"
    if isinstance(network, ipaddress.IPv4Network):
        return network.prefixlen < WIDEST
    return network.prefixlen < (WIDEST_MAPPED if network.network_address.ipv4_mapped else WIDEST_6)


def weak_lines(config: Settings) -> Iterator[str]:
    """Other services that are spoken to in the clear."""
    if config.telegram_api_url.startswith("http://") and _elsewhere(urlsplit(config.telegram_api_url).hostname):
        yield _("TELEGRAM_API_URL is plain http to another machine: the bot's token can be read on the way.")
    redis = urlsplit(config.redis_url)
    if redis.scheme == "redis" and _elsewhere(redis.hostname):
        yield _("Redis is on another machine without TLS: use rediss:// in REDIS_URL.")
    if config.mail_on and _elsewhere(config.mail_server.host) and config.mail_server.in_clear:
        yield _("Emails are sent unencrypted: remove ?tls=off from SMTP_URL.")
    url = make_url(config.database_url)
    safe = url.query.get("sslmode") in ("require", "verify-ca", "verify-full")
    if url.get_backend_name() == "postgresql" and any(map(_elsewhere, _hosts(url))) and not safe:
        yield _("The database is on another machine without TLS: add ?sslmode=verify-full to DATABASE_URL.")


def _elsewhere(host: str | None) -> bool:
    """A name without a dot is a neighbour, such as the other containers of docker-compose.yml."""
    return ("." in (host or "") or is_ip(host or "")) and not is_loopback(host or "")


def _hosts(url: URL) -> list[str]:
    """Where the database is: libpq takes several, and in the query as well. No host: a socket of this machine."""
    told = url.query.get("hostaddr") or url.query.get("host") or url.host or ""
    found = [one for entry in ([told] if isinstance(told, str) else told) for one in entry.split(",")]
    bare = (one if is_ip(one) else re.sub(r":\d*$", "", one) for one in found)
    return [one for one in bare if one and not one.startswith("/")]


def weak_secrets(config: Settings) -> Iterator[str]:
    password = config.admin_password.get_secret_value()
    if password:
        yield _("ADMIN_PASSWORD is still set: it is needed for the first start only, take it out.")
        if passwords.problem(password, config.admin_username):
            yield _("ADMIN_PASSWORD is easy to guess: change it in the settings of the school.")
    url = make_url(config.database_url)
    guessed = str(url.password or "").lower() in WEAK_DATABASE_PASSWORDS
    if url.get_backend_name() == "postgresql" and guessed and not all(map(is_loopback, _hosts(url))):
        yield _("DATABASE_URL has no password or one that everyone tries first: give the database user a random one.")


def weak_files(config: Settings) -> Iterator[str]:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        yield _("Lyceum runs as root: run it as a user of its own.")
    url = make_url(config.database_url)
    private = [ENV, config.data_dir, config.media_dir]
    if url.get_backend_name() == "sqlite":
        file = Path(url.database or "")
        private += [file, file.with_name(f"{file.name}-wal"), file.parent / "backups"]
    yield from open_to_others(private)
    folder = next((path for path in (config.data_dir, Path()) if path.exists()), Path())
    disk = shutil.disk_usage(folder)
    if disk.free < max(FEW_BYTES, disk.total * FEW_SHARE):
        yield _("Only %(free)s GB are free on the disk of %(folder)s: make room.") % {
            "free": f"{disk.free / 10**9:.1f}", "folder": folder.absolute(),
        }  # fmt: skip


def open_to_others(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield _("%(path)s can be read by other users of this machine: chmod go= %(path)s") % {"path": path}
