"""The bytes of stored files, and what Telegram calls them."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.database.models.media import Media, TelegramFile
from tests.conftest import Api
from tests.factories import save

BYTES = bytes(range(256)) * 4


@pytest.fixture
def media(db: Session, settings: Settings) -> Media:
    settings.media_dir.mkdir(parents=True)
    (settings.media_dir / "tokEn_1.mp4").write_bytes(BYTES)
    return store(db)


def store(db: Session, **fields: Any) -> Media:
    values = {
        "path": "tokEn_1.mp4",
        "filename": "Урок 1.mp4",
        "mime": "video/mp4",
        "size": 1024,
        "sha256": "a" * 64,
    }
    row = Media(**values | fields)
    save(db, row)
    return row


def test_the_bot_gets_the_bytes(bot: TestClient, media: Media) -> None:
    answer = bot.get(f"/api/media/{media.id}")

    assert (answer.status_code, answer.content) == (200, BYTES)
    assert {name: answer.headers[name] for name in ("content-type", "content-length", "accept-ranges")} == {
        "content-type": "video/mp4",
        "content-length": "1024",
        "accept-ranges": "bytes",
    }
    assert answer.headers["content-disposition"] == "inline; filename*=utf-8''%D0%A3%D1%80%D0%BE%D0%BA%201.mp4"
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_part_of_the_bytes(bot: TestClient, media: Media) -> None:
    answer = bot.get(f"/api/media/{media.id}", headers={"Range": "bytes=10-19"})

    assert (answer.status_code, answer.content) == (206, BYTES[10:20])
    assert answer.headers["content-range"] == "bytes 10-19/1024"
    assert bot.get(f"/api/media/{media.id}", headers={"Range": "bytes=5000-"}).status_code == 416


@pytest.mark.parametrize("path", ["gone.mp4", "../test.db", "/etc/passwd", "..", ""])
def test_a_row_whose_file_is_gone_or_elsewhere_is_a_404(
    bot: TestClient, db: Session, settings: Settings, path: str
) -> None:
    settings.media_dir.mkdir(parents=True)
    Path(settings.data_dir / "test.db").write_text("secret")
    row = store(db, path=path)

    answer = bot.get(f"/api/media/{row.id}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_the_newest_file_id_of_a_bot_counts(bot: TestClient, db: Session, media: Media) -> None:
    url = f"/api/media/{media.id}/telegram-file"

    first = bot.put(url, json={"bot_id": 5, "file_id": "BAAC-1"})
    again = bot.put(url, json={"bot_id": 5, "file_id": "BAAC-2"})
    bot.put(url, json={"bot_id": 6, "file_id": "BAAC-3"})

    assert (first.status_code, first.json()) == (
        200,
        {"media_id": media.id, "bot_id": 5, "file_id": "BAAC-1"},
    )
    assert again.json() == {"media_id": media.id, "bot_id": 5, "file_id": "BAAC-2"}
    known = select(TelegramFile.bot_id, TelegramFile.file_id).order_by(TelegramFile.bot_id)
    assert db.execute(known).all() == [(5, "BAAC-2"), (6, "BAAC-3")]


@pytest.mark.parametrize("sent", [{}, {"bot_id": 0, "file_id": "x"}, {"bot_id": 1, "file_id": "a b"}])
def test_a_wrong_file_id_is_refused(bot: TestClient, media: Media, sent: Any) -> None:
    assert bot.put(f"/api/media/{media.id}/telegram-file", json=sent).status_code == 422


def test_an_unknown_file(bot: TestClient) -> None:
    assert bot.get("/api/media/7").status_code == 404
    assert bot.put("/api/media/7/telegram-file", json={"bot_id": 1, "file_id": "x"}).status_code == 404


def test_files_are_for_the_bot_alone(api: Api, admin: TestClient, client: TestClient, media: Media) -> None:
    url = f"/api/media/{media.id}"

    assert api("lessons:read", "lessons:write").get(url).status_code == 403
    assert [admin.get(url).status_code, client.get(url).status_code] == [401, 401]
