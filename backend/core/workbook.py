"""A program by itself: prints the first filled sheet of an XLSX file, a row a line, as JSON.

`python workbook.py PATH COLUMNS`. A workbook is somebody else's: whatever it does to the reader (one cell in the
last column and row makes a table of 17 billion cells) ends this process, with little memory, not the server's.
The line `{"error": "..."}` says what is wrong with it.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from typing import Any

import python_calamine as calamine

MEMORY, SECONDS = 1 << 30, 60
LETTERS = 26
EXACT = 1e15  # Excel keeps fifteen digits


def limit() -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - Windows has none

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def text(value: Any) -> str:
    """A cell as a person would type it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < EXACT else f"{value:.15g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value)


def column(number: int) -> str:
    """0 -> A, 26 -> AA."""
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, LETTERS)
        name = chr(65 + rest) + name
    return name


def filled(book: calamine.CalamineWorkbook) -> calamine.CalamineSheet | None:
    """The first sheet that a person sees and that holds something."""
    for about in book.sheets_metadata:
        if about.typ == calamine.SheetTypeEnum.WorkSheet and about.visible == calamine.SheetVisibleEnum.Visible:
            sheet = book.get_sheet_by_name(about.name)
            if sheet.height:
                return sheet
    return None


def lines(path: str, most_columns: int) -> Iterator[Any]:
    try:
        sheet = filled(calamine.CalamineWorkbook.from_path(path))
    except calamine.PasswordError:
        yield {"error": "password"}
        return
    except (calamine.CalamineError, OSError, ValueError):
        yield {"error": "broken"}
        return
    merged = sheet and sheet.merged_cell_ranges
    if sheet is None:
        yield {"error": "empty"}
    elif merged:
        first, last = merged[0]
        yield {"error": "merged", "at": f"{column(first[1])}{first[0] + 1}:{column(last[1])}{last[0] + 1}"}
    elif sheet.width > most_columns:
        yield {"error": "columns"}
    else:
        for number, row in enumerate(sheet.iter_rows(), 1):
            yield [number, [text(value) for value in row]]


def main() -> None:
    limit()
    for line in lines(sys.argv[1], int(sys.argv[2])):
        sys.stdout.write(json.dumps(line))
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
