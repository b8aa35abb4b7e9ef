"""Every sort of every list walks an index: a page costs the same whatever the depth and the size of the table. So do
the figures that every visit of a page adds up."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import PrimaryKeyConstraint, Table, UniqueConstraint, event, func, select, text
from sqlalchemy.orm import Session

import backend.routes  # noqa: F401 - imports every domain
from backend.core import clock
from backend.database import walking
from backend.database.base import Base
from backend.database.crud.base import BaseCRUD
from backend.database.crud.desk import reading
from backend.database.crud.revenue import REVENUE
from backend.database.crud.staff import StaffCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.listing import PAGE_CAP
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.schemas.users import StudentFilters
from backend.database.search.lookup import Lookup
from backend.database.search.made import KIND, SHIFTS
from tests.factories import make_user


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
    found = explained(db, sql, "seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin")
    # A sort of what an index has half sorted already, ties by id, is of a few rows.
    return [line for line in found if "Sort  (" in line and "Incremental" not in line]


def explained(db: Session, sql: str, *avoided: str) -> list[str]:
    """The plan of PostgreSQL where it avoids what it can; set for the whole session, which begins no transaction."""
    connection = db.connection()
    for name in avoided:
        connection.execute(text(f"SET enable_{name} = off"))
    try:
        return list(connection.execute(text(f"EXPLAIN {sql}")).scalars())
    finally:
        connection.execute(text("RESET ALL"))


@pytest.mark.parametrize(
    ("asked", "sort", "index"),
    [
        ({"bought": "no"}, "-created_at", "ix_users_role_created"),
        ({"bought": "no"}, "purchases", "ix_users_role_purchases"),
        ({"bought": "no"}, "-spent", "ix_users_role_spent"),
        ({"spent_min": 500}, "-created_at", "ix_users_role_created"),
        ({"spent_min": 500}, "name", "ix_users_role_name"),
        ({"purchases_min": 2, "spent_max": 500}, "-spent", "ix_users_role_spent"),
        ({"username": "no"}, "-created_at", "ix_users_unnamed"),
    ],
)
def test_a_filter_of_many_rows_sorts_none(
    db: Session, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], sort: str, index: str
) -> None:
    """And its count reads no row: the pages of SQLite, which has no statistics to tell it better."""
    if db.get_bind().dialect.name != "sqlite":
        return
    monkeypatch.setattr(walking, "FEW", -1)
    sent: list[tuple[str, Any]] = []
    event.listen(db.get_bind(), "before_cursor_execute", lambda *sql: sent.append((sql[2], sql[3])))
    first = StudentCRUD(db).get_all(StudentFilters(sort=sort, **asked), cap=PAGE_CAP)
    assert list(first.items) == []
    count, page = [
        [row[3] for row in db.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
        for statement, values in sent[-2:]
    ]
    assert [step for step in page if "ORDER BY" in step] == []
    (counted,), (walked,) = ([step for step in steps if step.startswith("SEARCH users")] for steps in (count, page))
    assert (f"USING INDEX {index} " in walked, "COVERING INDEX" in counted) == (True, True), (count, page)


@pytest.mark.parametrize("thing", ["lesson", "course"])
def test_whoever_has_a_lesson_is_found_in_the_index_of_it(db: Session, thing: str) -> None:
    """Its rows are those of the question, so that no purchase is read, though the plan cannot say it."""
    if db.get_bind().dialect.name != "sqlite":
        return
    sent: list[tuple[str, Any]] = []
    event.listen(db.get_bind(), "before_cursor_execute", lambda *sql: sent.append((sql[2], sql[3])))
    StudentCRUD(db).get_all(StudentFilters(**{f"{thing}_id": 7}), cap=PAGE_CAP)
    for statement, values in sent[-2:]:
        found = [row[3] for row in db.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
        searched = [step for step in found if "purchases" in step]
        assert searched == [f"SEARCH purchases USING INDEX uq_purchases_owned_{thing} ({thing}_id=?)"]


def test_names_in_telegram_are_looked_up(db: Session) -> None:
    sent: list[tuple[str, Any]] = []
    event.listen(db.get_bind(), "before_cursor_execute", lambda *sql: sent.append((sql[2], sql[3])))
    assert list(StaffCRUD(db).candidates("@Masha")) == []
    statement, values = sent[-1]
    assert "lower(users_1.username) = " in statement
    if db.get_bind().dialect.name == "sqlite":
        found = "".join(row[3] for row in db.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values))
    else:  # of no people at all PostgreSQL reads any index
        found = plan(db, select(User.id).where(func.lower(User.username) == "masha"))
    assert "users_username_search" in found


def test_there_are_lists_to_look_at() -> None:
    assert {"StudentCRUD", "SaleCRUD", "LessonCRUD", "PaymentListCRUD"} <= {cls.__name__ for cls in LISTS}


def test_the_overview_adds_revenue_up_inside_its_index(db: Session) -> None:
    statement = select(func.sum(Purchase.amount)).where(REVENUE, Purchase.created_at < clock.now())

    assert "_revenue" in plan(db, statement)


def test_the_desk_counts_no_closed_ticket(db: Session) -> None:
    found = plan(db, reading(counts=True, tab="", thread=False, bought=False).params(me=1))

    if db.get_bind().dialect.name == "sqlite":
        assert "ix_support_tickets_undone" in found
    else:  # has statistics, and of a few rows it may read others' indexes
        assert "Index" in found


@pytest.mark.parametrize("tab", ["waiting", "mine", "all"])
def test_a_ticket_page_walks_through_no_table(db: Session, tab: str) -> None:
    """But through the few roles; the queue and what is counted are walks along an index that end early."""
    found = plan(db, reading(counts=True, tab=tab, thread=True, bought=True).params(me=1, ticket=1))

    if db.get_bind().dialect.name == "sqlite":
        walks = {line for line in found.splitlines() if line.startswith("SCAN") and "anon_" not in line}
        assert walks - {"SCAN CONSTANT ROW", "SCAN roles"} <= {
            "SCAN support_tickets USING INDEX ix_support_tickets_last"
        }
    else:
        assert set(re.findall(r"Seq Scan on (\w+)", found)) <= {"roles"}


def plan(db: Session, statement: Any) -> str:
    sql = statement.compile(db.get_bind(), compile_kwargs={"literal_binds": True})
    plain = str(sql).replace(":", "\\:")
    if db.get_bind().dialect.name == "sqlite":
        return "\n".join(row[3] for row in db.execute(text(f"EXPLAIN QUERY PLAN {plain}")))
    return "\n".join(explained(db, plain, "seqscan"))


def test_whatever_refers_to_a_row_is_found_by_an_index() -> None:
    """Else one row that is deleted is looked for in all rows of the other table, on both databases."""

    def leads(table: Table, column: str) -> bool:
        keys = [key for key in table.constraints if isinstance(key, UniqueConstraint | PrimaryKeyConstraint)]
        whole = [index for index in table.indexes if index.dialect_options["sqlite"].get("where") is None]
        return column in {next(iter(found.columns)).name for found in (*keys, *whole)}

    references = [
        (table, column.name)
        for table in Base.metadata.tables.values()
        for column in table.columns
        if column.foreign_keys
    ]
    assert [f"{table.name}.{column}" for table, column in references if not leads(table, column)] == []
    assert len(references) > 40


GROUPS = ("{244,243}", "{1099511627806,1099511627805}", "{2199023255555,2199023255554}")  # of a million


def test_the_newest_who_fit_are_found_in_the_index_of_the_search(db: Session) -> None:
    """Of a million people: PostgreSQL reads those of the newest groups of ids, not all. SQLite reads in order."""
    if db.get_bind().dialect.name == "sqlite":
        return
    sent: list[str] = []
    event.listen(db.get_bind(), "before_cursor_execute", lambda *sql: sent.append(sql[2] % sql[3]))
    lookup = Lookup(db, User)
    found, _order = lookup.joined(select(User.id), [[["ova "]]])
    make_user(db, id=999_500, last_name="Иванова")
    sent.clear()
    assert [row.id for row in lookup.among_newest(found, 3, top=1_000_000)] == [999_500]
    avoided = ("seqscan", "indexscan", "indexonlyscan")
    for statement, groups in zip(list(sent), GROUPS, strict=True):
        (searched,) = (line for line in explained(db, statement, *avoided) if "Index Cond" in line)
        assert "~~ '%ova %'" in searched
        assert f"&& '{groups}'::bigint[]" in searched


@pytest.mark.parametrize(("fitting", "asked"), [(0, [12]), (1, [12, 18]), (2, [12, 15, 18]), (9, [12])])
def test_a_larger_group_of_ids_is_asked_when_it_may_fill_the_page(db: Session, fitting: int, asked: list[int]) -> None:
    """Nine of the newest 4,096 fill a page of nine; two promise 16 of 32,768, one promises 8, and 64 of 262,144."""
    if db.get_bind().dialect.name == "sqlite":
        return
    for number in range(fitting):
        make_user(db, id=999_500 + number, last_name="Иванова")
    lookup = Lookup(db, User)
    found, _order = lookup.joined(select(User.id), [[["ova "]]])
    sent: list[str] = []
    event.listen(db.get_bind(), "before_cursor_execute", lambda *sql: sent.append(sql[2] % sql[3]))
    rows = lookup.among_newest(found, 9, top=1_000_000)
    assert [row.id for row in rows] == [999_500 + number for number in reversed(range(fitting))]
    groups = {f"ARRAY[{1_000_000 >> shift | kind * KIND}, ": shift for kind, shift in enumerate(SHIFTS)}
    assert [shift for sql in sent for text, shift in groups.items() if text in sql] == asked
