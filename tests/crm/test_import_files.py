"""What becomes of files: bad plans, bad and large files, whose they are, what their pages show."""

import csv
import io
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from backend.database.models.audit import SecurityEvent
from backend.database.models.history import ChangeSet
from backend.database.models.imports import Import, ImportRow
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.crm.files import CODES, COURSES, LESSONS, USERS, check, columns, table, upload
from tests.crm.pages import PARTIAL, errors, one, words
from tests.money.till import rows

UNCLOSED = "A quote in this file is never closed, or a cell is too long."


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"columns": ["telegram_id", "telegram_id"]}, {"columns": "Two columns are set as “Telegram ID”. Keep one."}),
        ({"columns": ["-", "first_name"]}, {"key": "No column is set as “Telegram ID”, which records are matched by."}),
        ({"columns": ["telegram_id"]}, {"columns": "Choose a field for each column."}),
        ({"columns": ["telegram_id", "password_hash"]}, {"columns": "Choose a field for each column."}),
        ({"columns": ["telegram_id", "role_id"]}, {"columns": "Choose a field for each column."}),
        ({"columns": ["telegram_id", "first_name"], "key": "id"}, {"key": "Choose a field to match records by."}),
    ],
)
def test_a_wrong_plan_is_told_at_its_place(reader: TestClient, changes: dict[str, Any], told: dict[str, str]) -> None:
    address = upload(reader, USERS, table(["telegram_id", "first_name"], [1, "Анна"]))
    for headers in ({}, PARTIAL):
        answer = reader.post(f"{address}/check", data={"key": "telegram_id"} | changes, headers=headers)
        assert (answer.status_code, errors(answer.text)) == (422, told)
    assert "Map columns" in reader.get(address).text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "This file is empty."),
        (b"telegram_id,first_name\n", "There are no rows below the header."),
        (b"telegram_id\n" + b"1\n" * 5000 + b'"open' + b"x" * 140_000, UNCLOSED),
        (b"%PDF-1.7" + bytes(99), "This is neither a CSV nor an XLSX file."),
    ],
)  # fmt: skip
def test_a_bad_file_leaves_nothing(reader: TestClient, db: Session, body: bytes, told: str) -> None:
    for headers in ({}, PARTIAL):
        answer = reader.post(USERS, files={"file": ("t.csv", body)}, headers=headers)
        assert (answer.status_code, errors(answer.text)) == (422, {"file": told})
    assert reader.post(USERS, data={"x": "1"}).status_code == 422
    assert (rows(db, Import.id), rows(db, ImportRow.id)) == ([], [])


def test_fifty_megabytes_are_the_most(reader: TestClient, db: Session) -> None:
    line = b"700000001," + b"x" * 989 + b"\n"
    answer = reader.post(USERS, files={"file": ("t.csv", line * 50_001)})
    assert (answer.status_code, errors(answer.text)) == (413, {"file": "This file is larger than 50 MB. Split it."})
    assert rows(db, Import.id) == []
    assert reader.post(USERS, files={"file": ("t.csv", line * 60_100)}).status_code == 413


def test_a_file_belongs_to_who_uploaded_it_and_to_its_list(reader: TestClient, staff: SignIn) -> None:
    address = upload(reader, USERS, table(["telegram_id", "first_name"], [1, "Анна"]))
    check(reader, address)
    other = staff(MANAGER)
    for path in (address, f"{address}/problems.csv", address.replace("users", "promo-codes")):
        assert other.get(path).status_code == 404, path
    for verb in ("check", "start", "drop"):
        assert other.post(f"{address}/{verb}", data={"checks": 1, "key": "x", "columns": ["-"]}).status_code == 404
    assert staff(AUTHOR).get(USERS).status_code == 403
    assert staff(SUPPORT).post(USERS, files={"file": ("t.csv", b"a\n1\n")}).status_code == 403
    assert reader.post(f"{address}/drop").status_code == 303
    assert reader.get(address).status_code == 404


def test_a_start_happens_once_and_only_of_what_was_seen(reader: TestClient, db: Session) -> None:
    address = upload(reader, USERS, table(["telegram_id", "first_name"], [1, "Анна"]))
    assert reader.post(f"{address}/start", data={"checks": 1}).status_code == 409  # not checked yet
    check(reader, address)
    check(reader, address)
    assert reader.post(f"{address}/start", data={"checks": 1}).status_code == 409  # of the check before
    assert reader.post(f"{address}/start").status_code == 409
    sets = len(rows(db, ChangeSet.id))
    for _time in range(2):
        assert reader.post(f"{address}/start", data={"checks": 2}).status_code == 303
    assert rows(db, User.telegram_id)[1:] == [(1,)]
    answer = reader.post(f"{address}/check", data={"columns": ["telegram_id", "first_name"], "key": "telegram_id"})
    assert answer.status_code == 422
    assert "has been imported already" in answer.text
    assert len(rows(db, ChangeSet.id)) == sets + 1


def test_headings_may_be_anything(reader: TestClient) -> None:
    body = table(["id", "", "<script>", "title", "title", "x\0\ny"], [1, "a", "b", "c", "d", "<b>"])
    address = upload(reader, LESSONS, body)
    page = reader.get(address).text
    assert [words(node) for node in HTMLParser(page).css("tbody label")] == [
        "id",
        "B",
        "<script>",
        "title",
        "title",
        "x y",
    ]
    assert columns(reader, address)[0] == ["id", "-", "-", "title", "-", "-"]
    assert "<b>" not in re.sub(r"<b class", "", page)


def test_the_file_of_problems_runs_nothing(reader: TestClient) -> None:
    """Its heading comes from whoever made the table, its cells too."""
    harm = '=HYPERLINK("http://evil.example")'
    address = upload(reader, USERS, table(["telegram_id", "first_name", harm, " @SUM(1)"], ["no id", "+1", harm, "x"]))
    assert check(reader, address) == {"Errors": 1}
    lines = csv.reader(io.StringIO(reader.get(f"{address}/problems.csv").content.decode("utf-8-sig"), newline=""))
    heading, row = lines
    assert heading[:4] == ["telegram_id", "first_name", f"'{harm}", "'@SUM(1)"]
    assert row[:4] == ["no id", "'+1", f"'{harm}", "x"]


def test_the_file_of_problems_is_an_event(reader: TestClient, db: Session) -> None:
    address = upload(reader, USERS, table(["telegram_id", "first_name"], ["no id", "Анна"]))
    check(reader, address)
    assert reader.get(f"{address}/problems.csv").status_code == 200
    read = db.scalars(select(SecurityEvent).where(SecurityEvent.kind == "sensitive_read")).all()
    told = {"what": "import_problems", "format": "csv", "records": "users", "import": int(address.rpartition("/")[2])}
    assert [(event.actor_id, event.data) for event in read] == [(1, told)]


def test_many_rows_are_shown_page_by_page(reader: TestClient) -> None:
    body = table(["telegram_id", "first_name"], *([n, f"Имя {n}"] for n in range(1, 121)))
    address = upload(reader, USERS, body)
    assert check(reader, address)["New"] == 120
    seen, link = [], f"{address}?show=new"
    while link:
        page = HTMLParser(reader.get(link).text)
        seen += [words(row.css("td")[1]) for row in page.css("tbody tr")]
        found = page.css_first(".ly-pager a.ly-end")
        link = found.attributes["href"] if found else ""
    assert seen == [str(n) for n in range(1, 121)]
    assert reader.get(f"{address}?show=nonsense&after=99999999").status_code == 200


def test_the_sample_needs_no_choosing(reader: TestClient) -> None:
    for place in (USERS, LESSONS, COURSES, CODES):
        heading = reader.get(f"{place}/sample.csv").content
        width = len(heading.decode().split(",")) - (1 if b'"' in heading else 0)
        address = upload(reader, place, heading + b"1" + b"," * (width - 1) + b"\n")
        assert "-" not in columns(reader, address)[0]


def test_more_rows_than_a_request_may_take_are_a_job(reader: TestClient, db: Session) -> None:
    body = table(["telegram_id", "first_name"], *([n, f"Имя {n}"] for n in range(1, 202)))
    address = upload(reader, USERS, body)
    check(reader, address)
    answer = reader.post(f"{address}/start", data={"checks": 1})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/jobs/1")
    assert "0 of 201" in words(one(reader.get("/dashboard/jobs/1").text, "#job"))
    assert "0 of 201" in reader.get(address).text
    assert len(rows(db, User.id)) == 1
    again = reader.post(f"{address}/start", data={"checks": 1})
    assert (again.status_code, again.headers["location"]) == (303, address)
