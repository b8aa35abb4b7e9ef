"""A lesson's content in the chat: videos are uploaded once, texts are never cut off."""

import io
from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.media import MediaFolder
from backend.database.crud.ledger import LedgerCRUD
from backend.database.crud.media import MediaCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.models.lessons import Lesson
from backend.database.models.media import TelegramFile
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.sandbox.student import ChatMessage, Student
from tests.bot.conftest import School
from tests.bot.test_story import tap
from tests.factories import make_course, make_lesson

Fresh = Callable[[], Session]
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"\0" * 300_000
WEBM = b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x86\x81\x01webm" + b"\0" * 3000


@pytest.fixture
def video(school: School, db: Session) -> Callable[[bytes, str], int]:
    """Stores a video; its id."""

    def keep(content: bytes, name: str) -> int:
        stored = MediaFolder(school.settings.media_dir).keep(io.BytesIO(content), name)
        media = MediaCRUD(db).register(stored, None)
        db.commit()
        return media.id

    return keep


def opened(student: Student, lesson_id: int = 1) -> list[ChatMessage]:
    """Opens a free lesson; its messages."""
    student.ask(f"/start lesson_{lesson_id}")
    student.press("▶ Open the lesson")
    student.wait(lambda message: ["Ask a question"] in message.rows)
    return [message for message in student.from_bot() if message.protected]


def test_a_video_is_uploaded_once_and_then_sent_by_its_name(
    running: School, db: Session, fresh: Fresh, video: Callable[[bytes, str], int]
) -> None:
    media_id = video(MP4, "Свет.mp4")
    make_lesson(db, title="Window light", is_free=True, price=0, media_id=media_id, text_content="Turn.")
    one, other = running.student("One"), running.student("Other")

    first = opened(one)
    second = opened(other)

    assert [(message.text, bool(message.video)) for message in first] == [
        ("Window light", True),
        ("Turn.", False),
    ]
    assert second[0].video is not None
    assert first[0].video is not None
    assert second[0].video["file_id"] == first[0].video["file_id"]
    assert (first[0].video["file_name"], first[0].video["file_size"]) == ("Свет.mp4", len(MP4))
    notes = [call["note"] for call in running.calls("sendVideo")]
    assert [note.rpartition(" ")[2] for note in notes] == ["Свет.mp4", "file_id"]
    assert running.line.asked.count(f"GET /api/media/{media_id}") == 1
    kept = fresh().scalars(select(TelegramFile)).one()
    assert (kept.bot_id, kept.file_id) == (running.account.id, first[0].video["file_id"])


def test_a_name_that_telegram_forgot_is_replaced(
    running: School, db: Session, fresh: Fresh, video: Callable[[bytes, str], int]
) -> None:
    media_id = video(MP4, "light.mp4")
    make_lesson(db, title="Window light", is_free=True, price=0, media_id=media_id, text_content=None)
    MediaCRUD(db).remember_file_id(media_id, running.account.id, "BAACgone")
    db.commit()

    sent = opened(running.student("Olga"))

    assert sent[0].video is not None
    assert fresh().scalars(select(TelegramFile.file_id)).all() == [sent[0].video["file_id"]]


def test_two_at_once_upload_once(running: School, db: Session, video: Callable[[bytes, str], int]) -> None:
    media_id = video(MP4, "light.mp4")
    make_lesson(db, title="Window light", is_free=True, price=0, media_id=media_id, text_content=None)
    students = [running.student(f"S{n}") for n in range(4)]
    for student in students:
        student.ask("/start lesson_1")
    for student in students:
        student.press("▶ Open the lesson", wait=0)
    for student in students:
        student.wait("The lesson “")

    assert running.line.asked.count(f"GET /api/media/{media_id}") == 1


def test_what_telegram_does_not_play_is_sent_as_a_file(
    running: School, db: Session, video: Callable[[bytes, str], int]
) -> None:
    media_id = video(WEBM, "light.webm")
    make_lesson(db, title="Window light", is_free=True, price=0, media_id=media_id, text_content=None)
    one, other = running.student("One"), running.student("Other")

    assert opened(one)[0].document is not None
    assert opened(other)[0].document is not None
    assert running.line.asked.count(f"GET /api/media/{media_id}") == 1


def test_without_the_video_the_text_still_comes(
    running: School, db: Session, video: Callable[[bytes, str], int]
) -> None:
    media_id = video(MP4, "light.mp4")
    make_lesson(db, title="Window light", is_free=True, price=0, media_id=media_id, text_content="Turn.")
    (running.settings.media_dir / MediaCRUD(db).get_by_id(media_id).path).unlink()
    student = running.student("Olga")
    student.ask("/start lesson_1")

    student.press("▶ Open the lesson")

    shown = student.wait("The lesson “")
    assert shown.text.endswith("The video could not be sent just now. Open the lesson again in a minute.")
    assert [message.text for message in student.from_bot() if message.protected] == ["Turn."]


def test_a_long_text_comes_whole_and_in_order(olga: Student, db: Session) -> None:
    paragraphs = [f"**{n}** " + f"слово{n} " * 90 for n in range(25)]
    make_lesson(db, title="Long", is_free=True, price=0, text_content="\n\n".join(paragraphs)[:20_000])

    sent = opened(olga)

    assert len(sent) == 5
    whole = "\n\n".join(message.text for message in sent)
    assert [whole.index(f"{n} слово{n}") for n in range(25)] == sorted(whole.index(f"{n} слово{n}") for n in range(25))
    assert all(message.protected for message in sent)


def test_a_lesson_with_nothing_in_it_says_so(olga: Student, db: Session) -> None:
    make_lesson(db, title="Soon", is_free=True, price=0, text_content=None)

    assert opened(olga) == []
    assert olga.last.text == ("You have access to “Soon”, but the school has not added anything to it yet.")


def test_a_video_elsewhere_is_a_link(olga: Student, db: Session) -> None:
    make_lesson(db, title="Afar", is_free=True, price=0, text_content=None, video_path="https://v.example/1")

    sent = opened(olga)

    assert [message.text for message in sent] == ["Afar\n\nWatch the video"]
    assert sent[0].entities[-1]["url"] == "https://v.example/1"


def test_my_lessons_have_pages_and_keep_what_is_hidden(olga: Student, db: Session, fresh: Fresh) -> None:
    for number in range(1, 11):
        make_lesson(db, title=f"Gift {number}", price=0, text_content="…")
    olga.ask("/start")
    for number in range(1, 11):
        olga.press_data(f"a1:buy:lesson:{number}:1")
        olga.wait("The lesson “")
    session = fresh()
    for lesson in session.scalars(select(Lesson)):
        lesson.is_active = False
    session.commit()

    mine = olga.ask("/my")

    assert [row[0] for row in mine.rows[:8]] == [f"▶ Gift {n}" for n in range(10, 2, -1)]
    last = tap(olga, "›")
    assert [row[0] for row in last.rows[:2]] == ["▶ Gift 2", "▶ Gift 1"]
    tap(olga, "Gift 1")
    olga.press("▶ Open the lesson")
    assert olga.wait("The lesson “Gift 1”")


def test_a_free_lesson_is_the_students_once_it_is_opened(olga: Student, db: Session, fresh: Fresh) -> None:
    free = make_lesson(db, title="First frame", is_free=True, price=0, text_content="Look.")
    assert olga.ask("/my").text.endswith("Nothing here yet. Everything you buy or get for free appears here.")

    for _time in range(2):
        opened(olga, free.id)

    session = fresh()
    kept = session.execute(select(Purchase.lesson_id, Purchase.amount, Purchase.status)).all()
    assert [tuple(row) for row in kept] == [(free.id, 0, "completed")]
    user = session.scalars(select(User).where(User.telegram_id == olga.id)).one()
    assert (user.purchases, user.spent) == (1, 0)
    assert LedgerCRUD(session).problems() == []
    assert olga.ask("/my").rows == [["▶ First frame"], ["‹ Menu"]]
    assert olga.ask("/lessons").rows[0] == ["✓ First frame"]


def test_a_free_lesson_that_is_owned_through_a_course_is_not_kept_twice(
    olga: Student, db: Session, fresh: Fresh
) -> None:
    free = make_lesson(db, title="First frame", is_free=True, price=0, text_content="Look.")
    olga.ask("/start")
    user = db.scalars(select(User).where(User.telegram_id == olga.id)).one()
    PurchaseCRUD(db).grant(user.id, course_id=make_course(db, [free]).id)
    db.commit()

    assert opened(olga, free.id)[0].text == "First frame\n\nLook."
    assert [row[0] for row in fresh().execute(select(Purchase.lesson_id))] == [None]


def test_the_way_back_is_the_way_that_was_come(olga: Student, db: Session) -> None:
    lessons = [make_lesson(db, title=f"Lesson {n}", price=10, text_content="…") for n in range(1, 11)]
    make_course(db, lessons, title="All of them")
    olga.ask("/lessons")
    second = tap(olga, "›")
    tap(olga, "Lesson 10")
    assert tap(olga, "‹ Lessons").rows == second.rows

    olga.ask("/courses")
    tap(olga, "All of them")
    inside = tap(olga, "›")
    card = tap(olga, "10. Lesson 10")
    assert card.rows[-1] == ["‹ Course", "‹ Menu"]
    tap(olga, "I have a promo code")
    tap(olga, "Cancel")
    olga.ask("/courses")
    tap(olga, "All of them")
    tap(olga, "›")
    tap(olga, "10. Lesson 10")
    assert tap(olga, "‹ Course").rows == inside.rows


def test_from_my_lessons_back_to_their_page_and_from_content_to_its_course(olga: Student, db: Session) -> None:
    lessons = [make_lesson(db, title=f"Lesson {n}", price=10, text_content="…") for n in range(1, 11)]
    course = make_course(db, lessons, title="All of them")
    olga.ask("/start")
    user = db.scalars(select(User).where(User.telegram_id == olga.id)).one()
    for thing in lessons:
        PurchaseCRUD(db).grant(user.id, lesson_id=thing.id)
    PurchaseCRUD(db).grant(user.id, course_id=course.id)
    db.commit()

    olga.ask("/my")
    second = tap(olga, "›")
    tap(olga, "Lesson 1")
    assert tap(olga, "‹ My lessons").rows == second.rows
    tap(olga, "‹")
    tap(olga, "All of them")
    tap(olga, "3. Lesson 3")
    tap(olga, "Open the lesson")
    assert olga.wait("The lesson “").rows[0] == ["‹ Course"]
    assert tap(olga, "‹ Course").text.startswith("All of them")


def test_buttons_of_before_still_work(olga: Student, db: Session) -> None:
    make_lesson(db, title="Window light", price=10, text_content="…")
    olga.ask("/start")
    olga.press_data("s1:lesson:1:0")
    assert olga.wait("Window light").rows[-1] == ["‹ Lessons", "‹ Menu"]


def test_a_course_with_many_lessons_has_pages(olga: Student, db: Session) -> None:
    lessons = [make_lesson(db, title=f"Part {n}", price=1) for n in range(1, 20)]
    make_course(db, lessons, title="Portrait", total_price=300)
    olga.ask("/start course_1")

    second = tap(olga, "›")

    assert [row[0] for row in second.rows[:3]] == ["9. Part 9", "10. Part 10", "11. Part 11"]
    assert second.rows[8] == ["‹", "2 / 3", "›"]
