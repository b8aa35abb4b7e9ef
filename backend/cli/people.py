"""Personal data from the terminal: all of one person's as a file, and the end of it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer
from sqlalchemy.orm import Session

from backend.cli.console import OPERATOR, RefusedError, note, ready_database
from backend.database import personal
from backend.database.crud.users import UserCRUD
from backend.database.models.users import User

Person = Annotated[str, typer.Argument(metavar="PERSON", help="Number in the school, login or e-mail.")]


def _gone(session: Session, person: str) -> personal.Gone | None:
    """Who was deleted, by their number: the history holds their data."""
    return personal.gone(session, int(person)) if person.isascii() and person.isdecimal() else None


def _found(session: Session, person: str) -> User:
    users = UserCRUD(session)
    number = int(person) if person.isascii() and person.isdecimal() else 0
    found = users.find_by_id(number) or users.find_by_login(person)
    if found is None:
        raise RefusedError(f"There is no person {person}: take the number from the address of their page.")
    return found


@contextmanager
def _new(file: Path) -> Iterator[TextIO]:
    """A file that nobody else reads and that was not there; it goes again when what was to stand in it did not come."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise RefusedError(f"{file} could not be written: {error.strerror or error}.") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            yield stream
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def export_person(
    person: Person,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the JSON goes; it must not exist.")],
) -> None:
    """Write all that is known of one person into FILE."""
    with _new(file) as stream:  # first: the history shall not tell of a copy that nobody got
        with ready_database() as database:
            found = database.run(lambda session: personal.dossier(session, _found(session, person).id), OPERATOR)
        json.dump(found, stream, ensure_ascii=False, indent=1)
    note(f"{file}: all that the school knows of {found['person']['first_name']}. It is personal: keep it safe.")


def erase_person(
    person: Person,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the name.")] = False,
) -> None:
    """Erase the personal data of one person for good; purchases and payments stay in the books, of nobody.

    A person who was deleted is called by the number in the history, which still holds the data.

    The database file is written anew afterwards, so that nothing is left in its free pages.
    """
    with ready_database() as database:
        with database.read() as session:
            user = _gone(session, person) or _found(session, person)
        if (
            not yes
            and typer.prompt(f"Nothing brings the data back. Type the name ({user.name})", err=True) != user.name
        ):
            raise RefusedError("That is another name: nothing was changed.")
        database.run(lambda session: personal.Eraser(session).erase(user.id), OPERATOR)
        personal.scrub(database, whole=True)
    note(f"Erased. Number {user.id} is nobody now; backups made before still hold the data.")
