"""`audit`: proves the chain of the history, and begins it anew when it cannot be mended."""

import time
from typing import Annotated

import typer
from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from backend.cli.console import OPERATOR, RefusedError, note, ready_database, settings
from backend.core import clock
from backend.core.config import Settings
from backend.database.chain import witness
from backend.database.chain.redacting import note_restart
from backend.database.chain.sealing import BROKEN, HEAD, close, seal
from backend.database.chain.verifying import VERIFIED, Verdict
from backend.database.chain.verifying import verify as prove
from backend.database.crud.settings import SettingCRUD
from backend.database.models.audit import AuditBlock, AuditRedaction
from backend.database.models.system import Setting

app = typer.Typer(help="The chain over the history: proves that nobody changed what was written.", no_args_is_help=True)


@app.command()
def verify(
    head: Annotated[
        str, typer.Option(help="A head that was noted before, ID:HASH; it must still be in the chain.")
    ] = "",
) -> None:
    """Check every row of the history. Exit code 0: all as it was written; 1: it names what is not."""
    if head and not head.partition(":")[0].isdecimal():
        raise RefusedError("--head is what an earlier verify printed: a number, a colon and 64 letters and digits.")
    config = settings()
    with ready_database() as database:
        mark = database.run(close)  # before it is proved: nothing that follows changes it
        began = time.monotonic()
        found = prove(database, config, head)
        spent = time.monotonic() - began
        database.run(lambda session: _remember(session, found))
    if found.problem:
        raise RefusedError(f"{found.problem} The history was changed outside the program: see docs/security.md.")
    typer.echo(f"{found.rows:,} rows in {found.blocks:,} blocks are as they were written ({spent:.1f} s).")
    if found.waiting:
        note("What was written in the last seconds is not sealed yet.")
    if mark:
        note(f"Keep this elsewhere and give it to the next verify: --head {mark}")


def _remember(session: Session, found: Verdict) -> None:
    told = {"at": clock.now().isoformat(), "rows": found.rows, "problem": found.problem}
    SettingCRUD(session).put(VERIFIED, told)


@app.command()
def restart(reason: Annotated[str, typer.Argument(help="Why, for the history.")]) -> None:
    """Begin the chain anew over the history as it is now, after a break that was looked into."""
    config = settings()
    with ready_database() as database:
        problem = prove(database, config).problem
        database.run(lambda session: _forget(session, config, reason, problem), OPERATOR)
        seal(database, config, OPERATOR)
    note("A new chain covers the history as it is.")


def _forget(session: Session, config: Settings, reason: str, problem: str | None) -> None:
    if session.get_bind().dialect.name != "sqlite":
        # An erasure at work has the number of its event: it ends first, so that its redactions go as well; one that
        # begins now gets a number behind the restart's. SQLite has one writer at a time.
        session.execute(text("LOCK TABLE security_events IN SHARE ROW EXCLUSIVE MODE"))
    session.execute(delete(AuditBlock))
    session.execute(delete(AuditRedaction))
    session.execute(delete(Setting).where(Setting.key.in_((HEAD, BROKEN, VERIFIED))))
    note_restart(session, reason, problem)
    witness.forget(config)
