"""Downloads of what a list shows, CSV or XLSX, of any length: rows leave as they are read.

    rows = in_batches(database, lambda session, at: read(session, at))       its own short read sessions
    export_response("xlsx", "students", ("id", "name"), cells(rows), zone)    inside a detached route

A cell is never run as a formula: in CSV such text gets an apostrophe, in XLSX it is text by its type.
"""

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import copy_context
from datetime import UTC, datetime, tzinfo
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal

from fastapi.responses import Response, StreamingResponse
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.listing import Page
from backend.database.session import Database

if TYPE_CHECKING:
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

# A spreadsheet reads text that starts so as a formula (OWASP "CSV Injection"), full-width forms included.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")
BATCH = 500  # rows
Row = Sequence[object]
Format = Literal["csv", "xlsx"]
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
XLSX_ROWS = 1_048_575  # of a sheet, below its header
XLSX_TEXT = 32_767  # characters of a cell
XLSX_DIGITS = 10**15  # from here on Excel forgets the last ones
XLSX_YEARS = range(1901, 9999)
XLSX_OPTIONS = {
    "constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False,
}  # fmt: skip
CHUNK = 1 << 16


def cell(value: object) -> object:
    """One value as it stands in a CSV file; only text can be dangerous."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    # Blanks before a formula hide it from nobody: some spreadsheets cut them off first.
    if isinstance(value, str) and (value.startswith(FORMULA) or value.lstrip().startswith(FORMULA)):
        return "'" + value
    return value


def export_response(
    kind: Format, name: str, header: Sequence[str], rows: Iterable[Row], zone: tzinfo = UTC
) -> Response:
    """`rows` as a download called `<name>-<date>.<kind>`; they are read while it leaves, in the caller's language.

    The first row is read now, so that what is wrong with a request is answered as an error.
    `zone`: the clock of the dates in an XLSX file, whose cells know none.
    """
    rows = iter(rows)
    first = list(islice(rows, 1))
    rows = chain(first, rows)
    chunks = _csv(header, rows) if kind == "csv" else _xlsx(header, rows, zone)
    filename = f"{name}-{clock.now():%Y-%m-%d}.{kind}"
    return StreamingResponse(
        _in_context(chunks),
        media_type=TYPES[kind],
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


def csv_response(name: str, header: Sequence[str], rows: Iterable[Row]) -> Response:
    """A short CSV, read whole while the request's session is open."""
    return export_response("csv", name, header, list(rows))


def in_batches(database: Database, read: Callable[[Session, str | None], Page[Row]]) -> Iterator[Row]:
    """The rows of all pages. `read(session, cursor)` gives one; no session is held while they leave."""
    cursor: str | None = None
    while True:
        with database.read() as session:
            page = read(session, cursor)
        yield from page.items
        cursor = page.next
        if cursor is None:
            return


def _in_context(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Each chunk may be made in another thread: language and request come along."""
    context = copy_context()
    while (chunk := context.run(next, chunks, None)) is not None:
        yield chunk


def _csv(header: Sequence[str], rows: Iterator[Row]) -> Iterator[bytes]:
    out = io.StringIO("\ufeff", newline="")  # the mark makes Excel read UTF-8
    out.seek(1)
    writer = csv.writer(out)
    writer.writerow([cell(label) for label in header])  # of an uploaded file, perhaps
    while batch := list(islice(rows, BATCH)):
        writer.writerows([cell(value) for value in row] for row in batch)
        yield out.getvalue().encode()
        out.seek(0)
        out.truncate()
    yield out.getvalue().encode()


def _xlsx(header: Sequence[str], rows: Iterator[Row], zone: tzinfo) -> Iterator[bytes]:
    """Made in a temporary folder, since a workbook is a zip; b"" leaves the thread to others meanwhile."""
    import xlsxwriter  # noqa: PLC0415 - 2 MB that few processes ever need

    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile(dir=folder) as file:
        book = xlsxwriter.Workbook(file, {**XLSX_OPTIONS, "tmpdir": folder})
        try:
            for _batch in _fill(book, header, rows, zone):
                yield b""
        except BaseException:  # the reader left, or the rows broke off
            for sheet in book.worksheets():
                sheet.row_data_fh.close()
            raise
        book.close()
        file.seek(0)
        while chunk := file.read(CHUNK):
            yield chunk


def _fill(book: "Workbook", header: Sequence[str], rows: Iterator[Row], zone: tzinfo) -> Iterator[None]:
    bold = book.add_format({"bold": True})
    moment = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    more: list[Row] = []
    while True:
        sheet = book.add_worksheet()
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, max(len(header) - 1, 0), 18)
        for at, label in enumerate(header):
            sheet.write_string(0, at, label, bold)
        for number, row in enumerate(islice(chain(more, rows), XLSX_ROWS), 1):
            for at, value in enumerate(row):
                _write(sheet, (number, at), value, zone, moment)
            if number % BATCH == 0:
                yield
        more = list(islice(rows, 1))
        if not more:
            return


def _write(sheet: "Worksheet", place: tuple[int, int], value: object, zone: tzinfo, moment: object) -> None:
    if isinstance(value, bool):
        sheet.write_boolean(*place, value)
    elif isinstance(value, int | float) and abs(value) < XLSX_DIGITS:
        sheet.write_number(*place, value)
    elif isinstance(value, datetime) and value.year in XLSX_YEARS:
        sheet.write_datetime(*place, value.astimezone(zone).replace(microsecond=0, tzinfo=None), moment)
    elif value is not None:
        sheet.write_string(*place, str(value)[:XLSX_TEXT])
