"""SQLite's trigram index falls into pieces as rows are written, and a search asks each: they are put together again."""

from sqlalchemy import ColumnClause, column, func, insert, select, table
from sqlalchemy.orm import Session

from backend.database.base import Base
from backend.database.search.keys import Searchable
from backend.database.search.lookup import index_name

PAGES = 200  # written in one transaction, of 4 KB each: others wait 30 ms
IDLE = 1  # "row" of a merge that does nothing: https://sqlite.org/fts5.html#the_merge_command
SMALL = 10  # the other pieces may have so many times fewer pages than the largest


def put_together(session: Session) -> bool:
    """A bounded step; True as long as there is more to do. PostgreSQL's vacuum does the same unasked."""
    return session.get_bind().dialect.name == "sqlite" and any(
        # What was begun is gone on with before anything is begun anew.
        _merge(session, name, PAGES) or (_in_pieces(session, name) and _merge(session, name, -PAGES))
        for name in indexes()
    )


def indexes() -> list[str]:
    models = [mapper.class_ for mapper in Base.registry.mappers]
    return sorted(index_name(model) for model in models if issubclass(model, Searchable))


def _in_pieces(session: Session, name: str) -> bool:
    piece: ColumnClause[int] = column("segid")
    pages = session.scalars(select(func.count()).select_from(table(f"{name}_idx", piece)).group_by(piece)).all()
    return len(pages) > 1 and (sum(pages) - max(pages)) * SMALL >= max(pages)


def _merge(session: Session, name: str, pages: int) -> bool:
    """Whether there was anything to do: then more rows were written than IDLE."""
    connection = session.connection()
    driver = connection.connection.dbapi_connection
    assert driver is not None
    before: int = driver.total_changes
    index = table(name, column(name), column("rank"))
    connection.execute(insert(index).values({name: "merge", "rank": pages}))
    return bool(driver.total_changes - before > IDLE)
