"""The operator's commands: `python -m backend.cli COMMAND --help`."""

import typer

from backend.cli import accounts, archive, auditing, doctor, keys, people, school, serving
from backend.cli.console import Commands

app = typer.Typer(
    name="lyceum",
    cls=Commands,
    help="Runs and keeps a Lyceum school.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("serve")(serving.serve)
app.command("migrate")(school.migrate)
app.command("demo")(school.demo)
app.command("doctor")(doctor.doctor)
app.command("create-admin")(accounts.create_admin)
app.command("createadmin", hidden=True)(accounts.create_admin)
app.command("sign-in-link")(accounts.sign_in_link)
app.command("create-token")(accounts.create_token)
app.command("unlock")(accounts.unlock)
app.command("rotate-keys")(keys.rotate_keys)
app.command("export-person")(people.export_person)
app.command("erase-person")(people.erase_person)
app.command("backup")(archive.backup)
app.command("restore")(archive.restore)
app.add_typer(auditing.app, name="audit")


def main() -> None:
    app()
