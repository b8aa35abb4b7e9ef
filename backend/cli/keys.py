"""`rotate-keys`: the second step of a change of SECRET_KEY."""

import typer

from backend.cli.console import OPERATOR, note, ready_database, settings
from backend.database.crud.keys import KeyCRUD


def rotate_keys() -> None:
    """Store everything under the first key of SECRET_KEY, so that the keys behind it can be taken out.

    Exit code 1: something opens under none of the keys.
    """
    config = settings()
    with ready_database() as database:
        sealed, lost = database.run(lambda session: KeyCRUD(session).rotate(), OPERATOR)
    typer.echo(f"{sealed} secrets are stored under the first key.")
    if lost:
        note(f"{lost} open under none of the keys: people have to set up their codes anew, letters must be sent again.")
        raise typer.Exit(1)
    if len(config.secret_keys) > 1:
        note("Sign-ins of the last 12 hours go on until the old keys are taken out of SECRET_KEY; then restart.")
