"""Made-up buttons, links and texts: a sentence every time, and the bot goes on."""

from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.purchases import Purchase
from backend.sandbox.student import Student
from tests.bot.conftest import School
from tests.bot.test_story import tap
from tests.factories import make_lesson

Fresh = Callable[[], Session]
STALE = "This button is out of date. Here is the menu."


FORGED = (
    "x",
    "g1:menu",
    "g1:nowhere:0",
    "g1:lessons:-1",
    "g1:lessons:99999",
    "g1:lessons:1:2",
    "g0:menu:0",
    "s1:lesson:0:0",
    "r1:0",
    "s1:lesson:9223372036854775808:0",
    "s1:lesson:1e3:0",
    "s1:user:1:0",
    "s1:lesson::0",
    "a1:steal:lesson:1:0",
    "a1:buy:ticket:1:0",
    "a1:buy:lesson:1:maybe",
    "lesson:",
    "lesson:1:1",
    "ticket:0",
    "l1:de",
    "'; DROP TABLE users; --",
    "ы" * 32,
    "{}",
    ":::::",
)


def test_a_forged_button_is_answered_with_a_sentence(olga: Student) -> None:
    olga.ask("/start")

    for data in FORGED:
        answer = olga.press_data(data)
        assert answer is not None, data
        assert (data, answer.text, answer.alert) == (data, STALE, False)

    assert olga.ask("/help").text.startswith("Window Light: what I can do")


def test_what_is_not_there_is_said(olga: Student) -> None:
    for data in ("s1:lesson:77:0", "s1:course:77:0", "lesson:77", "course:77"):
        olga.ask("/start")
        assert olga.press_data(data) is not None
        noun = "Lesson" if "lesson" in data else "Course"
        said = olga.wait()
        assert said.text == f"{noun} 77 no longer exists."
        assert said.rows == [[f"{noun}s", "‹ Menu"]]

    for data in ("a1:buy:lesson:77:0", "a1:agree:course:77:1"):
        answer = olga.press_data(data)
        assert answer is not None
        noun = "Lesson" if "lesson" in data else "Course"
        assert (answer.text, answer.alert) == (f"{noun} 77 no longer exists.", True)


def test_a_forged_open_gives_no_lesson_away(olga: Student, db: Session, fresh: Fresh) -> None:
    make_lesson(db, title="Window light", price=199, text_content="The secret of light")
    olga.ask("/start")

    for data in ("a1:open:lesson:1:0", "lesson:1"):
        olga.ask("/start")
        olga.press_data(data)
        assert olga.wait().rows[0] == ["Buy for 199\xa0★"]

    assert [m for m in olga.from_bot() if "secret" in m.text] == []
    assert fresh().scalars(select(Purchase)).all() == []


def test_a_strange_deep_link_leads_to_the_menu(olga: Student) -> None:
    links = ("lesson_", "lesson_0", "lesson_x", "lesson_99999999999999999999", "course_-1")
    for payload in (*links, "promo_", "lesson", "_", "____", "a" * 64):
        olga.start(payload)
        assert olga.wait().text.startswith("Olga, welcome")


def test_any_text_gets_a_helpful_answer(olga: Student) -> None:
    texts = ("hello", "/unknown", "/", "<b>", "&", "%s %(x)s {y}", "\u202ertl", "x" * 4096)
    for text in (*texts, "\U0001f600" * 2048):
        shown = olga.ask(text)
        assert shown.text.startswith("I am a bot and understand buttons best.")
        assert ["Support", "‹ Menu"] in shown.rows


def test_a_photo_gets_a_helpful_answer(olga: Student) -> None:
    olga.send_document(b"%PDF-1.4")

    assert olga.wait().rows == [["Lessons", "My lessons"], ["Support", "‹ Menu"]]


def test_a_hostile_name_is_shown_as_it_is(running: School) -> None:
    student = running.student("<b>&lt;Bobby</b>", last_name="%s{0}")

    assert student.ask("/start").text.startswith("<b>&lt;Bobby</b>, welcome to Window Light.")


def test_a_button_pressed_many_times_is_harmless(olga: Student, db: Session, running: School) -> None:
    make_lesson(db, title="Window light", price=199)
    olga.ask("/start lesson_1")
    tap(olga, "Buy")
    consent = olga.last

    for _time in range(4):
        olga.press_data("a1:agree:lesson:1:0", consent, wait=0)

    running.box.wait_until(lambda: len(running.calls("answerCallbackQuery")) >= 5)
    olga.client.wait_until(lambda: len([m for m in olga.from_bot() if m.invoice]) == 1)


def test_an_old_screen_still_works_and_the_chat_keeps_one(olga: Student, db: Session) -> None:
    make_lesson(db, title="Window light", price=199)
    menu = olga.ask("/start")
    olga.clear()  # the student has emptied the chat; the bot does not know

    olga.ask("/lessons")
    assert tap(olga, "Window light").text.startswith("Window light")
    assert menu.id not in [message.id for message in olga.messages()]


DIALOGUES = {
    "nothing": (),
    "a promo code": ("g1:promo:0",),
    "a promo code for a lesson": ("a1:promo:lesson:1:0",),
    "a subject": ("g1:ask:0",),
    "a message": ("g1:ask:0", "About the light"),
}
ODD = (
    "a\0b",
    "\0",
    "\x01" * 1500,
    "\x7f\x1b[31m",
    "\u200b\u2060",
    "\ufeff",
    "a\u2028b\u2029c",
    "z\u0301" * 2000,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 200,
    "\\" * 4096,
    '"' * 4096,
    "<tg-spoiler>",
    "\n.\n" * 1000,
)


@pytest.mark.parametrize("asked", DIALOGUES)
def test_odd_texts_are_answered_wherever_they_are_typed(
    olga: Student, db: Session, running: School, asked: str
) -> None:
    make_lesson(db, title="Window light", price=199)
    for text in ODD:
        olga.ask("/start")
        for step in DIALOGUES[asked]:
            if ":" in step:
                assert olga.press_data(step) is not None
            else:
                olga.ask(step)
        assert olga.ask(text).by_bot
        # The screen before goes a moment after the new one has come.
        running.box.wait_until(lambda: len([message for message in olga.from_bot() if message.rows]) == 1, 2.0)
    assert [call["note"] for call in running.box.journal(bot=running.account) if not call["ok"]] == []
