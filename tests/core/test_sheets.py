"""Files of people: every encoding and delimiter that spreadsheets write, and whatever should not be opened at all."""

import io
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import xlsxwriter
from xlsxwriter.workbook import Workbook
from xlsxwriter.worksheet import Worksheet

from backend.core import exports, sheets
from backend.core.errors import AppError

Fill = Callable[[Workbook, Worksheet], object]
TEXT = 'telegram_id;Имя;Заметка\r\n1;Пётр;"так; ""вот"""\r\n\r\n2;Zoë;"две\nстроки"\r\n'
UNREADABLE = "This workbook cannot be read: it is damaged or needs too much memory. Save it as CSV."
NEITHER = "This is neither a CSV nor an XLSX file."
PAGE = "This is a web page, not a table. Open it in a spreadsheet and save it as .xlsx."
OLD = "This is an old or password-protected Excel file. Save it as .xlsx without a password."
MERGED = "Cells AA3:AB40 are merged. Unmerge them in the spreadsheet and save it again."
ROWS = [
    (1, ["telegram_id", "Имя", "Заметка"]), (2, ["1", "Пётр", 'так; "вот"']), (4, ["2", "Zoë", "две\nстроки"]),
]  # fmt: skip


def write(folder: Path, body: bytes) -> Path:
    path = folder / "table"
    path.write_bytes(body)
    return path


def book(folder: Path, fill: Fill) -> Path:
    made = xlsxwriter.Workbook(folder / "table.xlsx")
    fill(made, made.add_worksheet())
    made.close()
    return folder / "table.xlsx"


def refusal(path: Path) -> str:
    with pytest.raises(AppError) as caught:
        list(sheets.read(path))
    assert caught.value.fields == {"file": caught.value.message}
    return caught.value.message


LISTS = {
    "names": "Имя;Фамилия;Почта\nМария;Ковалёва;m@example.org\nЮлия;Яшина;\nПётр;Щукин;\n",
    "one name": "Имя\nЗоя\n",
    "capitals": "КОД;СКИДКА\nЛЕТО;10\nВЕСНА;20\nНОВЫЙ УЧЕНИК;30\n",
    "small letters": "имя;откуда\nмария;реклама\nольга;от подруги\n",
    "signs": "Название;Цена\nКурс «Гаммы» – для начинающих;100\nУроки №1–3;200\n",
    "mostly Latin": "name,city\n" + "John,London\n" * 500 + "Anna,Новосибирск\n",
}


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r", "mac-cyrillic", "cp866", "utf-8", "utf-16"])
@pytest.mark.parametrize("name", LISTS)
def test_a_russian_file_is_read_whatever_wrote_it(tmp_path: Path, name: str, encoding: str) -> None:
    try:
        body = LISTS[name].encode(encoding)
    except UnicodeEncodeError:
        pytest.skip("the encoding has no such signs")
    delimiter = "," if "," in LISTS[name] else ";"
    rows = [line.rstrip(delimiter).split(delimiter) for line in LISTS[name].splitlines()]
    assert [cells for _number, cells in sheets.read(write(tmp_path, body))] == rows


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<!DOCTYPE html>\n<html><head><title>a, b</title>\n", PAGE),
        ("\ufeff  <table><tr><td>a;b</td></tr></table>", PAGE),
        ('<?xml version="1.0"?>\n<Workbook>', PAGE),
        (b"\x89PNG\r\n\x1a\nno picture, really\na,b\n", NEITHER),
        (b"%PDF-1.7\na,b\n", NEITHER),
        (b"GIF89a,b\n1,2\n", NEITHER),
    ],
)
def test_what_only_looks_like_text_is_no_table(tmp_path: Path, body: str | bytes, words: str) -> None:
    for sent in [body] if isinstance(body, bytes) else [body.encode(), body.encode("utf-16")]:
        assert refusal(write(tmp_path, sent)) == words


def test_a_sign_of_markup_in_a_cell_is_text(tmp_path: Path) -> None:
    assert [cells for _number, cells in sheets.read(write(tmp_path, b"title,a\n<html>,b\n"))][1] == ["<html>", "b"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
def test_every_encoding_and_delimiter(tmp_path: Path, encoding: str, delimiter: str) -> None:
    swapped = TEXT.replace(";", delimiter)
    wanted = [(number, [cell.replace(";", delimiter) for cell in cells]) for number, cells in ROWS]
    assert list(sheets.read(write(tmp_path, swapped.encode(encoding)))) == wanted


def test_the_windows_of_russia_and_a_line_that_names_its_delimiter(tmp_path: Path) -> None:
    russian = TEXT.replace("ë", "я")
    assert list(sheets.read(write(tmp_path, russian.encode("cp1251"))))[1] == ROWS[1]
    said = b"sep=;\r\na,b;c\r\n1,2;3\r\n"
    assert list(sheets.read(write(tmp_path, said))) == [(2, ["a,b", "c"]), (3, ["1,2", "3"])]


def test_one_column_and_lines_of_any_kind(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        body = end.join(("code", "ten, or so", "", "  ", "x")).encode()
        wanted = [(1, ["code"]), (2, ["ten, or so"]), (5, ["x"])]
        # Without another delimiter a comma is text when it cuts one row alone.
        assert [(n, [",".join(cells)]) for n, cells in sheets.read(write(tmp_path, body))] == wanted


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "This file is empty."),
        (b"\n \n,,\n", "This table is empty."),
        (b"%PDF-1.7\n" + bytes(range(256)) * 20, NEITHER),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(32)) * 9, NEITHER),
        (b"\xd0\xcf\x11\xe0rest", OLD),
        (b"\xff\xfe\x00\xd8a\x00", "The text encoding of this file cannot be read. Save it as CSV UTF-8 or as .xlsx."),
        (b"code\n\x98\n", "The text encoding of this file cannot be read. Save it as CSV UTF-8 or as .xlsx."),
        (b'a,b\n1,"' + b"x" * 200_000, "A quote in this file is never closed, or a cell is too long."),
        (b"," .join([b"x"] * 101), "This table has more than 100 columns."),
        (b"PK\x03\x04 no zip", UNREADABLE),
    ],
)  # fmt: skip
def test_what_is_no_table_is_said_so(tmp_path: Path, body: bytes, words: str) -> None:
    assert refusal(write(tmp_path, body)) == words


def test_too_large_and_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, b"a,b\n")
    with path.open("r+b") as file:
        file.truncate(sheets.FILE_BYTES + 1)
    assert refusal(path) == "This file is larger than 50 MB. Split it."
    monkeypatch.setattr(sheets, "ROWS", 3)
    assert len(list(sheets.read(write(tmp_path, b"a\n1\n2\n3\n")))) == 4
    assert refusal(write(tmp_path, b"a\n1\n2\n3\n4\n")) == "This table has more than 3 rows. Split it."


def test_cells_of_excel_are_what_a_person_would_type(tmp_path: Path) -> None:
    def fill(made: Workbook, sheet: Worksheet) -> None:
        day = made.add_format({"num_format": "dd.mm.yyyy"})
        sheet.write_row(2, 1, ["n", "text", "at"])
        sheet.write_row(4, 1, [700_000_001, "007"])
        sheet.write_datetime(4, 3, datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC).replace(tzinfo=None), day)
        sheet.write_formula(5, 1, "=SUM(1,1)", None, 2)
        sheet.write(5, 2, True)
        sheet.write_datetime(5, 3, date(2026, 12, 31), day)
        sheet.write(6, 1, 0.1 + 0.2)
        sheet.write_formula(6, 3, "=NA()", None, "#N/A")

    assert list(sheets.read(book(tmp_path, fill))) == [
        (3, ["n", "text", "at"]),
        (5, ["700000001", "007", "2026-12-31 23:59:30"]),
        (6, ["2", "true", "2026-12-31"]),
        (7, ["0.3"]),
    ]


def test_the_first_sheet_that_holds_something_is_read(tmp_path: Path) -> None:
    def fill(made: Workbook, _empty: Worksheet) -> None:
        hidden = made.add_worksheet("hidden")
        hidden.write(0, 0, "secret")
        hidden.hide()
        made.add_worksheet("list").write(0, 0, "code")

    assert list(sheets.read(book(tmp_path, fill))) == [(1, ["code"])]


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (lambda _b, _s: None, "This table is empty."),
        (lambda _b, s: s.merge_range("AA3:AB40", "x"), MERGED),
        (lambda _b, s: s.write_row(0, 0, ["x"] * 101), "This table has more than 100 columns."),
        # Two cells, and seventeen billion between them.
        (lambda _b, s: s.write(0, 0, "x") + s.write(1_048_575, 16_383, "x"), UNREADABLE),
    ],
)  # fmt: skip
def test_a_workbook_that_cannot_be_taken(tmp_path: Path, fill: Fill, words: str) -> None:
    assert refusal(book(tmp_path, fill)) == words


def bomb(parts: dict[str, bytes]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return body.getvalue()


def test_a_zip_bomb_is_not_opened(tmp_path: Path) -> None:
    words = "This workbook is too large when unpacked, so it was not opened. Save it as CSV."
    swollen = bomb({"xl/workbook.xml": b"<w/>", "xl/worksheets/sheet1.xml": b" " * 60_000_000})
    assert len(swollen) < 100_000
    assert refusal(write(tmp_path, swollen)) == words
    many = bomb({"xl/workbook.xml": b"", **{f"xl/{n}": b"" for n in range(sheets.PARTS)}})
    assert refusal(write(tmp_path, many)) == words
    assert refusal(write(tmp_path, bomb({"mimetype": b"ods"}))) == NEITHER


def test_a_bomb_whose_directory_lies_ends_its_reader_alone(tmp_path: Path) -> None:
    path = book(tmp_path, lambda _b, s: s.write(0, 0, "x"))
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    row = b'<row><c t="inlineStr"><is><t>' + b"x" * 1000 + b"</t></is></c></row>"
    parts["xl/worksheets/sheet1.xml"] = sheet.replace(b"</sheetData>", row * 600_000 + b"</sheetData>")
    body = bytearray(bomb(parts))
    size = len(parts["xl/worksheets/sheet1.xml"])
    while (at := body.find(struct.pack("<I", size))) >= 0:
        body[at : at + 4] = struct.pack("<I", 1000)
    assert refusal(write(tmp_path, bytes(body))) in (
        UNREADABLE,
        "This table has more than 100,000 rows. Split it.",
    )


def test_what_our_own_export_writes_is_read(tmp_path: Path) -> None:
    rows = [[700_000_001, "Пётр", True, datetime(2026, 7, 1, tzinfo=UTC)], [2, "=1+1", False, None]]
    csv = b"".join(exports._csv(["id", "name", "on", "at"], iter(rows)))
    assert list(sheets.read(write(tmp_path, csv)))[1:] == [
        (2, ["700000001", "Пётр", "1", "2026-07-01T00:00:00+00:00"]), (3, ["2", "'=1+1", "0"]),
    ]  # fmt: skip
    xlsx = b"".join(exports._xlsx(["id", "name", "on", "at"], iter(rows), UTC))
    assert list(sheets.read(write(tmp_path, xlsx)))[1:] == [
        (2, ["700000001", "Пётр", "true", "2026-07-01"]), (3, ["2", "=1+1", "false"]),
    ]  # fmt: skip
