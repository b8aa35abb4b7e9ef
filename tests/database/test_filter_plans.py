"""What a filter leaves is found by an index when it is little, and met along the list's own order when it is much."""

from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from backend.database import walking
from backend.database.crud.base import BaseCRUD
from backend.database.crud.sales import PaymentListCRUD, SaleCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.crud.ticket_list import TicketListCRUD
from backend.database.crud.users import WAITING, StudentCRUD
from backend.database.listing import PAGE_CAP
from backend.database.schemas.base import ListParams
from backend.database.schemas.sales import PaymentQuery, SaleQuery
from backend.database.schemas.staff import StaffFilters
from backend.database.schemas.tickets import TicketListFilters
from backend.database.schemas.users import StudentFilters
from backend.database.session import Database

Asked = tuple[type[BaseCRUD[Any]], ListParams]

FEW: list[tuple[Asked, str]] = [
    ((StudentCRUD, StudentFilters(is_active=False)), "ix_users_off"),
    ((SaleCRUD, SaleQuery(is_test=True)), "ix_purchases_test"),
    ((SaleCRUD, SaleQuery(state="returned")), "ix_purchases_returned"),
    ((SaleCRUD, SaleQuery(state="gift")), "sqlite_autoindex_purchases"),
    ((PaymentListCRUD, PaymentQuery(is_test=True)), "ix_payments_test"),
    ((PaymentListCRUD, PaymentQuery(status="unmatched")), "ix_payments_unsettled"),
    ((PaymentListCRUD, PaymentQuery(refund="failed")), "ix_refunds_status"),
    ((TicketListCRUD, TicketListFilters(assignee_id=5)), "ix_support_tickets_assignee_created"),
    ((TicketListCRUD, TicketListFilters(status="open")), "ix_support_tickets_status_created"),
    ((TicketListCRUD, TicketListFilters(waiting=True)), "ix_support_tickets_waiting"),
    ((TicketListCRUD, TicketListFilters(answered=False)), "ix_support_tickets_unanswered"),
    ((StaffCRUD, StaffFilters(sort="name")), "ix_users_role"),
    ((StaffCRUD, StaffFilters(state="active", sort="-name")), "ix_users_role"),
]
MANY: list[tuple[Asked, str]] = [
    ((SaleCRUD, SaleQuery(state="paid")), "ix_purchases_created"),
    ((SaleCRUD, SaleQuery(state="gift")), "ix_purchases_created"),
    ((PaymentListCRUD, PaymentQuery(status="refunded")), "ix_payments_unsettled"),
    ((PaymentListCRUD, PaymentQuery(status="refunded", sort="amount")), "ix_payments_amount"),
    ((StudentCRUD, StudentFilters(is_active=False)), "ix_users_off"),
    ((StudentCRUD, StudentFilters(is_active=False, sort="name")), "ix_users_role_name"),
    ((PaymentListCRUD, PaymentQuery(refund="done")), "ix_payments_created"),
    ((TicketListCRUD, TicketListFilters(status="closed")), "ix_support_tickets_last"),
    ((TicketListCRUD, TicketListFilters(waiting=False)), "ix_support_tickets_last"),
    ((TicketListCRUD, TicketListFilters(assignee_id=5)), "ix_support_tickets_last"),
    ((StudentCRUD, StudentFilters(lesson_id=5)), "ix_users_role_created"),
]


def plan(db: Session, asked: Asked) -> list[str]:
    """The steps by which the rows of a page are read: those of the last statement, its count left out."""
    cls, params = asked
    sent: list[tuple[str, Any]] = []
    engine = db.get_bind()

    def note(*sql: Any) -> None:
        sent.append((sql[2], sql[3]))

    event.listen(engine, "before_cursor_execute", note)
    cls(db).get_all(params, cap=PAGE_CAP)
    event.remove(engine, "before_cursor_execute", note)
    statement, values = sent[-1]
    found = [row[3] for row in db.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    counting = next((at for at, step in enumerate(found) if step.startswith("SCALAR SUBQUERY")), len(found))
    return found[:counting]


def ids(asked: list[tuple[Asked, str]]) -> list[str]:
    return [f"{cls.__name__}-{params.model_dump(exclude_none=True)}" for (cls, params), _index in asked]


@pytest.mark.parametrize(("asked", "index"), FEW, ids=ids(FEW))
def test_few_rows_are_found(db: Session, asked: Asked, index: str) -> None:
    if db.get_bind().dialect.name == "sqlite":
        assert any(index in step for step in plan(db, asked))


def test_students_who_wait_are_found(db: Session) -> None:
    if db.get_bind().dialect.name == "sqlite":
        asked = str(WAITING.compile(db.get_bind(), compile_kwargs={"literal_binds": True})).replace(":", "\\:")
        steps = [row[3] for row in db.execute(text(f"EXPLAIN QUERY PLAN {asked}"))]
        assert [step for step in steps if "ix_support_tickets_waiting (waiting_since>?)" not in step] == []


@pytest.mark.parametrize(("asked", "index"), MANY, ids=ids(MANY))
def test_many_rows_are_met_along_the_order(
    db: Session, monkeypatch: pytest.MonkeyPatch, asked: Asked, index: str
) -> None:
    if db.get_bind().dialect.name == "sqlite":
        monkeypatch.setattr(walking, "FEW", -1)
        steps = plan(db, asked)
        assert any(index in step for step in steps)
        assert [step for step in steps if "ORDER BY" in step] == []


@pytest.mark.parametrize(
    ("table", "rule", "index"),
    [
        ("purchases", "is_test IS TRUE", "ix_purchases_test"),
        ("purchases", "amount > 0 AND revoked_at IS NOT NULL", "ix_purchases_returned"),
        ("payments", "is_test IS TRUE", "ix_payments_test"),
        ("payments", "status = 'unmatched' AND status != 'settled'", "ix_payments_unsettled"),
        ("users", "role_id = 5 AND is_active IS FALSE", "ix_users_off"),
    ],
)
def test_postgresql_may_use_the_index_of_what_is_seldom(database: Database, table: str, rule: str, index: str) -> None:
    """Empty tables make all indexes equal: without the others of this order, the one of what is seldom is left."""
    if database.is_sqlite:
        return
    with database.engine.connect() as connection, connection.begin() as around:
        for name in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
            connection.execute(text(f"SET LOCAL {name} = off"))
        for other in ("ix_purchases_created", "ix_payments_created", "ix_users_created", "ix_users_role_created"):
            connection.execute(text(f"DROP INDEX {other}"))
        asked = f"EXPLAIN SELECT id FROM {table} WHERE {rule} ORDER BY created_at DESC, id DESC LIMIT 51"
        found = list(connection.execute(text(asked)).scalars())
        around.rollback()
    assert any(index in line for line in found), found
