"""What the bot gets of a lesson, and who gets nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.database.models.media import Media, TelegramFile
from tests.factories import make_course, make_lesson, make_purchase, make_user, save

OWN_QUERIES = 1  # the token with its rights


def make_media(db: Session, **fields: Any) -> Media:
    values = {
        "path": "tokEn_1.mp4",
        "filename": "Урок.mp4",
        "mime": "video/mp4",
        "size": 10,
        "sha256": "a" * 64,
    }
    media = Media(**values | fields)
    save(db, media)
    return media


def error(answer: Any) -> tuple[int, str, dict[str, str]]:
    told = answer.json()["error"]
    return answer.status_code, told["code"], told.get("fields", {})


def content(bot: TestClient, user_id: int, lesson_id: int, **query: int) -> Any:
    return bot.get(f"/api/users/{user_id}/lessons/{lesson_id}/content", params=query)


def test_a_stranger_to_the_lesson_is_not_entitled(bot: TestClient, db: Session) -> None:
    user, lesson = make_user(db), make_lesson(db)
    make_purchase(db, make_user(db), lesson)

    answer = content(bot, user.id, lesson.id)

    assert error(answer)[:2] == (403, "not_entitled")
    assert answer.json()["error"]["message"] == "This lesson opens after the purchase."


def test_a_buyer_reads_the_lesson_even_when_it_is_hidden(bot: TestClient, db: Session) -> None:
    user, lesson = (
        make_user(db),
        make_lesson(db, title="Scales", text_content="Do re mi", is_active=False),
    )
    make_purchase(db, user, lesson)

    assert content(bot, user.id, lesson.id).json() == {
        "lesson_id": lesson.id,
        "title": "Scales",
        "text_content": "Do re mi",
        "video_path": None,
        "media": None,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "pending"},
        {"status": "failed"},
        {"revoked_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=1)},
    ],
)
def test_only_a_live_completed_purchase_entitles(bot: TestClient, db: Session, fields: dict[str, Any]) -> None:
    user, lesson = make_user(db), make_lesson(db)
    make_purchase(db, user, lesson, **fields)

    assert error(content(bot, user.id, lesson.id))[:2] == (403, "not_entitled")


def test_a_course_entitles_to_the_lessons_it_holds_now(bot: TestClient, db: Session) -> None:
    user, inside, outside = make_user(db), make_lesson(db), make_lesson(db)
    course = make_course(db, [inside])
    make_purchase(db, user, inside, lesson_id=None, course_id=course.id)

    assert content(bot, user.id, inside.id).status_code == 200
    assert error(content(bot, user.id, outside.id))[:2] == (403, "not_entitled")


def test_a_free_lesson_is_for_everyone_until_it_is_hidden(bot: TestClient, db: Session) -> None:
    user, free = make_user(db), make_lesson(db, is_free=True)
    draft = make_lesson(db, is_free=True, is_active=False)

    assert content(bot, user.id, free.id).status_code == 200
    assert error(content(bot, user.id, draft.id))[:2] == (403, "not_entitled")


def test_content_of_nobody_and_of_nothing(bot: TestClient, db: Session) -> None:
    user, lesson = make_user(db), make_lesson(db, is_free=True)

    assert error(content(bot, 999, lesson.id))[:2] == (404, "not_found")
    assert error(content(bot, user.id, 999))[:2] == (404, "not_found")


def test_content_takes_one_query_of_its_own(bot: TestClient, db: Session, queries: list[str]) -> None:
    user, lesson = make_user(db), make_lesson(db, media_id=make_media(db).id)
    make_purchase(db, user, lesson)
    content(bot, user.id, lesson.id)
    queries.clear()

    assert content(bot, user.id, lesson.id).status_code == 200
    assert len(queries) == OWN_QUERIES + 1


def test_a_video_comes_with_the_file_id_of_the_asking_bot(bot: TestClient, db: Session) -> None:
    media = make_media(db)
    user, lesson = (
        make_user(db),
        make_lesson(db, media_id=media.id, video_path=media.path, is_free=True),
    )
    save(db, TelegramFile(media_id=media.id, bot_id=5, file_id="BAAC"))

    known = content(bot, user.id, lesson.id, bot_id=5).json()
    unknown = content(bot, user.id, lesson.id, bot_id=6).json()

    assert known["video_path"] == "tokEn_1.mp4"
    assert known["media"] == {
        "id": media.id,
        "url": f"/api/media/{media.id}",
        "path": "tokEn_1.mp4",
        "filename": "Урок.mp4",
        "mime": "video/mp4",
        "size": 10,
        "file_id": "BAAC",
    }
    assert unknown["media"] == known["media"] | {"file_id": None}
    assert content(bot, user.id, lesson.id).json()["media"]["file_id"] is None
