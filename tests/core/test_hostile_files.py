"""Sixty files of an attacker at every door that takes files: none lies anywhere but in its folder, none is a page."""

import io
import itertools
import re
import select
import socket
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import xlsxwriter
from fastapi.testclient import TestClient
from sqlalchemy import select as query
from sqlalchemy.orm import Session

from backend.core import sheets
from backend.core.errors import InvalidError
from backend.core.media import SANDBOX, UPLOAD_BODY
from backend.crm.imports import UPLOAD_BODY as TABLE_BODY
from backend.database.models.imports import Import
from backend.database.models.media import Media
from backend.routes import CRM
from tests.conftest import SignIn
from tests.crm.pages import english_admin
from tests.crm.test_media import MOV, MP4, WEBM
from tests.factories import make_lesson
from tests.figures import Figure
from tests.money.server import Server
from tests.test_routes import routes_of

VIDEOS = "/dashboard/lessons/", "/dashboard/lessons/{lesson_id}"
TABLES = tuple(f"/dashboard/{folder}/import/" for folder in ("users", "lessons", "courses", "promo-codes"))
STORED = re.compile(r"[A-Za-z0-9_-]{32}\.(mp4|mov|webm)")
HARM = b"<script>__xss(1)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="__xss(1)">\n<script>__xss(1)</script>\n</svg>'
PAGE = b"<!doctype html>\n<title>x</title>\n" + HARM
TABLE = b"telegram_id,first_name\n1,<script>__xss(1)</script>\n"
TAKEN, REFUSED, BROKEN = 303, 422, 400


@dataclass(frozen=True)
class Hostile:
    """`video`, `table`: what the doors of lessons and of tables answer."""

    name: bytes
    content: bytes
    video: int
    table: int
    kind: bytes = b"video/mp4"


def parts(**changed: bytes) -> bytes:
    """A workbook with some of its parts exchanged; the names are those of `PARTS`."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    book.add_worksheet().write_row(0, 0, ["telegram_id", "first_name"])
    book.worksheets()[0].write_row(1, 0, ["1", HARM.decode()])
    book.close()
    made = io.BytesIO()
    with zipfile.ZipFile(out) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, changed.pop(PARTS.get(name, ""), None) or old.read(name))
        for name, content in changed.items():
            new.writestr(name, content)
    return made.getvalue()


PARTS = {"xl/worksheets/sheet1.xml": "sheet", "xl/sharedStrings.xml": "strings", "xl/workbook.xml": "book"}
GOOD = parts()
SPREADSHEET = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
FAR = b'<worksheet %s><sheetData><row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
LAUGHS = (
    b'<!DOCTYPE sst [<!ENTITY a "'
    + b"ha" * 50
    + b'">'
    + b"".join(
        b'<!ENTITY %s "%s">' % (new.encode(), f"&{old};".encode() * 10) for old, new in itertools.pairwise("abcdefghi")
    )
    + b"]><sst %s><si><t>&i;</t></si><si><t>&i;</t></si></sst>" % SPREADSHEET
)
READING = b'<!DOCTYPE sst [<!ENTITY a SYSTEM "file:///etc/passwd">]><sst %s><si><t>&a;</t></si></sst>' % SPREADSHEET


def swollen() -> bytes:
    """A thousand times larger than it looks."""
    return parts(sheet=bytes(30_000_000))


def lying() -> bytes:
    """The same, and its directory says that it is small."""
    body = bytearray(swollen())
    at = body.index(b"xl/worksheets/sheet1.xml", body.index(b"PK\x01\x02"))
    body[at - 22 : at - 18] = (5_000).to_bytes(4, "little")
    return bytes(body)


def escaping() -> bytes:
    return parts(**{"../../../stolen.mp4": MP4, "/etc/lyceum": b"x", "..\\..\\stolen": b"x"})


def many_parts() -> bytes:
    return parts(**{f"xl/media/{number}": b"" for number in range(2_001)})


def named(name: bytes) -> Hostile:
    """Good bytes under a name that means harm; a table would be refused whatever it is called."""
    return Hostile(name, MP4, TAKEN, REFUSED)


NAMES = (
    b"../../../../stolen.mp4", b"..\\..\\stolen.mp4", b"/tmp/stolen.mp4", b"%2e%2e%2fstolen.mp4", b"....//stolen.mp4",
    b"C:\\Windows\\stolen.mp4", b"\\\\server\\share\\stolen.mp4", b"file:///etc/passwd", b"..", b".", b"/", b"\\",
    b"stolen.mp4\0.html", b"\0", b"a\r\nSet-Cookie: x=1.mp4", "../../украдено.mp4".encode(), "ви\u202e4pm.exe".encode(),
    b"\xff\xfe\xed\xa0\x80.mp4", b"x" * 900 + b".mp4", "ж".encode() * 400, b".htaccess", b"CON", b"a.mp4;x.html",
    b"lesson.mp4.html", b"lesson.php.mp4", b"lesson.svg", b"<img src=x onerror=__xss(1)>.mp4", b"'; DROP TABLE x;--",
    b"{{7919*7907}}.mp4", b"$(touch stolen).mp4", b"lyceum.db", b".env",
)  # fmt: skip
# What it is called, what it is, what the doors of videos and of tables say.
CONTENTS = (
    (b"lesson.mp4", b"", REFUSED, REFUSED),
    (b"x" * 5_000 + b".mp4", MP4, BROKEN, BROKEN),
    (b"page.mp4", PAGE, REFUSED, REFUSED),
    (b"picture.mp4", SVG, REFUSED, REFUSED),
    (b"picture.svg", SVG, REFUSED, REFUSED),
    (b"page.html", PAGE, REFUSED, REFUSED),
    (b"table.csv", TABLE, REFUSED, TAKEN),
    (b"both.mp4", MP4[:28] + PAGE, TAKEN, REFUSED),
    (b"both.html", MP4[:28] + SVG, TAKEN, REFUSED),
    (b"both.mov", MOV + PAGE, TAKEN, REFUSED),
    (b"both.webm", WEBM + HARM, TAKEN, REFUSED),
    (b"page first.mp4", PAGE + MP4, REFUSED, REFUSED),
    (b"archive behind.mp4", MP4 + GOOD, TAKEN, REFUSED),
    (b"archive before.mp4", GOOD + MP4, REFUSED, TAKEN),
    (b"table.xlsx", GOOD, REFUSED, TAKEN),
    (b"cut.mp4", MP4[:7], REFUSED, REFUSED),
    (b"head alone.mp4", MP4[:12], TAKEN, REFUSED),
    (b"cut.xlsx", GOOD[: len(GOOD) // 2], REFUSED, REFUSED),
    (b"head alone.xlsx", GOOD[:4], REFUSED, REFUSED),
    (b"picture.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0" + HARM, REFUSED, REFUSED),
    (b"picture.gif", b"GIF89a/*" + HARM, REFUSED, REFUSED),
    (b"paper.pdf", b"%PDF-1.7\n" + bytes(40) + HARM, REFUSED, REFUSED),
    (b"program.mp4", b"MZ\x90\0" + bytes(60), REFUSED, REFUSED),
    (b"program", b"\x7fELF\x02\x01\x01" + bytes(60), REFUSED, REFUSED),
    (b"heic.mp4", b"\0\0\0\x18ftypheic" + bytes(60), REFUSED, REFUSED),
    (b"video.mkv", b"\x1a\x45\xdf\xa3\x9fB\x82\x88matroska" + bytes(60), REFUSED, REFUSED),
    (b"video.avi", b"RIFF\0\0\0\0AVI LIST" + bytes(60), REFUSED, REFUSED),
    (b"old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), REFUSED, REFUSED),
    (b"bomb.xlsx", swollen, REFUSED, REFUSED),
    (b"lying bomb.xlsx", lying, REFUSED, REFUSED),
    (b"laughs.xlsx", lambda: parts(strings=LAUGHS), REFUSED, REFUSED),
    (b"reader.xlsx", lambda: parts(strings=READING), REFUSED, REFUSED),
    (b"far.xlsx", lambda: parts(sheet=FAR % SPREADSHEET), REFUSED, REFUSED),
    (b"escaping.xlsx", escaping, REFUSED, TAKEN),
    (b"parts.xlsx", many_parts, REFUSED, REFUSED),
    (b"gzip.csv", b"\x1f\x8b\x08" + bytes(60), REFUSED, REFUSED),
    (b"UTF-7.csv", b"+ADw-script+AD4-,b\n__xss(1),2\n", REFUSED, TAKEN),
)  # fmt: skip


def hostile() -> Iterator[Hostile]:
    yield from map(named, NAMES)
    for name, content, video, table in CONTENTS:
        yield Hostile(name, content() if callable(content) else content, video, table)


def sent(client: TestClient, address: str, field: str, file: Hostile) -> int:
    """Written by hand: a client of ours would tidy the name up."""
    head = b'--b\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: %s\r\n\r\n'
    body = head % (field.encode(), file.name.replace(b'"', b"%22"), file.kind) + file.content + b"\r\n"
    for name, value in (("title", "Light"), ("price", "1")):
        body += f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return client.post(address, content=body + b"--b--\r\n", headers=headers).status_code


def test_these_are_all_the_doors() -> None:
    large = {route.path for route in routes_of(CRM) if (route.max_body_size or 0) > 1_000_000}
    assert {path if path.endswith(("/", "}")) else f"{path}/" for path in large} == {*VIDEOS, *TABLES}
    assert len(NAMES) + len(CONTENTS) >= 60


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_no_file_gets_out_of_its_folder_or_becomes_a_page(
    sign_in: SignIn, db: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, figure: Figure
) -> None:
    """In daily runs each file meets two of the six doors, one of each kind, in turns."""
    reader = english_admin(sign_in, db)
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    lesson_id = make_lesson(db).id
    folder, before, odd, kept = tmp_path / "data" / "media", tree(tmp_path), {}, 0
    for number, file in enumerate(hostile()):
        for address in VIDEOS[number % 2 :: min(step, 2)]:
            status = sent(reader, address.format(lesson_id=lesson_id), "video", file)
            kept += status == TAKEN
            if status != file.video:
                odd[file.name[:40], address] = status
        for address in TABLES[number % 4 :: step] if step > 1 else TABLES:
            status = sent(reader, address, "file", file)
            if status != file.table:
                odd[file.name[:40], address] = status
    assert odd == {}
    stored = sorted(folder.iterdir())
    assert tree(tmp_path) - before == set(stored)
    assert all(STORED.fullmatch(path.name) for path in stored)
    assert len(stored) == kept > 20
    _none_is_a_page(reader, db)
    figure(
        "B14",
        "files stored outside, served as a page or taken by the wrong door",
        len(odd),
        "0",
        len(NAMES) + len(CONTENTS),
    )


@pytest.mark.parametrize(("bomb", "words"), [(swollen, "too large when unpacked"), (many_parts, "too large")])
def test_a_bomb_is_not_even_opened(tmp_path: Path, bomb: Callable[[], bytes], words: str) -> None:
    (tmp_path / "table").write_bytes(bomb())
    with pytest.raises(InvalidError, match=words):
        next(sheets.read(tmp_path / "table"))


def tree(folder: Path) -> set[Path]:
    """All files but those of the database; and what such names would have made where a program runs."""
    found = {path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("test.db")}
    return found.union(
        *(place.glob("*stolen*") for place in (Path.cwd(), Path.cwd().parent, Path("/tmp"), Path("static")))
    )


def _none_is_a_page(reader: TestClient, db: Session) -> None:
    for media in db.scalars(query(Media)):
        answer = reader.get(f"/dashboard/media/{media.id}")
        kind, name = answer.headers["content-type"], answer.headers["content-disposition"]
        assert (answer.status_code, kind) == (200, media.mime)
        assert kind in ("video/mp4", "video/quicktime", "video/webm")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == SANDBOX
        assert name.startswith("inline; filename")
        assert media.filename.isprintable()
        assert len(media.filename) <= 200
        assert not set(media.filename) & set("/\\")
    pages = ["/dashboard/lessons/", *(f"/dashboard/lessons/{id_}" for id_ in range(1, 20))]
    places = {"users": "users", "lessons": "lessons", "courses": "courses", "promo_codes": "promo-codes"}
    pages += [f"/dashboard/{places[row.target]}/import/{row.id}" for row in db.scalars(query(Import))]
    for page in pages:
        shown = reader.get(page).text
        assert "<script>__xss" not in shown, page
        assert "<img src=x" not in shown, page
        assert "62615533" not in shown, page


# -- a body that never ends

RSS = 32_000_000
BESIDE = 8_000_000  # what lies in the buffers of both ends
CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"
ENDLESS = (
    ("/dashboard/lessons/", "video", UPLOAD_BODY),
    ("/dashboard/users/import/", "file", TABLE_BODY),
    ("/dashboard/users/", "first_name", 1_000_000),
)


def memory(pid: int, name: str) -> int:
    """Bytes; VmRSS is what it holds, VmHWM the most that it held."""
    line = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert line is not None
    return int(line[1]) * 1024


def stream(server: Server, address: str, field: str, headers: dict[str, str]) -> tuple[int, int]:
    """(the answer's status, how many bytes went out before it came) of a chunked form that never ends."""
    lines = [f"POST {address} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Transfer-Encoding: chunked"]
    lines += ["Content-Type: multipart/form-data; boundary=b", *(f"{name}: {value}" for name, value in headers.items())]
    part = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="x.mp4"\r\n\r\n'.encode() + MP4
    went = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as wire:
        wire.sendall("\r\n".join(lines).encode() + b"\r\n\r\n%x\r\n" % len(part) + part + b"\r\n")
        try:
            while went < 4 * TABLE_BODY and not select.select([wire], [], [], 0)[0]:
                wire.sendall(CHUNK)
                went += len(CHUNK)
        except OSError:  # it has hung up: the answer lies here
            pass
        return int(wire.recv(4096).split(b" ", 2)[1]), went


@pytest.mark.slow  # its smaller siblings are in tests/crm/test_upload_door.py
def test_a_body_without_an_end_is_refused_early(
    database_url: str, admin: TestClient, tmp_path: Path, figure: Figure
) -> None:
    """An author's own: 413 at the limit, on disk and never in memory, and nothing stays of it."""
    (tmp_path / "temp").mkdir()
    server = Server(database_url, tmp_path / "served", TMPDIR=str(tmp_path / "temp")).start()
    cookies = "; ".join(f"{name}={value}" for name, value in admin.cookies.items())
    headers = {"Cookie": cookies, "Sec-Fetch-Site": "same-origin"}
    headers |= {"X-CSRF-Token": str(admin.headers["X-CSRF-Token"])}
    try:
        server.ready()
        assert server.process is not None
        pid = server.process.pid
        stream(server, "/dashboard/users/", "first_name", headers)  # what is imported with the first form
        Path(f"/proc/{pid}/clear_refs").write_text("5")
        before = memory(pid, "VmRSS")
        for address, field, limit in ENDLESS:
            status, went = stream(server, address, field, headers)
            assert (address, status) == (address, 413)
            assert limit - len(CHUNK) <= went <= limit + BESIDE, address
        grown = memory(pid, "VmHWM") - before
        assert grown < RSS
        assert list((tmp_path / "temp").rglob("*")) == []
        assert list((tmp_path / "served").rglob("*.part")) == list((tmp_path / "served").rglob("*.mp4")) == []
    finally:
        server.stop()
    figure("B14", "MB by which bodies without an end make the process grow", grown / 1e6, "<= 32")
