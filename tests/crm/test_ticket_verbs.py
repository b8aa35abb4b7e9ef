"""Tickets that the school opens, and tickets that are deleted and come back."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from backend.core import clock
from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.history import HistoryCRUD
from backend.database.crud.tickets import TicketCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.tickets import Chat, Message, SupportTicket
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin, errors, one, same, told, words
from tests.factories import make_ticket, make_user

DESK = "/dashboard/tickets/"


@pytest.fixture
def masha(db: Session) -> User:
    return make_user(db, first_name="Мария", last_name="Ковалёва", telegram_id=555, language_code="ru")


@pytest.fixture
def desk(sign_in: SignIn, db: Session) -> TestClient:
    return english_admin(sign_in, db)


def letter(user: User, **changes: str) -> dict[str, str]:
    return {"user_id": str(user.id), "subject": "Ваш отзыв", "text": "Расскажите, как вам курс?"} | changes


def tickets(db: Session) -> list[SupportTicket]:
    db.expire_all()
    return list(db.scalars(select(SupportTicket).order_by(SupportTicket.id)))


# -- the school writes first


def test_the_school_writes_first_and_the_student_answers(
    desk: TestClient, bot: TestClient, db: Session, masha: User
) -> None:
    made = desk.post(DESK, data=letter(masha))

    (ticket,) = tickets(db)
    assert (made.status_code, made.headers["location"]) == (303, f"{DESK}{ticket.id}?tab=all")
    assert (ticket.user_id, ticket.subject, ticket.status) == (masha.id, "Ваш отзыв", "in_progress")
    assert (ticket.waiting_since, ticket.first_reply_at, ticket.admin_response) == (
        None,
        None,
        "Расскажите, как вам курс?",
    )
    (row,) = db.scalars(select(Dispatch)).all()
    assert (row.chat_id, row.state) == (555, "pending")
    assert row.params["text"] == "Школа пишет вам: «Ваш отзыв»\n\nРасскажите, как вам курс?"
    assert row.params["reply_markup"]["inline_keyboard"][0][0]["callback_data"] == f"s1:ticket:{ticket.id}:0"
    assert "Расскажите, как вам курс?" in desk.get(made.headers["location"]).text

    said = bot.post(f"/api/tickets/{ticket.id}/messages", json={"text": "Отлично", "from": "student"})
    assert said.json()["status"] == "in_progress"
    told = bot.get(f"/api/tickets/{ticket.id}?user_id={masha.id}").json()
    assert [(m["from"], m["text"]) for m in told["messages"]] == [
        ("staff", "Расскажите, как вам курс?"),
        ("student", "Отлично"),
    ]
    assert told["waiting_since"] is not None


def test_what_the_school_opened_has_no_first_answer(db: Session, desk: TestClient, masha: User) -> None:
    desk.post(DESK, data=letter(masha))
    crud, ticket = TicketCRUD(db), tickets(db)[0]
    crud.student_says(ticket.id, "Отлично")
    message = crud.reply(ticket.id, "Спасибо", None, delay=timedelta(seconds=4))
    assert crud.get_by_id(ticket.id).first_reply_at is None

    crud.cancel_reply(ticket.id, message.id)

    now = crud.get_by_id(ticket.id)
    assert (now.first_reply_at, now.admin_response) == (None, "Расскажите, как вам курс?")


def test_a_student_is_found_for_the_new_ticket(desk: TestClient, db: Session, masha: User) -> None:
    make_user(db, first_name="Тимур", last_name="Сафин", username="tim")

    page = desk.get(f"{DESK}new", params={"q": "ковал"}).text

    (link,) = one(page, "#students").css("a")
    assert (link.text(), link.attributes["href"]) == ("Мария Ковалёва", f"{DESK}new?user_id={masha.id}")
    form = desk.get(str(link.attributes["href"])).text
    assert one(form, "#ticket-form input[name=user_id]").attributes["value"] == str(masha.id)
    assert "No results" in desk.get(f"{DESK}new", params={"q": "zzz"}).text
    assert len(one(desk.get(f"{DESK}new").text, "#students").css("a")) == 2
    assert f'href="{DESK}new"' in desk.get(DESK).text
    assert f'href="{DESK}new?user_id={masha.id}"' in desk.get(f"/dashboard/users/{masha.id}").text


def test_it_is_said_when_nobody_will_get_it(desk: TestClient, db: Session) -> None:
    lost = make_user(db, telegram_id=None, email="a@example.org")
    shy = make_user(db, blocked_bot_at=clock.now())

    assert "The student is not on Telegram" in desk.get(f"{DESK}new?user_id={lost.id}").text
    assert "has blocked the bot" in desk.get(f"{DESK}new?user_id={shy.id}").text
    assert desk.post(DESK, data=letter(lost)).status_code == 303
    assert db.scalars(select(Dispatch)).all() == []


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"subject": " "}, {"subject": "Fill in this field."}),
        ({"subject": "я" * 201}, {"subject": "At most 200 characters."}),
        ({"text": ""}, {"text": "Fill in this field."}),
        ({"text": "я" * 3801}, {"text": "At most 3800 characters."}),
        ({"text": "a\0"}, {"text": "This text contains a character that cannot be stored."}),
    ],
)
def test_a_wrong_form_keeps_what_was_typed(
    desk: TestClient, db: Session, masha: User, changes: dict[str, str], wrong: dict[str, str]
) -> None:
    sent = letter(masha, **changes)

    part, page = desk.post(DESK, data=sent, headers=PARTIAL), desk.post(DESK, data=sent)

    assert (part.status_code, page.status_code, errors(part.text)) == (422, 422, wrong)
    assert same(part.text).strip() in same(page.text)
    assert one(page.text, "#subject").attributes["value"] == sent["subject"]
    assert tickets(db) == []


@pytest.mark.parametrize("user_id", ["", "0", "1", "999", "x", "9" * 40])
def test_nobody_but_a_student_is_written_to(desk: TestClient, db: Session, user_id: str) -> None:
    assert desk.post(DESK, data={"user_id": user_id, "subject": "x", "text": "x"}).status_code == 404
    assert tickets(db) == []


@pytest.mark.parametrize(("role", "status"), [(SUPPORT, 303), (MANAGER, 403), (AUTHOR, 403)])
def test_who_may_write_first_and_delete(staff: SignIn, db: Session, masha: User, role: str, status: int) -> None:
    person, ticket = staff(role), make_ticket(db, masha)
    assert person.post(DESK, data=letter(masha)).status_code == status
    assert person.post(f"{DESK}{ticket.id}/delete").status_code == status
    if role == MANAGER:
        assert f"{DESK}new" not in person.get(DESK).text
        assert "/delete" not in person.get(f"{DESK}{ticket.id}").text


# -- deleting


def image(db: Session, ticket_id: int) -> list[object]:
    """Everything that a ticket consists of, as stored."""
    db.expire_all()
    whole = selectinload(SupportTicket.chat).selectinload(Chat.messages)
    ticket = db.get_one(SupportTicket, ticket_id, options=[whole], populate_existing=True)
    messages = ticket.chat.messages
    ways = db.execute(
        select(Dispatch.id, Dispatch.message_id, Dispatch.state).where(
            Dispatch.message_id.in_([message.id for message in messages])
        )
    ).all()
    return [
        {column.key: getattr(row, column.key) for column in row.__table__.columns}
        for row in (ticket, ticket.chat, *messages)
    ] + sorted(map(tuple, ways))  # fmt: skip


def test_a_deleted_ticket_comes_back_whole(desk: TestClient, db: Session, masha: User) -> None:
    ticket_id = make_ticket(db, masha, last_message_at=clock.now() - timedelta(days=2)).id
    other_id = make_ticket(db, masha).id
    crud = TicketCRUD(db)
    sent_id, waits_id = crud.reply(ticket_id, "Sent", None).id, crud.reply(ticket_id, "Waits", None).id
    crud.note(ticket_id, "Between us", None)
    crud.student_says(ticket_id, "And?")
    (row,) = [row for row in DispatchCRUD(db).claim() if row.message_id == sent_id]
    DispatchCRUD(db).finish(row.id, 1, 77)
    before = image(db, ticket_id)

    gone = desk.post(f"{DESK}{ticket_id}/delete?tab=all")

    assert (gone.status_code, gone.headers["location"]) == (303, f"{DESK}?tab=all")
    assert [left.id for left in tickets(db)] == [other_id]
    assert db.scalars(select(Message.id).where(Message.id.in_([sent_id, waits_id]))).all() == []
    assert dict(db.execute(select(Dispatch.state, func.count()).group_by(Dispatch.state)).all()) == {
        "sent": 1,
        "cancelled": 1,
    }
    assert DispatchCRUD(db).claim() == []
    page = desk.get(gone.headers["location"]).text
    assert f"Ticket {ticket_id} is deleted with its messages" in words(one(page, "[data-undo]"))

    undo = str(one(page, "[data-undo] form").attributes["action"])
    assert desk.post(undo, data={"next": f"{DESK}{ticket_id}"}).status_code == 303

    assert image(db, ticket_id) == before
    assert "Between us" in desk.get(f"{DESK}{ticket_id}").text
    assert [claimed.message_id for claimed in DispatchCRUD(db).claim()] == [waits_id]


def test_the_undo_is_undone_unless_somebody_wrote_meanwhile(desk: TestClient, db: Session, masha: User) -> None:
    ticket_id = make_ticket(db, masha).id
    TicketCRUD(db).reply(ticket_id, "Waits", None)

    def last() -> int:
        return HistoryCRUD(db).of_record("support_tickets", ticket_id)[0].change_set.id

    desk.post(f"{DESK}{ticket_id}/delete")
    desk.post(f"/dashboard/history/{last()}/undo")
    restored = last()
    assert desk.post(f"/dashboard/history/{restored}/undo").status_code == 303
    assert tickets(db) == []
    assert db.scalars(select(Dispatch.state)).all() == ["cancelled"]

    desk.post(f"/dashboard/history/{last()}/undo")
    (back,) = tickets(db)
    assert db.scalars(select(Dispatch.state)).all() == ["pending"]
    TicketCRUD(db).student_says(back.id, "Still here")
    refused = desk.post(f"/dashboard/history/{restored}/undo")
    assert (refused.status_code, len(tickets(db))) == (409, 1)


def test_sent_messages_are_not_undone_one_by_one(desk: TestClient, db: Session, masha: User) -> None:
    desk.post(DESK, data=letter(masha))
    made = HistoryCRUD(db).of_record("support_tickets", tickets(db)[0].id)[0]
    assert made.why == "A sent message cannot be unsent."
    refused = desk.post(f"/dashboard/history/{made.change_set.id}/undo")
    assert (refused.status_code, len(tickets(db))) == (409, 1)


def test_a_ticket_without_a_thread_is_deleted_too(desk: TestClient, db: Session, masha: User) -> None:
    ticket = SupportTicket(user_id=masha.id, subject="x", message="x")
    db.add(ticket)
    db.flush()
    ticket_id = ticket.id
    assert desk.post(f"{DESK}{ticket_id}/delete").status_code == 303
    assert tickets(db) == []
    assert desk.post(f"{DESK}{ticket_id}/delete").status_code == 404


def test_a_ticket_shows_its_history_with_undo(
    desk: TestClient, sign_in: SignIn, staff: SignIn, db: Session, masha: User
) -> None:
    ticket = make_ticket(db, masha, subject="Видео не открывается")
    desk.post(f"{DESK}{ticket.id}/status", data={"status": "closed"})
    here = f"{DESK}{ticket.id}/history"
    assert f'href="{here}"' in desk.get(f"{DESK}{ticket.id}?tab=all").text

    page = desk.get(here).text

    assert "Видео не открывается" in page
    status, waiting = told(page)
    assert status == "Statusopen closed"
    assert (waiting.startswith("Waiting since"), waiting.endswith(" empty")) == (True, True)
    undo = one(page, "#record-history form").attributes["action"]
    assert desk.post(str(undo), data={"next": here}).headers["location"] == here
    assert [row.status for row in tickets(db)] == ["open"]
    assert staff(MANAGER).get(here).status_code == 200
    assert staff(AUTHOR).get(here).status_code == 403
    assert desk.get(f"{DESK}999/history").status_code == 404
