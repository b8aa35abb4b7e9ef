"""The part of `doctor` that looks into the database: accounts, tokens, books, the history, what waits."""

import shutil
from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from backend.cli.console import RefusedError, first_line, opened
from backend.core import clock
from backend.core.config import Settings
from backend.core.i18n import _
from backend.core.permissions import DEAR
from backend.core.text import date_text
from backend.database.chain.sealing import is_behind
from backend.database.chain.verifying import VERIFIED, glance
from backend.database.crud.alerts import AlertCRUD
from backend.database.crud.credentials import CredentialCRUD
from backend.database.crud.health import BACKED_UP, HealthCRUD
from backend.database.crud.ledger import LedgerCRUD
from backend.database.crud.roles import RoleCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.models.dispatches import EMAIL, TELEGRAM
from backend.database.schema import SchemaError, check_schema
from backend.database.session import Database

UNUSED_DAYS, BACKUP_DAYS, PROVED_DAYS, BEGUN_DAYS = 90, 7, 30, 90
STUCK = timedelta(hours=1)
SKEW = timedelta(seconds=10)


def weak_data(config: Settings) -> Iterator[str]:
    try:
        with opened(config) as database:
            check_schema(database)
            damaged = [*damage(database)]
            yield from damaged or (
                *weak_accounts(database, config), *unknown_roles(database, config), *unheard(database, config),
                *weak_tokens(database), *broken_books(database),
                *broken_chain(database, config), *neglected(database), *stuck(database, config), *lost(database),
            )  # fmt: skip
    except (RefusedError, SchemaError) as error:
        yield str(error)


def weak_storage(config: Settings) -> Iterator[str]:
    """Only of a database that opens: `weak_data` tells of any other."""
    try:
        with opened(config) as database, database.read() as session:
            careless = HealthCRUD(session).careless()
    except (RefusedError, SQLAlchemyError):
        return
    for name in careless:
        yield _("The database may lose what it has acknowledged (%(setting)s): put it back to its default.") % {
            "setting": name
        }


def damage(database: Database) -> Iterator[str]:
    if not database.is_sqlite:
        return
    try:
        with database.engine.connect() as connection:
            verdict = first_line(connection.exec_driver_sql("PRAGMA quick_check").scalars().first())
    except SQLAlchemyError as error:
        verdict = first_line(getattr(error, "orig", None) or error)
    if verdict != "ok":
        yield _("The database is damaged (%(verdict)s): restore the last backup.") % {"verdict": verdict}


def weak_accounts(database: Database, config: Settings) -> Iterator[str]:
    with database.read() as session:
        missing, admins = not StaffCRUD(session).admins(), StaffCRUD(session).leaders()
        bare = {admin.id for admin in admins if config.https and not CredentialCRUD(session).has_factor(admin.id)}
    if missing:
        yield _("There is no administrator: python -m backend.cli create-admin")
    for admin in admins:
        name = {"name": admin.login or admin.name}
        if admin.password_hash is None:
            yield _("%(name)s has no password yet: set one in the settings.") % name
        if admin.id in bare:
            yield _("%(name)s is an administrator without a second factor: set one up under Security.") % name


def unknown_roles(database: Database, config: Settings) -> Iterator[str]:
    with database.read() as session:
        known = {role.name.casefold() for role in RoleCRUD(session).of_staff()}
    for name in config.require_2fa_roles or ():
        if name.casefold() not in known:
            yield _("REQUIRE_2FA_ROLES names %(name)s, but there is no such role, so it has no effect.") % {
                "name": repr(name)
            }


def unheard(database: Database, config: Settings) -> Iterator[str]:
    """Where nothing can be sent at all, other lines tell of that."""
    if not (config.mail_on or config.bot_on):
        return
    with database.read() as session:
        alerts = AlertCRUD(session)
        deaf, all_of_them = alerts.deaf(alerts.choice()["alert_way"])
    if deaf and all_of_them:
        yield _(
            "Alerts reach nobody: give an administrator an email or a chat with the bot, or choose "
            "another delivery method in Settings."
        )


def weak_tokens(database: Database) -> Iterator[str]:
    with database.read() as session:
        tokens = HealthCRUD(session).tokens()
    long_ago = clock.now() - timedelta(days=UNUSED_DAYS)
    for token in tokens:
        name = {"name": repr(token.name), "days": UNUSED_DAYS}
        if token.last_used_at is None and token.user_id is None:
            yield _("The API token %(name)s was never used: revoke it in the settings.") % name
        if (token.last_used_at or token.created_at) < long_ago:
            yield _("The API token %(name)s has not been used for %(days)s days: revoke it in the settings.") % name
        if DEAR & set(token.scopes):
            yield _(
                "The API token %(name)s may change staff, roles, tokens or settings: make one with fewer rights."
            ) % name  # fmt: skip


def broken_books(database: Database) -> Iterator[str]:
    """Rules of the money that do not hold: nothing of ours should ever break one."""
    with database.read() as session:
        broken = LedgerCRUD(session).problems()
    for problem in broken:
        yield _("The ledger does not balance: %(problem)s. Make a backup and report this.") % {"problem": problem}


def broken_chain(database: Database, config: Settings) -> Iterator[str]:
    """The head of the chain over the history and what was found before; `audit verify` reads all of it."""
    with database.read() as session:
        health = HealthCRUD(session)
        known, waits = health.break_of_chain(), health.unsealed_for()
        begun = health.begun_over(clock.now() - timedelta(days=BEGUN_DAYS))
    problem = glance(database, config) or known
    if problem:
        yield _("The history chain is broken: %(problem)s Run `python -m backend.cli audit verify`.") % {
            "problem": problem
        }
    elif waits > STUCK and is_behind(database):
        yield _("Nobody seals the history: set RUN_JOBS=1, or start python -m backend.jobs.")
    if begun:
        yield _(
            "The history chain was started on %(date)s over history that was already there. After an upgrade or "
            "`audit restart` that is expected; otherwise somebody may have changed the history (docs/security.md)."
        ) % {"date": date_text(begun)}


def neglected(database: Database) -> Iterator[str]:
    """What nobody has done for long, in a school that is old enough for it."""
    with database.read() as session:
        health = HealthCRUD(session)
        ages = {key: health.since(key) or health.age() for key in (BACKED_UP, VERIFIED)}
    # PostgreSQL may be saved by tools of its own, on another machine.
    ours = database.is_sqlite or shutil.which("pg_dump")
    if ours and ages[BACKED_UP] > timedelta(days=BACKUP_DAYS):
        yield _("No backup for %(days)s days: python -m backend.cli backup FILE") % {"days": ages[BACKED_UP].days}
    if ages[VERIFIED] > timedelta(days=PROVED_DAYS):
        yield _("The history was not checked as a whole for %(days)s days: python -m backend.cli audit verify") % {
            "days": ages[VERIFIED].days
        }


def stuck(database: Database, config: Settings) -> Iterator[str]:
    channels = [name for name, on in ((TELEGRAM, config.bot_on), (EMAIL, config.mail_on)) if on]
    with database.read() as session:
        waiting = sum(HealthCRUD(session).stuck(channel, STUCK) for channel in channels)
    if waiting:
        yield _(
            "Messages that wait for more than an hour: %(count)s. See whether the jobs run, and the outbox page."
        ) % {"count": waiting}


def lost(database: Database) -> Iterator[str]:
    with database.read() as session:
        unopened, lead = HealthCRUD(session).unopened(), HealthCRUD(session).clock_lead()
    if unopened:
        yield _(
            "Stored secrets that no key can decrypt: %(count)s. Put the old key after the new one in "
            "SECRET_KEY and run rotate-keys."
        ) % {"count": unopened}
    if lead > SKEW:
        yield _("The clock is wrong by %(seconds)s seconds, or the database's: set both by NTP.") % {
            "seconds": int(lead.total_seconds())
        }
