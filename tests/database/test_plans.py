"""Every sort of every list walks an index: a page costs the same whatever the depth and the size of the table."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

import backend.routes  # noqa: F401 - imports every domain
from backend.database.crud.base import BaseCRUD


def lists(cls: type[Any] = BaseCRUD) -> Iterator[type[Any]]:
    for child in cls.__subclasses__():
        if child.sorts:
            yield child
        yield from lists(child)


LISTS = sorted(set(lists()), key=lambda cls: cls.__name__)
SORTS = [(cls, name) for cls in LISTS for name in ("id", *cls.sorts)]


@pytest.mark.parametrize(("cls", "name"), SORTS, ids=[f"{cls.__name__}-{name}" for cls, name in SORTS])
@pytest.mark.parametrize("descending", [False, True], ids=["up", "down"])
def test_a_sort_walks_an_index(db: Session, cls: type[Any], name: str, descending: bool) -> None:
    columns = {"id": cls.model.id, **cls.sorts}[name], cls.model.id
    order = [column.desc() if descending else column.asc() for column in columns]
    statement = cls.list_statement().order_by(*order).limit(51)
    sql = statement.compile(db.get_bind(), compile_kwargs={"literal_binds": True})
    plain = str(sql).replace(":", "\\:")

    assert sorting(db, plain) == []


def sorting(db: Session, sql: str) -> list[str]:
    """The steps of the plan that sort rows. Empty tables are sorted gladly, so PostgreSQL is asked to avoid it."""
    if db.get_bind().dialect.name == "sqlite":
        return [row[3] for row in db.execute(text(f"EXPLAIN QUERY PLAN {sql}")) if "ORDER BY" in row[3]]
    connection = db.connection()
    for name in ("enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin"):
        connection.execute(text(f"SET {name} = off"))
    try:
        plan = connection.execute(text(f"EXPLAIN {sql}")).scalars().all()
    finally:
        connection.execute(text("RESET ALL"))
    # A sort of what an index has half sorted already, ties by id, is of a few rows.
    return [line for line in plan if "Sort  (" in line and "Incremental" not in line]


def test_there_are_lists_to_look_at() -> None:
    assert {"StudentCRUD", "SaleCRUD", "LessonCRUD", "PaymentListCRUD"} <= {cls.__name__ for cls in LISTS}
