"""Who the student is: language, profile, terms, blocking; and what the bot says of itself."""

from collections.abc import Callable

import httpx2
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.models.users import User
from backend.sandbox.student import Student
from tests.bot.conftest import School
from tests.bot.test_story import tap
from tests.factories import make_lesson

Fresh = Callable[[], Session]


def known(db: Session, student: Student) -> User:
    return db.scalars(select(User).where(User.telegram_id == student.id)).one()


def test_the_language_follows_telegram_until_one_is_chosen(running: School, fresh: Fresh) -> None:
    for code, word in (("ru", "Язык"), ("ru-RU", "Язык"), ("de", "Language"), ("", "Language")):
        assert word in running.student("A", language_code=code).ask("/profile").rows[1]

    student = running.student("Anna", language_code="ru")
    student.ask("/language")
    chosen = tap(student, "English")
    assert chosen.text.startswith("Done. I'll use this language from now on.")
    assert chosen.rows[0] == ["Русский", "✓ English"]
    assert known(fresh(), student).ui_language == "en"
    assert student.ask("/help").text.startswith("Window Light: what I can do")

    student.ask("/language")
    assert tap(student, "Same as Telegram").text.startswith("Готово")
    assert known(fresh(), student).ui_language is None


def test_the_profile_shows_who_and_what(olga: Student, db: Session) -> None:
    make_lesson(db, title="First frame", is_free=False, price=0, text_content="…")
    olga.ask("/start lesson_1")
    olga.press("Get it free")
    olga.wait("The lesson “")

    profile = olga.ask("/profile")

    assert profile.text.startswith("Olga\nLanguage: same as Telegram\nWith us since ")
    assert profile.text.endswith("My lessons and courses: 1")


def test_a_new_name_is_taken_over_and_a_corrected_one_left_alone(running: School, fresh: Fresh) -> None:
    student = running.student("Olgaa", username="olga")
    student.ask("/start")
    session = fresh()
    known(session, student).first_name = "Olga"
    session.commit()

    student.ask("/help")
    assert known(fresh(), student).first_name == "Olga"

    student.rename(username="olga_new", first_name="Ольга")
    student.ask("/help")
    assert (known(fresh(), student).first_name, known(fresh(), student).username) == (
        "Ольга",
        "olga_new",
    )


def test_the_first_deep_link_is_remembered(running: School, fresh: Fresh) -> None:
    student = running.student("Olga")
    student.ask("/start reels_may")
    student.ask("/start other")

    assert known(fresh(), student).source == "reels_may"


def test_terms_are_accepted_once(olga: Student, fresh: Fresh) -> None:
    assert olga.ask("/terms").rows == [["✓ I accept"], ["‹ Menu"]]

    accepted = tap(olga, "✓ I accept")

    assert accepted.text.endswith("✓ You have accepted these terms.")
    assert accepted.rows == [["‹ Menu"]]
    assert known(fresh(), olga).terms_accepted_at is not None


def test_blocking_and_unblocking_reach_the_school(olga: Student, running: School, fresh: Fresh) -> None:
    olga.ask("/start")
    olga.block()
    running.box.wait_until(lambda: known(fresh(), olga).blocked_bot_at)

    olga.unblock()
    running.box.wait_until(lambda: known(fresh(), olga).blocked_bot_at is None)


def test_whoever_writes_has_taken_the_bot_back(olga: Student, running: School, db: Session, fresh: Fresh) -> None:
    """The update that says so may be lost; what is owed leaves all the same."""
    olga.ask("/start")
    owed = DispatchCRUD(db).enqueue(
        "owed", chat_id=olga.id, user_id=known(db, olga).id, method="sendMessage", params={"text": "Your answer"}
    )
    DispatchCRUD(db).fail(owed.id, 0, "blocked: Forbidden")
    DispatchCRUD(db).mark_blocked(olga.id)

    olga.ask("/help", "what I can do")

    assert known(fresh(), olga).blocked_bot_at is None
    assert running.deliver_outbox() == 1
    assert olga.wait("Your answer").by_bot


def test_a_block_found_while_writing_is_kept(olga: Student, running: School, fresh: Fresh) -> None:
    olga.ask("/start")
    running.bots[0].stop()
    olga.send("/help")
    olga.block()

    running.start_bot()

    running.box.wait_until(lambda: known(fresh(), olga).blocked_bot_at)
    olga.start()
    assert olga.wait().text.startswith("Olga, welcome")


def test_commands_are_listed_in_the_language_of_the_reader(running: School, olga: Student) -> None:
    olga.ask("/start")

    def listed(language: str) -> dict[str, str]:
        url = f"{running.box.api}/bot{running.account.token}/getMyCommands"
        answer = httpx2.post(url, json={"language_code": language} if language else {})
        return {each["command"]: each["description"] for each in answer.json()["result"]}

    assert listed("")["my"] == "My lessons"
    assert listed("ru")["my"] == "Мои уроки"
    assert listed("ru")["paysupport"] == "Вопросы об оплате"


def test_the_commands_follow_the_language_that_was_chosen(running: School) -> None:
    student = running.student("Anna", language_code="ru")
    student.ask("/language")

    def first() -> str | None:
        scope = {"type": "chat", "chat_id": student.id}
        asked = httpx2.post(
            f"{running.box.api}/bot{running.account.token}/getMyCommands", json={"scope": scope}, trust_env=False
        )
        return next((command["description"] for command in asked.json()["result"]), None)

    assert first() is None
    tap(student, "English")
    assert first() == "Menu"
    tap(student, "Русский")
    assert first() == "Меню"
    tap(student, "Как в Telegram")
    assert first() is None


def test_the_school_learns_the_bots_name(olga: Student, running: School, fresh: Fresh) -> None:
    olga.ask("/start")
    assert SettingCRUD(fresh()).find_bot() == {"id": running.account.id, "username": running.account.username}
