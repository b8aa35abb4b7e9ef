"""Tables that people upload, CSV or XLSX, as rows of text: whatever the program that wrote them.

    for number, cells in sheets.read(path): ...      the first is the header; blank rows are left out

Raises InvalidError, with words for a person, for whatever is no table, or too large, or cannot be read safely.
"""

import codecs
import csv
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Timer
from typing import IO, Any

from backend.core import cyrillic, workbook
from backend.core.errors import InvalidError, TooLargeError
from backend.core.i18n import _
from backend.core.text import number as told

FILE_BYTES = 50_000_000
ROWS, COLUMNS = 100_000, 100
UNPACKED, SWOLLEN = 400_000_000, 200  # bytes of a workbook's parts together; how many times one may grow
SOME = 10_000_000  # a part below it may grow as it likes
PARTS = 2_000
SECONDS = 90
HEAD = 4096
SAMPLE, SAMPLED = 1 << 16, 20  # characters, rows
DELIMITERS = (",", ";", "\t", "|")
Line = tuple[int, list[str]]
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
OLD_EXCEL, ZIP = b"\xd0\xcf\x11\xe0", b"PK\x03\x04"
# How pictures, documents and archives begin, which in a small or broken one may look like text.
OTHERS = (
    b"\x89PNG", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"RIFF", b"%PDF-", b"{\\rtf", b"\x1f\x8b", b"Rar!",
    b"7z\xbc\xaf",
)  # fmt: skip
MARKUP = re.compile(r"[\s\ufeff]*<(!doctype|!--|\?xml|html|head|body|meta|table|svg)\b", re.IGNORECASE)
FEW = 4  # bytes that are no text, in a small file of text
NO_TEXT = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]")
SAYS_DELIMITER = re.compile(r'"?sep=(.)"?\s*')


def refused(words: str) -> InvalidError:
    return InvalidError(words, fields={"file": words})


def read(path: Path) -> Iterator[Line]:
    """(number of the row as a spreadsheet shows it, its cells without the empty ones at the end)."""
    if path.stat().st_size > FILE_BYTES:
        raise too_large()
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise refused(_("This file is empty."))
    if head.startswith(OLD_EXCEL):
        raise refused(_("This is an old or password-protected Excel file. Save it as .xlsx without a password."))
    if head.startswith(OTHERS):
        raise no_table()
    rows = _xlsx(path) if head.startswith(ZIP) else _csv(path, head)
    return _bounded(rows)


def no_table() -> InvalidError:
    return refused(_("This is neither a CSV nor an XLSX file."))


def too_large() -> TooLargeError:
    words = _("This file is larger than %s MB. Split it.") % (FILE_BYTES // 1_000_000)
    return TooLargeError(words, fields={"file": words})


def _bounded(rows: Iterator[Line]) -> Iterator[Line]:
    found = 0
    for number, cells in rows:
        while cells and not cells[-1].strip():
            cells.pop()
        if not cells:
            continue
        if len(cells) > COLUMNS:
            raise refused(_("This table has more than %s columns.") % COLUMNS)
        if found > ROWS:
            raise refused(_("This table has more than %s rows. Split it.") % told(ROWS))
        found += 1
        yield number, cells
    if not found:
        raise refused(_("This table is empty."))


# -- CSV


def _csv(path: Path, head: bytes) -> Iterator[Line]:
    encoding = _encoding(path, head)
    try:
        with path.open(encoding=encoding, newline="") as file:
            sample = file.read(SAMPLE)
            if MARKUP.match(sample):
                raise refused(_("This is a web page, not a table. Open it in a spreadsheet and save it as .xlsx."))
            delimiter, skipped = _dialect(sample)
            file.seek(0)
            for _line in range(skipped):
                file.readline()
            yield from enumerate(csv.reader(file, delimiter=delimiter), 1 + skipped)
    except UnicodeError:
        raise refused(_("The text encoding of this file cannot be read. Save it as CSV UTF-8 or as .xlsx.")) from None
    except csv.Error:
        raise refused(_("A quote in this file is never closed, or a cell is too long.")) from None


def _encoding(path: Path, head: bytes) -> str:
    """By its mark; without one UTF-16 shows in its zeros, UTF-8 proves itself, the rest has one byte a letter."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return name
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 20 > len(head) and min(even, odd) * 10 < max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    if len(NO_TEXT.findall(head)) + even + odd > max(FEW, len(head) // 50):
        raise no_table()
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return cyrillic.guess(path)
    return "utf-8"


def _dialect(sample: str) -> tuple[str, int]:
    """The delimiter that cuts the first rows into most columns alike, and how many lines only speak of it."""
    if said := SAYS_DELIMITER.fullmatch(sample.partition("\n")[0]):
        return said[1], 1
    lines = sample.splitlines(keepends=True)
    return max(DELIMITERS, key=lambda delimiter: _alike(lines, delimiter)), 0


def _alike(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    try:
        rows = [len(row) for row in islice(csv.reader(lines, delimiter=delimiter), SAMPLED) if row]
    except csv.Error:
        return 0, 0
    if not rows or rows[0] == 1:
        return 0, 0
    return sum(row == rows[0] for row in rows) / len(rows), rows[0]


# -- XLSX


def _xlsx(path: Path) -> Iterator[Line]:
    _check_zip(path)
    command = [sys.executable, "-I", workbook.__file__, str(path), str(COLUMNS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:  # noqa: S603 - our own program
        alarm = Timer(SECONDS, reader.kill)
        alarm.start()
        try:
            assert reader.stdout is not None
            yield from _printed(reader.stdout)
            reader.wait()
        finally:
            alarm.cancel()
            reader.kill()
    if reader.returncode:
        raise unreadable()


def _printed(lines: IO[bytes]) -> Iterator[Line]:
    for line in lines:
        try:
            found: Any = json.loads(line)
        except ValueError:  # it was stopped in the middle
            raise unreadable() from None
        if isinstance(found, dict):
            raise _words(found)
        number, cells = found
        yield number, cells


def unreadable() -> InvalidError:
    return refused(_("This workbook cannot be read: it is damaged or needs too much memory. Save it as CSV."))


def _words(found: dict[str, str]) -> InvalidError:
    error = found["error"]
    if error == "password":
        return refused(_("This workbook has a password. Save it without one."))
    if error == "merged":
        return refused(_("Cells %s are merged. Unmerge them in the spreadsheet and save it again.") % found["at"])
    if error == "columns":
        return refused(_("This table has more than %s columns.") % COLUMNS)
    if error == "empty":
        return refused(_("This table is empty."))
    return unreadable()


def _check_zip(path: Path) -> None:
    """What the directory of the archive promises; the reader's own limits hold for one that lies."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise unreadable() from None
    if not any(part.filename.lower() == "xl/workbook.xml" for part in parts):
        raise no_table()
    swollen = any(part.file_size > max(SOME, part.compress_size * SWOLLEN) for part in parts)
    if swollen or len(parts) > PARTS or sum(part.file_size for part in parts) > UNPACKED:
        raise refused(_("This workbook is too large when unpacked, so it was not opened. Save it as CSV."))
