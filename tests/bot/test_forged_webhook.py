"""A thousand calls of somebody who is not Telegram, and Telegram's own that come twice and in any order."""

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.bot import webhook
from backend.database.models.orders import Order, Payment, Refund
from backend.database.models.purchases import Purchase
from backend.database.models.tickets import Message, SupportTicket
from backend.database.models.users import User
from backend.sandbox.student import Student
from tests.bot.conftest import School
from tests.bot.test_payments import invoiced
from tests.bot.test_story import tap
from tests.bot.test_webhook import Across, hooked
from tests.contents import digest
from tests.factories import make_lesson
from tests.figures import Figure

__all__ = ["hooked"]  # a fixture
Fresh = Callable[[], Session]
Headers = list[tuple[str, bytes]]
FORGERIES = 1_000
EFFECTS = User, Order, Payment, Purchase, Refund, SupportTicket, Message


def secrets(right: str) -> Iterator[bytes]:
    """What is not the secret, however near it comes."""
    for at, sign in enumerate(right):
        yield f"{right[:at]}{'1' if sign == '0' else '0'}{right[at + 1 :]}".encode()
    yield from (right[:at].encode() for at in range(0, len(right), 4))
    yield from (right[at:].encode() for at in range(1, len(right), 8))
    whole = right.encode()
    for before, after in itertools.product((b"", b"Bearer ", b"0", b'"'), (b"", b"0", b'"', b",", b"=", b"\xff")):
        if before or after:
            yield before + whole + after
    yield from (whole.upper(), whole[::-1], whole * 2, b"%30" + whole[1:], b"null", b"true", b"0", b"*", b"\xd0\xba")
    yield from (b"a" * 60_000, whole + b" " + whole, whole.swapcase(), b"{}", b"$" + whole, b"bot", b"x" * len(whole))


def spellings(right: bytes) -> Iterator[Headers]:
    """The secret itself, where nobody looks for it; or a wrong one before it."""
    names = (
        "X-Telegram-Bot-Api-Secret", "X-Telegram-Bot-Api-Token", "Telegram-Bot-Api-Secret-Token", "Secret-Token",
        "X_Telegram_Bot_Api_Secret_Token", "X-Telegram-Bot-Api-Secret-Token-", "X-Telegram-Bot-Api-SecretToken",
        "Authorization", "Cookie", "X-Api-Key", "X-Forwarded-X-Telegram-Bot-Api-Secret-Token", "Referer",
    )  # fmt: skip
    yield from ([(name, right)] for name in names)
    yield [(webhook.HEADER, b"wrong"), (webhook.HEADER, right)]
    yield [(webhook.HEADER, b""), (webhook.HEADER, right)]
    yield [("Cookie", webhook.HEADER.encode() + b"=" + right)]
    yield []


def message(number: int, **fields: Any) -> dict[str, Any]:
    person = {"id": 7, "is_bot": False, "first_name": "Mallory", "language_code": "en"}
    chat = {"id": 7, "type": "private", "first_name": "Mallory"}
    return {"update_id": number, "message": {"message_id": number, "date": 1, "chat": chat, "from": person, **fields}}


def bodies(payload: str) -> Iterator[bytes]:
    paid = {"currency": "XTR", "total_amount": 199, "invoice_payload": payload, "telegram_payment_charge_id": "forged"}
    said = message(4)["message"]
    made = (
        message(1, text="/start"),
        message(2, text="/start lesson_1"),
        message(3, successful_payment={**paid, "provider_payment_charge_id": ""}),
        {"update_id": 4, "callback_query": {"id": "4", "from": said["from"], "data": "a1:buy:lesson:1:0"}},
        message(5, text="/support"),
        {"update_id": 6},
    )  # fmt: skip
    yield from (json.dumps(one).encode() for one in made)
    yield from (
        b"",
        b"not json",
        b"[" * 50_000,
        b"{}",
        b"null",
        b'{"update_id": "x"}',
        b"\xff" * 100,
        b"\0",
        b"x" * 900_000,
    )


def counted(db: Session) -> list[int]:
    return [db.scalar(select(func.count()).select_from(model)) or 0 for model in EFFECTS]


def test_a_thousand_forged_calls_do_nothing(hooked: School, db: Session, fresh: Fresh, figure: Figure) -> None:
    make_lesson(db, title="Window light", price=199, text_content="Turn.")
    invoiced(hooked.student("Olga"))
    payload = fresh().scalars(select(Order.payload)).one()
    right, all_bodies = webhook.secret(hooked.settings), list(bodies(payload))
    forged: list[Headers] = [[(webhook.HEADER, wrong)] for wrong in secrets(right) if wrong != right.encode()]
    forged += spellings(right.encode())
    answered(hooked)
    url, answers = f"{hooked.settings.url}{webhook.PATH}", []
    before, said = digest(fresh()), len(hooked.box.journal(bot=hooked.account))
    with httpx2.Client(trust_env=False) as mallory:
        for number, headers in zip(range(FORGERIES), itertools.cycle(forged), strict=False):
            body = all_bodies[(number + number // len(forged)) % len(all_bodies)]  # each meets other bodies every round
            where = f"{url}?secret_token={right}" if number % 7 == 0 else url
            answers.append(mallory.post(where, content=body, headers=headers).status_code)
        # The same words with the secret are heard: the wall is the secret, not what it says.
        assert (len(answers), set(answers)) == (FORGERIES, {403})
        assert (digest(fresh()), len(hooked.box.journal(bot=hooked.account))) == (before, said)
        honest = mallory.post(url, content=all_bodies[0], headers={webhook.HEADER: right})
    assert honest.status_code == 200
    assert fresh().scalar(select(func.count()).where(User.telegram_id == 7)) == 1
    figure("B11", "forged calls that are heard", 0, "0", len(answers))


def repeated(school: School, updates: list[dict[str, Any]]) -> set[int]:
    headers, url = {webhook.HEADER: webhook.secret(school.settings)}, f"{school.settings.url}{webhook.PATH}"
    with httpx2.Client(trust_env=False, timeout=30) as telegram:
        return {telegram.post(url, json=update, headers=headers).status_code for update in updates}


def answered(school: School) -> None:
    """Telegram has the answers to all that it has sent: nothing of it is still at work."""
    school.box.wait_until(lambda: all(line["confirmed"] for line in school.box.updates(school.account)))


def started_anew(school: School, app: FastAPI) -> None:
    """A service that remembers nothing of what it has handled."""
    answered(school)
    begun = len(school.calls("setMyCommands"))
    school.bots[-1].stop()
    app.state.bot = Across(school.start_bot(by_webhook=True))
    school.box.wait_until(lambda: len(school.calls("setMyCommands")) > begun)


def told(school: School) -> list[dict[str, Any]]:
    return [line["update"] for line in school.box.updates(school.account)]


@pytest.fixture
def customer(hooked: School, db: Session) -> Student:
    """Who has bought a lesson and asked a question."""
    make_lesson(db, title="Window light", price=199, text_content="Turn.")
    student = hooked.student("Olga")
    invoiced(student)
    assert student.pay().status == "paid"
    student.wait("The lesson “", timeout=20.0)
    student.ask("/support")
    tap(student, "Ask a question")
    student.ask("No sound")
    student.ask("The video is silent.")
    return student


def test_what_comes_twice_and_in_any_order_is_done_once(
    hooked: School, app: FastAPI, customer: Student, fresh: Fresh, figure: Figure
) -> None:
    updates, before = told(hooked), counted(fresh())
    assert before[1:] == [1, 1, 1, 0, 1, 1]
    assert len(updates) >= 8
    for order in (updates, updates[::-1]):
        assert repeated(hooked, order) == {200}
        assert counted(fresh()) == before
    for order in (updates, updates[::-1], updates[::2] + updates[1::2]):
        started_anew(hooked, app)
        assert repeated(hooked, order) == {200}
        assert counted(fresh()) == before
    assert customer.ask("/help").text.startswith("Window Light: what I can do")
    figure("B11", "calls of Telegram that do something when they come again", 0, "0", 5 * len(updates))


def test_a_text_that_comes_again_is_not_the_answer_to_the_next_question(
    hooked: School, app: FastAPI, customer: Student, fresh: Fresh
) -> None:
    """Telegram repeats the subject when the service ended before it could answer; by then the message is expected."""
    customer.ask("/support")
    tap(customer, "Ask a question")
    customer.ask("No picture")
    subject = told(hooked)[-1]
    assert subject["message"]["text"] == "No picture"
    started_anew(hooked, app)
    assert repeated(hooked, [subject, subject]) == {200}
    assert counted(fresh())[-2:] == [1, 1]
    customer.ask("It is black.")
    session = fresh()
    kept = select(SupportTicket.subject, SupportTicket.message).order_by(SupportTicket.id)
    assert [tuple(row) for row in session.execute(kept)] == [
        ("No sound", "The video is silent."),
        ("No picture", "It is black."),
    ]
