"""Downloads: every row, in the reader's language, on any clock, and nothing in them that a spreadsheet would run."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi import FastAPI
from fastapi.responses import Response
from fastapi.testclient import TestClient
from python_calamine import CalamineWorkbook
from sqlalchemy.orm import Session

from backend.core import exports
from backend.core.deps import DatabaseDep, Routes, detached, require
from backend.core.exports import Format, export_response, in_batches
from backend.core.i18n import _
from backend.core.permissions import Permission
from backend.core.text import zone
from backend.database.crud.users import StudentCRUD
from backend.database.listing import Page
from backend.database.schemas.users import StudentFilters
from tests.conftest import SignIn
from tests.crm.pages import english_admin
from tests.factories import make_user

AT = datetime(2026, 7, 1, 12, 30, 15, 999_999, tzinfo=UTC)
HOSTILE = ["=1+1", "+7 900", "-1", "@SUM(A1)", "\t=1", "＝1", "https://x.example", 'ok, "so"\nit is', "12"]


def read_csv(body: bytes) -> list[list[str]]:
    assert body.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))


def read_xlsx(body: bytes) -> list[list[Any]]:
    book = CalamineWorkbook.from_filelike(io.BytesIO(body))
    return [row for name in book.sheet_names for row in book.get_sheet_by_name(name).to_python()]


@pytest.fixture
def downloads(app: FastAPI) -> None:
    routes = Routes(prefix="/dashboard/things", dependencies=[require(Permission.USERS_READ), detached])

    @routes.get("/cells.{kind}")
    def cells(kind: Format) -> Response:
        rows = [[text, AT, True, None, 2**60, 12, 0.5] for text in HOSTILE]
        return export_response(
            kind, "things", ("text", "at", "on", "nothing", "id", "n", "f"), rows, zone("Asia/Tokyo")
        )

    @routes.get("/students.{kind}")
    def students(kind: Format, database: DatabaseDep, sort: str = "id") -> Response:
        def read(session: Session, cursor: str | None) -> Page[Any]:
            return StudentCRUD(session).get_all(StudentFilters(sort=sort, limit=7, cursor=cursor), cap=0)

        rows = ([row.id, row.first_name, _("Fill in this field.")] for row in in_batches(database, read))
        return export_response(kind, "students", ("id", "name", "on"), rows)

    @routes.get("/broken.{kind}")
    def broken(kind: Format) -> Response:
        def rows() -> Iterator[list[object]]:
            yield from ([number] for number in range(exports.BATCH + 1))
            raise RuntimeError("the database went away")

        return export_response(kind, "broken", ("n",), rows())

    app.include_router(routes)


@pytest.mark.usefixtures("downloads")
def test_no_cell_is_a_formula(admin: TestClient) -> None:
    told = read_csv(admin.get("/dashboard/things/cells.csv").content)
    assert [row[0] for row in told[1:]] == [
        "'=1+1", "'+7 900", "'-1", "'@SUM(A1)", "'\t=1", "'＝1", "https://x.example", "ok, \"so\"\nit is", "12",
    ]  # fmt: skip
    assert told[1][1:] == ["2026-07-01T12:30:15+00:00", "1", "", str(2**60), "12", "0.5"]

    answer = admin.get("/dashboard/things/cells.xlsx")
    assert answer.headers["content-type"] == exports.TYPES["xlsx"]
    sheet = read_xlsx(answer.content)
    assert [row[0] for row in sheet[1:]] == HOSTILE
    tokyo = AT.astimezone(ZoneInfo("Asia/Tokyo")).replace(microsecond=0, tzinfo=None)
    assert sheet[1][1:] == [tokyo, True, "", str(2**60), 12.0, 0.5]


@pytest.mark.usefixtures("downloads")
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_every_row_leaves_in_the_language_of_the_reader(
    db: Session, admin: TestClient, sign_in: SignIn, kind: str
) -> None:
    ids = [make_user(db, first_name=f"Имя {number}").id for number in range(30)]
    read = read_csv if kind == "csv" else read_xlsx
    russian = {"Accept-Language": "ru"}
    rows = read(admin.get(f"/dashboard/things/students.{kind}", headers=russian).content)
    assert [str(row[0]).removesuffix(".0") for row in rows[1:]] == [str(number) for number in ids]
    assert {row[2] for row in rows[1:]} == {"Заполните это поле."}
    english = english_admin(sign_in, db).get(f"/dashboard/things/students.{kind}?sort=-created_at")
    assert [row[2] for row in read(english.content)[1:]] == ["Fill in this field."] * 30


@pytest.mark.usefixtures("downloads")
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_wrong_request_is_an_error_and_a_broken_file_never_looks_whole(admin: TestClient, kind: str) -> None:
    assert admin.get(f"/dashboard/things/students.{kind}?sort=password").status_code == 400
    with pytest.raises(RuntimeError, match="went away"):  # the server breaks the connection off
        admin.get(f"/dashboard/things/broken.{kind}")


@pytest.mark.usefixtures("downloads")
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_an_empty_list_is_a_header(admin: TestClient, kind: str) -> None:
    read = read_csv if kind == "csv" else read_xlsx
    assert read(admin.get(f"/dashboard/things/students.{kind}").content) == [["id", "name", "on"]]


def test_a_long_list_goes_on_on_the_next_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "XLSX_ROWS", 3)
    for count, sheets in ((3, [4]), (4, [4, 2]), (6, [4, 4])):
        body = b"".join(exports._xlsx(["n"], iter([[n] for n in range(count)]), UTC))
        book = CalamineWorkbook.from_filelike(io.BytesIO(body))
        assert [len(book.get_sheet_by_name(name).to_python()) for name in book.sheet_names] == sheets


@pytest.mark.parametrize("year", [1, 1899, 9999])
def test_a_date_that_excel_does_not_know_is_text(year: int) -> None:
    at = datetime(year, 1, 1, tzinfo=UTC)
    assert read_xlsx(b"".join(exports._xlsx(["at"], iter([[at]]), UTC)))[1] == [str(at)]
