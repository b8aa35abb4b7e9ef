"""Every list answers with every sort, near and far, and with every filter: a database may refuse what another takes."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.crm.table.declare import TABLES
from benchmarks.fragments import PARTIAL, asked
from tests.factories import make_lesson, make_purchase, make_ticket, make_user


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_list_answers_with_every_sort_and_filter(admin: TestClient, db: Session, name: str) -> None:
    for number in range(3):
        student = make_user(db, last_name=f"Student {number}")
        make_purchase(db, student, make_lesson(db, price=100 * number))
        make_ticket(db, student)
    table = TABLES[name]
    queries = list(asked(db, table))
    db.rollback()
    assert len(queries) >= 2
    for query in queries:
        found = admin.get(f"{table.prefix}/", params=query, headers=PARTIAL)
        assert (found.status_code, 'id="list"' in found.text or "hx-partial" in found.text) == (200, True), query
