"""Videos in the lesson form: what is let in, where it lies, who watches, what is left behind."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import media as folder
from backend.core.config import Settings
from backend.core.media import MediaFolder, label, sniff
from backend.core.permissions import AUTHOR, SUPPORT
from backend.database.crud.lessons import LessonCRUD
from backend.database.models.lessons import Lesson
from backend.database.models.media import Media
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin
from tests.factories import make_lesson

URL = "/dashboard/lessons/"
FORM = {"title": "Свет", "price": "100", "is_active": "true"}
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(range(256))
MOV = b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00qt  " + bytes(100)
WEBM = b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm" + bytes(100)


@pytest.fixture
def admin(sign_in: SignIn, db: Session) -> TestClient:
    return english_admin(sign_in, db)


def video(content: bytes, name: str = "Урок 1.mp4", kind: str = "video/mp4") -> dict[str, Any]:
    return {"video": (name, content, kind)}


def files(settings: Settings) -> list[Path]:
    return sorted(settings.media_dir.iterdir()) if settings.media_dir.is_dir() else []


def error(page: str) -> str:
    found = HTMLParser(page).css_first("#video-error")
    return found.text().strip() if found else ""


def test_a_video_comes_with_the_lesson(admin: TestClient, db: Session, settings: Settings) -> None:
    answer = admin.post(URL, data=FORM, files=video(MP4))

    lesson, media = db.scalars(select(Lesson)).one(), db.scalars(select(Media)).one()
    assert answer.status_code == 303
    assert (lesson.media_id, lesson.video_path) == (media.id, media.path)
    assert (media.filename, media.mime, media.size) == ("Урок 1.mp4", "video/mp4", len(MP4))
    assert media.sha256 == hashlib.sha256(MP4).hexdigest()
    assert media.uploader_id == db.scalars(select(User.id).where(User.login == "admin")).one()
    assert [(path.name, path.read_bytes()) for path in files(settings)] == [(media.path, MP4)]
    assert len(media.path.removesuffix(".mp4")) == 32


@pytest.mark.parametrize(
    ("content", "mime", "extension"),
    [(MP4, "video/mp4", "mp4"), (MOV, "video/quicktime", "mov"), (WEBM, "video/webm", "webm")],
)
def test_the_bytes_say_what_it_is_whatever_the_name(
    admin: TestClient, db: Session, content: bytes, mime: str, extension: str
) -> None:
    admin.post(URL, data=FORM, files=video(content, "clip.html", "text/html"))

    media = db.scalars(select(Media)).one()
    assert (media.mime, media.path.rpartition(".")[2]) == (mime, extension)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "This file is empty."),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
            "This is not an MP4, MOV or WebM video.",
        ),
        (b"<!doctype html><script>alert(1)</script>", "This is not an MP4, MOV or WebM video."),
        (b"MZ\x90\x00" + bytes(60), "This is not an MP4, MOV or WebM video."),
        (b"\x00\x00\x00\x18ftypheic" + bytes(60), "This is not an MP4, MOV or WebM video."),
        (
            b"\x1a\x45\xdf\xa3\x9fB\x82\x88matroska" + bytes(60),
            "This is not an MP4, MOV or WebM video.",
        ),
        (b"ftyp", "This is not an MP4, MOV or WebM video."),
    ],
)
def test_what_is_no_video_is_refused_at_its_field(
    admin: TestClient, db: Session, settings: Settings, content: bytes, words: str
) -> None:
    answer = admin.post(URL, data=FORM, files=video(content), headers=PARTIAL)

    assert (answer.status_code, error(answer.text)) == (422, words)
    assert HTMLParser(answer.text).css_first("#title").attributes["value"] == "Свет"
    assert (db.scalars(select(Media.id)).all(), db.scalars(select(Lesson.id)).all()) == ([], [])
    assert files(settings) == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../../etc/passwd.mp4", "passwd.mp4"),
        ("C:\\Users\\anna\\lesson.mp4", "lesson.mp4"),
        ("a\u202egpj.mp4", "agpj.mp4"),
        ("....", "video"),
        ("я" * 300 + ".mp4", "я" * 196 + ".mp4"),
    ],
)
def test_a_name_is_only_a_label(admin: TestClient, db: Session, settings: Settings, name: str, kept: str) -> None:
    admin.post(URL, data=FORM, files=video(MP4, name))

    media = db.scalars(select(Media)).one()
    assert media.filename == kept
    assert [path.name for path in files(settings)] == [media.path]
    assert not (settings.data_dir / "passwd.mp4").exists()
    assert admin.get(f"/dashboard/media/{media.id}").content == MP4


def test_too_large_is_said_at_the_field(
    admin: TestClient, db: Session, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "VIDEO_BYTES", 1000)

    answer = admin.post(URL, data=FORM, files=video(MP4 + bytes(1000)), headers=PARTIAL)

    assert (answer.status_code, error(answer.text)) == (422, "This video is larger than 0 MB.")
    assert (files(settings), db.scalars(select(Media.id)).all()) == ([], [])


def test_the_largest_video_passes_and_more_is_not_read(admin: TestClient, db: Session, settings: Settings) -> None:
    largest = MP4 + bytes(50_000_000 - len(MP4))

    assert admin.post(URL, data=FORM, files=video(largest)).status_code == 303
    assert db.scalars(select(Media.size)).all() == [50_000_000]
    over = admin.post(URL, data=FORM, files=video(largest + b"x"), headers=PARTIAL)
    assert (over.status_code, error(over.text)) == (422, "This video is larger than 50 MB.")
    assert admin.post(URL, data=FORM, files=video(largest + bytes(3_000_000))).status_code == 413
    assert len(files(settings)) == 1


def test_other_routes_take_no_such_body(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db)

    answer = admin.post(f"{URL}{lesson.id}/toggle", files=video(MP4 + bytes(1_100_000)))

    assert answer.status_code == 413


def test_a_refused_form_keeps_the_file(admin: TestClient, db: Session, settings: Settings) -> None:
    refused = admin.post(URL, data=FORM | {"title": ""}, files=video(MP4), headers=PARTIAL)

    assert refused.status_code == 422
    assert "is uploaded already: you need not choose it again." in refused.text
    media_id = HTMLParser(refused.text).css_first("input[name=media_id]").attributes["value"]
    assert admin.post(URL, data=FORM | {"media_id": media_id}).status_code == 303
    assert db.scalars(select(Lesson.media_id)).all() == [int(media_id or 0)]
    assert len(files(settings)) == 1


def test_a_failed_commit_leaves_no_file(
    admin: TestClient, settings: Settings, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(LessonCRUD, "create", breaks)

    assert admin.post(URL, data=FORM, files=video(MP4)).status_code == 500
    assert (files(settings), db.scalars(select(Media.id)).all()) == ([], [])


def test_a_stranger_leaves_no_file(client: TestClient, staff: SignIn, admin: TestClient, settings: Settings) -> None:
    del admin.headers["X-CSRF-Token"]

    assert client.post(URL, data=FORM, files=video(MP4)).status_code == 303
    assert staff(SUPPORT).post(URL, data=FORM, files=video(MP4)).status_code == 403
    assert admin.post(URL, data=FORM, files=video(MP4)).status_code == 403
    assert files(settings) == []


def test_a_video_is_replaced_and_taken_off(admin: TestClient, db: Session, settings: Settings) -> None:
    admin.post(URL, data=FORM, files=video(MP4))
    lesson = db.scalars(select(Lesson)).one()
    first = lesson.media_id
    url = f"{URL}{lesson.id}"

    admin.post(url, data=FORM, files=video(WEBM, "new.webm"))
    db.refresh(lesson)
    assert lesson.media_id not in (None, first)
    assert (lesson.video_path or "").endswith(".webm")
    admin.post(url, data=FORM)
    db.refresh(lesson)
    assert (lesson.video_path or "").endswith(".webm")
    admin.post(url, data=FORM | {"drop_video": "true"})
    db.refresh(lesson)
    assert (lesson.media_id, lesson.video_path) == (None, None)
    # An undo may want them back; the clean-up takes them later.
    assert len(files(settings)) == 2


def test_a_stale_form_keeps_its_new_video(admin: TestClient, db: Session) -> None:
    lesson = make_lesson(db, title="A")
    admin.post(f"{URL}{lesson.id}", data=FORM)

    stale = admin.post(
        f"{URL}{lesson.id}",
        data=FORM | {"title": "B", "version": "1"},
        files=video(MP4),
        headers=PARTIAL,
    )

    assert stale.status_code == 409
    media_id = HTMLParser(stale.text).css_first("input[name=media_id]").attributes["value"]
    assert db.scalars(select(Media.id)).all() == [int(media_id or 0)]


# -- watching


@pytest.fixture
def media(admin: TestClient, db: Session) -> Media:
    admin.post(URL, data=FORM, files=video(MP4))
    return db.scalars(select(Media)).one()


def test_a_video_is_watched_in_parts_and_can_do_nothing(admin: TestClient, media: Media) -> None:
    url = f"/dashboard/media/{media.id}"

    whole, part = admin.get(url), admin.get(url, headers={"Range": "bytes=4-7"})

    assert (whole.status_code, whole.content) == (200, MP4)
    assert (part.status_code, part.content, part.headers["content-range"]) == (
        206,
        b"ftyp",
        f"bytes 4-7/{len(MP4)}",
    )
    assert (whole.headers["content-type"], whole.headers["x-content-type-options"]) == (
        "video/mp4",
        "nosniff",
    )
    assert whole.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert whole.headers["content-disposition"].startswith("inline; filename*=utf-8''")


def test_only_those_who_edit_watch(staff: SignIn, client: TestClient, media: Media) -> None:
    url = f"/dashboard/media/{media.id}"

    assert [staff(AUTHOR).get(url).status_code, staff(SUPPORT).get(url).status_code] == [200, 403]
    assert client.get(url).headers["location"] == f"/login?next={url}"


def test_the_record_plays_it(admin: TestClient, db: Session, media: Media) -> None:
    lesson = db.scalars(select(Lesson)).one()

    page = admin.get(f"{URL}{lesson.id}").text

    assert HTMLParser(page).css_first("video").attributes["src"] == f"/dashboard/media/{media.id}"


def test_a_file_that_is_gone_is_a_404(admin: TestClient, media: Media, settings: Settings) -> None:
    (settings.media_dir / media.path).unlink()

    assert admin.get(f"/dashboard/media/{media.id}").status_code == 404


# -- the folder


def test_a_broken_copy_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder.os, "fsync", full)
    with (tmp_path / "source").open("wb+") as source:
        source.write(MP4)
        source.seek(0)
        with pytest.raises(OSError, match="No space"):
            MediaFolder(tmp_path / "media").keep(source, "a.mp4")

    assert list((tmp_path / "media").iterdir()) == []


def test_strays_are_old_files_that_no_row_knows(tmp_path: Path) -> None:
    for name in ("known.mp4", "stray.mp4"):
        (tmp_path / name).write_bytes(b"x")

    media_folder = MediaFolder(tmp_path)

    assert media_folder.strays(frozenset({"known.mp4"}), before=2**40) == ["stray.mp4"]
    assert media_folder.strays(frozenset(), before=0) == []
    assert MediaFolder(tmp_path / "none").strays(frozenset(), before=2**40) == []


@pytest.mark.parametrize("head", [b"", b"\0" * 64, b"GIF89a", b"RIFF\0\0\0\0AVI LIST", b"\x1a\x45\xdf\xa3"])
def test_sniff_knows_three_kinds_only(head: bytes) -> None:
    assert sniff(head) is None


def test_a_label_is_never_empty() -> None:
    assert [label(None), label(""), label("\0\n"), label("a/b/c.mp4")] == [
        "video",
        "video",
        "video",
        "c.mp4",
    ]


def test_the_folder_is_outside_static(app: FastAPI, settings: Settings) -> None:
    static = Path(__file__).parents[2] / "static"
    assert static not in settings.media_dir.resolve().parents
