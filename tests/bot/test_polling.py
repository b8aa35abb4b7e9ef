"""Long polling: faults of Telegram and of the school, several processes, order, restarts."""

import asyncio
import time
from collections.abc import Callable

import pytest
from aiogram.exceptions import ClientDecodeError, TelegramServerError
from aiogram.methods import GetUpdates
from aiogram.types import Update
from fastapi import FastAPI, Request
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.bot import polling
from backend.bot.lease import Lease
from backend.bot.polling import Poller
from backend.bot.run import make_api, make_service
from backend.bot.telegram import described, make_bot
from backend.database.models.system import BotChat
from backend.database.models.system import Lease as LeaseRow
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import User
from backend.sandbox.student import Student
from backend.sandbox.testing import served
from tests.bot.conftest import School
from tests.bot.test_story import tap
from tests.factories import make_lesson

Fresh = Callable[[], Session]


def test_a_fault_of_telegram_is_outwaited(olga: Student, running: School) -> None:
    olga.ask("/start")
    faults = [
        (kind, method)
        for kind in ("429", "500", "502")
        for method in ("sendMessage", "editMessageText", "answerCallbackQuery")
    ]
    for kind, method in faults:
        running.box.fault(kind, method=method, bot=running.account)
        assert olga.press("Help") is not None
        assert olga.wait().text.startswith("Window Light: what I can do")
        assert olga.ask("/start").text.startswith("Olga, welcome")


def test_a_lost_answer_leaves_one_screen(olga: Student, running: School) -> None:
    olga.ask("/start")
    running.box.fault("lost", method="editMessageText", seconds=0.1, bot=running.account)

    tap(olga, "Help")

    assert len(olga.from_bot()) == 1


def test_polling_goes_on_after_faults(olga: Student, running: School) -> None:
    for kind in ("500", "502", "429"):
        running.box.fault(kind, method="getUpdates", bot=running.account)
        assert olga.ask("/help").text.startswith("Window Light: what I can do")


def test_the_pace_of_a_chat_is_kept(olga: Student, running: School, db: Session) -> None:
    make_lesson(db, title="Long", is_free=True, price=0, text_content="слово " * 3300)
    running.box.rules(running.account, rate=True)
    olga.ask("/start")
    for _time in range(2):
        olga.ask("/start lesson_1")
        olga.press("▶ Open the lesson")
        olga.wait("The lesson “", timeout=30.0)

    sent = running.calls("sendMessage")
    assert any(call["note"].startswith("Too Many Requests") for call in sent if not call["ok"])
    assert [call for call in sent if call["ok"]][-1]["note"].startswith("The lesson “")


def test_the_school_being_away_is_said(olga: Student, running: School) -> None:
    olga.ask("/start")
    running.hurry()
    running.line.down = "/api"

    assert olga.ask("/help").text == "⚠️ The school is not answering. Try again in a minute."
    answer = olga.press_data("g1:menu:0")
    assert answer is not None
    assert (answer.text, answer.alert) == (
        "The school is not answering. Try again in a minute.",
        True,
    )

    running.line.down = ""
    running.bots[0].stop()
    running.start_bot()
    assert olga.ask("/help").text.startswith("Window Light: what I can do")


def test_the_school_failing_in_the_middle_is_said(olga: Student, running: School) -> None:
    olga.ask("/start")
    running.hurry()
    running.line.down = "/api/lessons"

    answer = olga.press("Lessons")

    assert answer is not None
    assert answer.alert
    assert answer.text == "The school is not answering. Try again in a minute."
    assert olga.ask("/lessons").text.startswith("⚠️ The school is not answering.")


def test_updates_of_a_chat_are_handled_in_their_order(running: School, db: Session, fresh: Fresh) -> None:
    students = [running.student(f"S{n}") for n in range(5)]
    for text in ("/support", "/start"):
        for student in students:
            student.send(text)
    for student in students:
        student.wait("welcome")
        student.press_data("g1:ask:0", wait=0)
        student.send("Subject")
        student.send("Message")
    for student in students:
        student.wait("✓ Sent.", timeout=20.0)

    said = fresh().execute(select(SupportTicket.subject, SupportTicket.message)).all()
    assert [tuple(each) for each in said] == [("Subject", "Message")] * 5


def test_a_dialogue_survives_a_restart(olga: Student, running: School, fresh: Fresh) -> None:
    olga.ask("/support")
    tap(olga, "Ask a question")
    olga.ask("No sound")
    living = olga.last
    running.bots[0].stop()
    assert fresh().scalars(select(BotChat.state)).one() == "Ask:message"

    running.start_bot()
    sent = olga.ask("The video is silent.")

    assert sent.text.startswith("№1. No sound")
    running.box.wait_until(lambda: living.id not in [message.id for message in olga.messages()])


def test_nothing_written_while_the_bot_was_away_is_lost(school: School) -> None:
    student = school.student("Olga")
    student.send("/start")
    student.send("/help")

    school.start_bot()

    assert student.wait("what I can do").text.startswith("Window Light")
    confirmed = [line["confirmed"] for line in school.box.updates(school.account)]
    school.bots[0].stop()
    confirmed = [line["confirmed"] for line in school.box.updates(school.account)]
    assert confirmed == [True, True]


def test_an_update_repeated_under_the_same_number_does_nothing(olga: Student, running: School) -> None:
    olga.ask("/start")
    rev = olga.last.rev

    running.box.repeat_update(bot=running.account)

    time.sleep(1.0)
    assert olga.last.rev == rev


def test_a_question_is_not_doubled_when_its_update_comes_again_after_a_restart(
    olga: Student, running: School, fresh: Fresh
) -> None:
    olga.ask("Where is my lesson?")
    tap(olga, "Send this to support")
    pressed = next(
        line["update"]["update_id"]
        for line in running.box.updates(running.account)
        if "callback_query" in line["update"]
    )
    running.bots[0].stop()
    session = fresh()
    chat = session.scalars(select(BotChat)).one()
    chat.data = {**chat.data, "draft": "Where is my lesson?"}  # as if it died before remembering
    session.commit()
    running.box.repeat_update(pressed, running.account)

    running.start_bot()
    olga.wait("✓ Sent.")

    assert len(fresh().scalars(select(SupportTicket)).all()) == 1


def test_of_two_processes_one_polls_and_the_other_takes_over(school: School, fresh: Fresh) -> None:
    first = school.start_bot()
    student = school.student("Olga")
    assert student.ask("/start").text.startswith("Olga, welcome")
    holder = fresh().scalars(select(LeaseRow.holder)).one()
    school.start_bot()
    time.sleep(0.5)
    assert fresh().scalars(select(LeaseRow.holder)).one() == holder

    first.stop()

    assert student.ask("/help", timeout=15.0).text.startswith("Window Light")
    assert fresh().scalars(select(LeaseRow.holder)).one() != holder


def test_a_lease_is_kept_over_a_short_fault_and_lost_to_another(school: School) -> None:
    async def story() -> list[str]:
        told: list[str] = []
        api = make_api("http://127.0.0.1:8000", lambda: school.token, school.line)
        mine = Lease(api, retry_seconds=0.1, renew_seconds=0.1)

        async def work() -> None:
            told.append("begun")
            try:
                await asyncio.Event().wait()
            finally:
                told.append("ended")

        running = asyncio.create_task(mine.run(work))
        while not told:  # noqa: ASYNC110 - a test may poll
            await asyncio.sleep(0.05)
        school.line.down = "/api/bot/lease"
        await asyncio.sleep(0.5)
        told.append("fault over")
        school.line.down = ""
        with school.database.transaction() as session:  # as if we had slept for a minute
            session.execute(update(LeaseRow).values(holder="another"))
        while told[-1] != "ended":  # noqa: ASYNC110 - a test may poll
            await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await api.http.aclose()
        return told

    assert asyncio.run(asyncio.wait_for(story(), 20)) == ["begun", "fault over", "ended"]


def test_a_slow_update_is_let_go_and_a_payment_is_not(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "HOLD_SECONDS", 0.0)
    student = school.student("Olga")
    student.send("/start")
    school.line.down = "/api"
    paid = {
        "currency": "XTR",
        "total_amount": 1,
        "invoice_payload": "x",
        "telegram_payment_charge_id": "c",
        "provider_payment_charge_id": "p",
    }
    person = {"id": student.id, "is_bot": False, "first_name": "Olga"}
    message = {"message_id": 9, "date": 1, "chat": {"id": 9, "type": "private"}, "from": person}

    async def story() -> tuple[bool, bool]:
        api = make_api("http://127.0.0.1:8000", lambda: school.token, school.line)
        poller = Poller(make_service(school.settings, api, school.account.token))
        poller._begin([Update.model_validate({"update_id": 1, "message": {**message, "text": "x"}})])
        slow = poller._confirm()
        poller._begin([Update.model_validate({"update_id": 2, "message": {**message, "successful_payment": paid}})])
        money = poller._confirm()
        for task in poller._tasks.values():
            task.cancel()
        await asyncio.gather(*poller._tasks.values(), return_exceptions=True)
        await poller.service.bot.session.close()
        await api.http.aclose()
        return slow, money

    assert asyncio.run(story()) == (False, True)


def test_a_payment_that_cannot_be_booked_does_not_hide_what_comes_behind(school: School) -> None:
    """Telegram shows a hundred updates at once, beginning with the one that is held."""
    school.line.down = "/api"
    paid = {"currency": "XTR", "total_amount": 1, "invoice_payload": "x"}
    charge = {"telegram_payment_charge_id": "c", "provider_payment_charge_id": "p"}
    person = {"id": 9, "is_bot": False, "first_name": "Olga"}
    message = {"message_id": 9, "date": 1, "chat": {"id": 9, "type": "private"}, "from": person}
    first = {"update_id": 1, "message": {**message, "successful_payment": paid | charge}}
    rest = [{"update_id": number} for number in range(2, 101)]

    async def story() -> list[tuple[bool, int | None, bool]]:
        api = make_api("http://127.0.0.1:8000", lambda: school.token, school.line)
        poller = Poller(make_service(school.settings, api, school.account.token))
        seen = []
        for batch in ([first, *rest[:-1]], rest[-1:]):
            poller._begin([Update.model_validate(update) for update in batch])
            await asyncio.sleep(0.1)
            seen.append((poller._confirm(), poller.offset, 1 in poller._tasks))
        for task in poller._tasks.values():
            task.cancel()
        await asyncio.gather(*poller._tasks.values(), return_exceptions=True)
        await poller.service.bot.session.close()
        await api.http.aclose()
        return seen

    assert asyncio.run(story()) == [(True, 1, True), (False, 101, True)]


def test_an_update_that_cannot_be_read_does_not_deafen_the_bot(school: School) -> None:
    """A Telegram newer than our library: what it says is read one by one."""
    asked: list[int] = []
    start = {
        "update_id": 8,
        "message": {
            "message_id": 1,
            "date": 1,
            "text": "/start",
            "chat": {"id": 77, "type": "private"},
            "from": {"id": 77, "is_bot": False, "first_name": "Olga"},
        },
    }
    telegram = FastAPI()

    @telegram.post("/bot{token}/{method}")
    async def answer(method: str, request: Request) -> object:
        async with request.form() as form:
            if method != "getUpdates":
                return {"ok": False, "error_code": 400, "description": "Bad Request"}
            offset = int(str(form.get("offset", 0)))
        asked.append(offset)
        unread = [{"update_id": 7, "message": {"message_id": "?"}}, start]
        return {"ok": True, "result": [update for update in unread if update["update_id"] >= offset]}  # type: ignore[operator] # a number

    async def story(origin: str) -> None:
        local = school.settings.model_copy(update={"telegram_api_url": origin})
        api = make_api("http://127.0.0.1:8000", lambda: school.token, school.line)
        service = make_service(local, api, school.account.token)
        polling = asyncio.create_task(Poller(service).run())
        await asyncio.to_thread(school.box.wait_until, lambda: 9 in asked)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        await service.bot.session.close()
        await api.http.aclose()

    with served(telegram) as origin:
        asyncio.run(asyncio.wait_for(story(origin), 20))
    assert "POST /api/users/" in school.line.asked


@pytest.mark.parametrize("data", ["<html>", {"ok": True}, {"result": [{"update_id": "x"}]}, {"result": [[]]}])
def test_an_answer_that_holds_no_updates_is_an_error(school: School, data: object) -> None:
    error = ClientDecodeError("Failed to decode object", ValueError("odd"), data)
    poller = Poller(make_service(school.settings, make_api("http://x", str), school.account.token))

    with pytest.raises(ClientDecodeError):
        poller._readable(error)
    assert described(error, poller.service.bot) == "ClientDecodeError: Failed to decode object (ValueError)"


def test_the_token_is_in_no_log_line() -> None:
    bot = make_bot("42:SECRET", "http://127.0.0.1:1")
    error = TelegramServerError(method=GetUpdates(), message="http://x/bot42:SECRET/getUpdates")

    assert "SECRET" not in described(error, bot)


def test_a_bot_without_telegram_waits_and_ends_in_peace(school: School, fresh: Fresh) -> None:
    school.settings = school.settings.model_copy(update={"telegram_api_url": "http://127.0.0.1:9"})
    bot = school.start_bot()
    school.box.wait_until(lambda: fresh().scalars(select(LeaseRow)).all())

    bot.stop()

    assert fresh().scalars(select(LeaseRow)).all() == []
    assert fresh().scalars(select(User.telegram_id).where(User.telegram_id.is_not(None))).all() == []
