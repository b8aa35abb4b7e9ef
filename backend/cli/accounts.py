"""People and tokens from the terminal: whoever reaches it owns the machine and may do anything."""

import sys
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from backend.cli.console import OPERATOR, RefusedError, note, opened, ready_database, seal_now, settings
from backend.cli.school import bring_up
from backend.core import passwords, security
from backend.core.config import Settings
from backend.core.events import Event
from backend.core.hosts import network
from backend.core.permissions import Permission, expand_scopes
from backend.database import audit
from backend.database.crud.auth import SIGN_IN, SIGN_IN_LINK, ApiTokenCRUD, OneTimeTokenCRUD
from backend.database.crud.locks import LockCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.users import User
from backend.database.session import Database

NAME_LENGTH = 100
Login = Annotated[str, typer.Argument(metavar="LOGIN", help="Login or e-mail.")]


def create_admin(
    login: Annotated[str, typer.Argument(metavar="[LOGIN]", help="What they sign in with.")] = "admin",
    name: Annotated[str, typer.Option(help="First name, shown in the school.")] = "",
    no_password: Annotated[
        bool,
        typer.Option("--no-password", help="Print a one-time link instead of asking for a password."),
    ] = False,
) -> None:
    """Make an administrator.

    Asks for a password; without a terminal it prints a one-time link instead.
    """
    config = settings()
    with opened(config) as database:
        bring_up(database)
        with database.read() as session:
            if UserCRUD(session).find_by_login(login):
                raise RefusedError(
                    f"There is a {login} already: sign-in-link {login} lets them in, unlock {login} ends a lock."
                )
        asked = "" if no_password or not at_terminal() else _ask_password(login, name)
        user_id = _add(database, login, asked, name)
        link = "" if asked else make_link(database, config, user_id)
        seal_now(database, config)
        note(f"{login} is an administrator now.")
        if link:
            typer.echo(link)
            note(link_note())


def _add(database: Database, login: str, password: str, name: str) -> int:
    hashed = security.hash_password(password) if password else None

    def add(session: Session) -> int:
        return StaffCRUD(session).add_admin(login, password_hash=hashed, first_name=name).id

    return database.run(add, OPERATOR)


def at_terminal() -> bool:
    return sys.stdin.isatty()


def _ask_password(login: str, name: str) -> str:
    while True:
        password: str = typer.prompt("Password (at least 12 characters)", hide_input=True, err=True)
        wrong = passwords.problem(password, login, name)
        if wrong is None:
            break
        note(wrong)
    if typer.prompt("Once more", hide_input=True, err=True) != password:
        raise RefusedError("The two passwords differ: nothing was changed. Run the command again.")
    return password


def sign_in_link(login: Login) -> None:
    """Print an address that signs this person in once, within a quarter of an hour."""
    config = settings()
    with ready_database() as database:
        typer.echo(make_link(database, config, _person(database, login).id))
        note(link_note())


def make_link(database: Database, config: Settings, user_id: int) -> str:
    def issue(session: Session) -> str:
        audit.note(session, Event.LINK_CREATED, user_id=user_id)
        return OneTimeTokenCRUD(session).issue(user_id, SIGN_IN, SIGN_IN_LINK)

    return f"{config.url}/enter/{database.run(issue, OPERATOR)}"


def link_note() -> str:
    return f"It works once, for {int(SIGN_IN_LINK.total_seconds() // 60)} minutes."


def _person(database: Database, login: str) -> User:
    with database.read() as session:
        user = UserCRUD(session).find_by_login(login)
        if user is None:
            known = ", ".join(filter(None, (person.login or person.email for person in StaffCRUD(session).admins())))
            raise RefusedError(f"There is no {login}. Administrators: {known or 'none, see create-admin'}.")
        if not user.is_active:
            raise RefusedError(f"The account of {login} is switched off.")
        return user


def create_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What uses it: bot, website, ...")],
    scope: Annotated[
        list[str],
        typer.Option(help="A right, such as users:write; `bot` is all that the bot needs."),
    ],
) -> None:
    """Make an API token of the school and print it, this once."""
    try:
        scopes = expand_scopes(scope)
    except ValueError as error:
        known = ", ".join(permission.value for permission in Permission)
        raise RefusedError(f"There is no right {error}. Known: {known}.") from error
    if not 1 <= len(name.strip()) <= NAME_LENGTH:
        raise RefusedError(f"The name must have 1 to {NAME_LENGTH} characters.")

    def issue(session: Session) -> str:
        audit.note(session, Event.TOKEN_CREATED, name=name.strip(), scopes=sorted(scopes))
        return ApiTokenCRUD(session).issue(name.strip(), scopes)[1]

    with ready_database() as database:
        text = database.run(issue, OPERATOR)
    typer.echo(text)
    note("It is stored only as a hash: keep it now. The settings page revokes it.")


def unlock(
    login: Annotated[str, typer.Argument(metavar="[LOGIN]", help="Login or e-mail.")] = "",
    address: Annotated[str, typer.Option(help="A network address that has tried too often.")] = "",
    everyone: Annotated[bool, typer.Option("--everyone", help="What all attempts together have used up.")] = False,
) -> None:
    """Forget failed attempts of a person, an address or everyone, so that they can try again at once."""
    if not (login or address or everyone):
        raise RefusedError("Say whose lock to lift: a login, --address 203.0.113.7 or --everyone.")
    with ready_database() as database:
        if login:
            user_id = _person(database, login).id
            database.run(lambda session: LockCRUD(session).lift(user_id), OPERATOR)
            note(f"{login} may try to sign in again.")
        if address:
            database.run(lambda session: LockCRUD(session).lift_address(network(address)), OPERATOR)
            note(f"{address} may try again.")
        if everyone:
            database.run(lambda session: LockCRUD(session).lift_common(), OPERATOR)
            note("Everyone may try again.")
