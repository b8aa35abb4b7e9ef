"""What happens rarely: lost memories, groups, our own mistakes, screens older than two days."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiogram.types import Update
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.bot.run import make_api, make_service
from backend.bot.texts import menu
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.models.purchases import Purchase
from backend.database.models.system import BotChat
from backend.database.models.users import User
from backend.sandbox.student import Student
from tests.bot.conftest import School
from tests.bot.test_payments import invoiced
from tests.bot.test_story import tap
from tests.factories import make_lesson, make_promo, make_user

Fresh = Callable[[], Session]


def settled(student: Student) -> None:
    """Until the bot has finished with everything and saved its memory."""
    updates = student.client.updates
    student.client.wait_until(lambda: all(line["confirmed"] for line in updates(student.account)))


def remember(student: Student, fresh: Fresh, **changes: Any) -> None:
    """Changes what the bot remembers of the only chat; None forgets."""
    settled(student)
    session = fresh()
    chat = session.scalars(select(BotChat)).one()
    chat.data = {name: value for name, value in (chat.data | changes).items() if value is not None}
    session.commit()


def test_a_code_from_the_menu_waits_for_whatever_is_bought(olga: Student, db: Session) -> None:
    make_lesson(db, title="Window light", price=200)
    make_promo(db, code="SPRING", discount_percent=50)

    assert olga.ask("/promo").text == "Send me the promo code as a message."
    assert "Promo code SPRING is saved for your next purchase." in olga.ask("spring").text

    assert olga.ask("/start lesson_1").rows[0] == ["Buy for 100\xa0★"]


def test_an_old_buy_button_opens_what_is_owned(olga: Student, db: Session) -> None:
    make_lesson(db, title="Window light", price=200, text_content="Turn.")
    invoiced(olga)
    olga.pay()
    olga.wait("The lesson “")

    olga.press_data("a1:buy:lesson:1:0")

    assert olga.wait("The lesson “").text.startswith("The lesson “Window light” is above.")


def test_a_payment_returned_meanwhile_opens_nothing(olga: Student, running: School, db: Session) -> None:
    make_lesson(db, title="Window light", price=200, text_content="Turn.")
    invoiced(olga)
    olga.pay()
    olga.wait("The lesson “")
    updates = [line["update"] for line in running.box.updates(running.account)]
    paid = next(u["update_id"] for u in updates if "successful_payment" in u.get("message", {}))
    running.bots[0].stop()
    db.rollback()
    PurchaseCRUD(db).refund(db.scalars(select(Purchase.id)).one())
    db.commit()
    running.box.repeat_update(paid, running.account)

    running.start_bot()

    shown = olga.wait("has been refunded")
    assert shown.text == "This payment of 200\xa0★ has been refunded, so access is closed."


def test_our_own_mistake_is_said_and_the_next_screen_works(olga: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    olga.ask("/start")
    monkeypatch.setattr(menu, "help_", lambda _school: 1 / 0)

    assert olga.ask("/help").text.startswith("⚠️ Something went wrong on our side.")
    answer = olga.press_data("g1:help:0")
    assert answer is not None
    assert answer.text == menu.broken()

    monkeypatch.undo()
    assert olga.ask("/help").text.startswith("Window Light: what I can do")


def test_a_memory_of_nonsense_is_no_obstacle(olga: Student, fresh: Fresh) -> None:
    olga.ask("/start")
    remember(olga, fresh, living={"id": "x"}, about=5, promo=7, draft=[], user="me", seen=None)

    assert olga.ask("/help").text.startswith("Window Light: what I can do")
    assert tap(olga, "‹ Menu").text.startswith("Olga, welcome")


def test_a_stranger_in_the_memory_is_replaced(olga: Student, db: Session, fresh: Fresh) -> None:
    olga.ask("/start")
    other = make_user(db)
    for wrong in (other.id, 99_999):
        remember(olga, fresh, user=wrong)
        assert olga.ask("/profile").text.startswith("Olga\n")
    settled(olga)
    found = fresh().scalars(select(BotChat)).one().data["user"]
    assert db.get(User, found).telegram_id == olga.id  # type: ignore[union-attr] # it is there


def test_a_reply_to_a_forgotten_ticket_is_an_apology(olga: Student, fresh: Fresh) -> None:
    olga.ask("/start")
    settled(olga)
    session = fresh()
    session.scalars(select(BotChat)).one().state = "Ask:reply"
    session.commit()

    assert olga.ask("An old one").text.startswith("⚠️ Something went wrong on our side.")


def test_a_draft_that_is_gone_becomes_a_question(olga: Student, fresh: Fresh) -> None:
    olga.ask("Where is my lesson?")
    remember(olga, fresh, draft=None)

    assert tap(olga, "Send this to support").text.startswith("What is it about?")


def test_a_screen_older_than_two_days_keeps_its_words_and_loses_its_buttons(olga: Student, fresh: Fresh) -> None:
    old = olga.ask("/start")
    remember(olga, fresh, living={"id": old.id, "sent": 0.0, "editable": True})

    olga.ask("/help")

    def kept() -> bool:
        message = next(each for each in olga.from_bot() if each.id == old.id)
        return message.rows == [] and message.text.startswith("Olga, welcome")

    olga.client.wait_until(kept)


PERSON = {"id": 5, "is_bot": False, "first_name": "Olga"}
GROUP = {"id": -100, "type": "supergroup", "title": "Class"}
BOT = {"id": 42, "is_bot": True, "first_name": "School"}


@pytest.mark.parametrize(
    "event",
    [
        {"message": {"message_id": 1, "date": 1, "chat": GROUP, "from": PERSON, "text": "/start"}},
        {"message": {"message_id": 1, "date": 1, "chat": GROUP, "from": BOT, "text": "/start"}},
        {"message": {"message_id": 1, "date": 1, "chat": GROUP, "text": "/start"}},
        {
            "callback_query": {
                "id": "1",
                "from": PERSON,
                "chat_instance": "1",
                "data": "g1:menu:0",
                "message": {"message_id": 1, "date": 1, "chat": GROUP, "from": BOT, "text": "x"},
            }
        },
        {
            "my_chat_member": {
                "chat": GROUP,
                "from": PERSON,
                "date": 1,
                "old_chat_member": {"status": "left", "user": BOT},
                "new_chat_member": {"status": "member", "user": BOT},
            }
        },
        {
            "message": {
                "message_id": 1,
                "date": 1,
                "chat": {"id": 5, "type": "private"},
                "from": PERSON,
                "pinned_message": {"message_id": 1, "date": 0, "chat": {"id": 5, "type": "private"}},
            }
        },
        {
            "poll": {
                "id": "1",
                "question": "?",
                "options": [],
                "total_voter_count": 0,
                "is_closed": True,
                "is_anonymous": True,
                "type": "regular",
                "allows_multiple_answers": False,
                "allows_revoting": False,
                "members_only": False,
            }
        },
        {},
    ],
)
def test_what_concerns_no_student_is_let_go(school: School, event: dict[str, Any]) -> None:
    async def handle() -> None:
        api = make_api("http://127.0.0.1:8000", lambda: school.token, school.line)
        service = make_service(school.settings, api, school.account.token)
        context = {"bot": service.bot}
        await service.handle(Update.model_validate({"update_id": 1, **event}, context=context))
        await service.bot.session.close()
        await api.http.aclose()

    asyncio.run(handle())

    assert [call["name"] for call in school.calls("sendMessage")] == []
    assert [path for path in school.line.asked if path.startswith("POST")] in ([], ["POST /api/users/"])
