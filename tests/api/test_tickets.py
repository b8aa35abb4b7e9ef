"""Tickets over the API: one thread, its copies on the ticket, who sees and writes what."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.permissions import SUPPORT
from backend.database.crud.users import UserCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import User
from tests.conftest import Api
from tests.factories import make_ticket, make_user


@pytest.fixture
def student(db: Session) -> User:
    return make_user(db, telegram_id=555, language_code="ru")


@pytest.fixture
def agent(db: Session) -> User:
    made = UserCRUD(db).create_staff(login="igor", password_hash=None, role=SUPPORT)
    db.commit()
    return made


def ask(bot: TestClient, student: User, message: str = "It spins") -> int:
    body = {"user_id": student.id, "subject": "Lesson 3", "message": message}
    found: int = bot.post("/api/tickets/", json=body).json()["id"]
    return found


def said(ticket: dict[str, object]) -> list[tuple[str, str]]:
    messages = ticket["messages"]
    assert isinstance(messages, list)
    return [(message["from"], message["text"]) for message in messages]


def test_a_question_opens_a_ticket_that_waits(bot: TestClient, student: User) -> None:
    body = {"user_id": student.id, "subject": " Lesson 3 ", "message": "It spins"}
    answer = bot.post("/api/tickets", json=body)

    ticket = answer.json()
    assert answer.status_code == 201
    assert ticket["waiting_since"] == ticket["created_at"] == ticket["messages"][0]["created_at"]
    assert ticket["created_at"].endswith("Z")
    shown = {name: ticket[name] for name in ("user_id", "subject", "message", "status")}
    assert shown == {
        "user_id": student.id,
        "subject": "Lesson 3",
        "message": "It spins",
        "status": "open",
    }
    assert (ticket["admin_response"], ticket["assignee_id"], ticket["first_reply_at"]) == (None,) * 3
    assert said(ticket) == [("student", "It spins")]
    assert bot.get(f"/api/tickets/{ticket['id']}").json() == ticket


def test_an_unknown_student_or_empty_text_is_refused(bot: TestClient, student: User) -> None:
    stranger = {"user_id": 9999, "subject": "x", "message": "x"}
    assert bot.post("/api/tickets/", json=stranger).json()["error"]["code"] == "not_found"
    empty = {"user_id": student.id, "subject": "  ", "message": ""}
    answer = bot.post("/api/tickets/", json=empty)
    assert answer.status_code == 422
    assert answer.json()["error"]["fields"] == {
        "subject": "Fill in this field.",
        "message": "Fill in this field.",
    }


def test_a_reply_is_the_tickets_answer_and_leaves_for_telegram_in_the_students_language(
    bot: TestClient, api: Api, student: User, db: Session
) -> None:
    number = ask(bot, student)
    staff = api("tickets:read", "tickets:write")
    posted = staff.post(f"/api/tickets/{number}/messages", json={"text": "Try 720p", "from": "staff"})

    assert posted.status_code == 201
    shown = {name: posted.json()[name] for name in ("from", "text", "internal", "ticket_id", "status")}
    assert shown == {
        "from": "staff",
        "text": "Try 720p",
        "internal": False,
        "ticket_id": number,
        "status": "in_progress",
    }
    ticket = staff.get(f"/api/tickets/{number}").json()
    assert (ticket["admin_response"], ticket["waiting_since"]) == ("Try 720p", None)
    assert ticket["first_reply_at"] == ticket["messages"][1]["created_at"]
    sent = db.scalars(select(Dispatch)).one()
    assert (sent.dedupe_key, sent.message_id) == (
        f"message:{posted.json()['id']}",
        posted.json()["id"],
    )
    assert (sent.chat_id, sent.user_id, sent.method, sent.state) == (
        555,
        student.id,
        "sendMessage",
        "pending",
    )
    heading, _blank, text = sent.params["text"].split("\n")
    assert (text, "Lesson 3" in heading) == ("Try 720p", True)
    assert sent.params["entities"] == [{"type": "bold", "offset": 0, "length": len(heading)}]


def test_put_with_an_answer_replies_once(bot: TestClient, api: Api, student: User, db: Session) -> None:
    number = ask(bot, student)
    staff = api("tickets:read", "tickets:write")
    first = staff.put(f"/api/tickets/{number}", json={"admin_response": "Try 720p", "status": "closed"})
    again = staff.put(f"/api/tickets/{number}", json={"admin_response": "Try 720p"})

    assert said(again.json()) == [("student", "It spins"), ("staff", "Try 720p")]
    assert (first.json()["status"], again.json()["status"]) == ("closed", "closed")
    assert db.scalar(select(func.count()).select_from(Dispatch)) == 1
    unsaid = staff.put(f"/api/tickets/{number}", json={"admin_response": None})
    assert (unsaid.status_code, list(unsaid.json()["error"]["fields"])) == (422, ["admin_response"])


def test_a_students_message_opens_a_closed_ticket_and_it_waits_again(bot: TestClient, api: Api, student: User) -> None:
    number = ask(bot, student)
    staff = api("tickets:read", "tickets:write")
    closed = staff.put(f"/api/tickets/{number}", json={"status": "closed"}).json()
    assert (closed["status"], closed["waiting_since"]) == ("closed", None)

    said_again = bot.post(f"/api/tickets/{number}/messages", json={"text": "Still", "from": "student"}).json()
    ticket = staff.get(f"/api/tickets/{number}").json()
    assert (ticket["status"], ticket["waiting_since"]) == ("open", said_again["created_at"])
    assert ticket["message"] == "It spins"


def test_a_ticket_waits_since_the_first_question_after_our_last_word(bot: TestClient, api: Api, student: User) -> None:
    number = ask(bot, student)
    url = f"/api/tickets/{number}/messages"
    staff = api("tickets:read", "tickets:write")
    asked = staff.get(f"/api/tickets/{number}").json()["waiting_since"]
    bot.post(url, json={"text": "Hello?", "from": "student"})
    assert staff.get(f"/api/tickets/{number}").json()["waiting_since"] == asked

    staff.post(url, json={"text": "Here", "from": "staff"})
    first_reply = staff.get(f"/api/tickets/{number}").json()["first_reply_at"]
    since = bot.post(url, json={"text": "And lesson 4?", "from": "student"}).json()["created_at"]
    bot.post(url, json={"text": "And 5?", "from": "student"})
    ticket = staff.get(f"/api/tickets/{number}").json()
    assert (ticket["waiting_since"], ticket["first_reply_at"]) == (since, first_reply)

    staff.put(f"/api/tickets/{number}", json={"status": "closed"})
    reopened = staff.put(f"/api/tickets/{number}", json={"status": "open"}).json()
    assert reopened["waiting_since"] == since


def test_notes_are_never_sent_nor_seen_by_the_bot(bot: TestClient, api: Api, student: User, db: Session) -> None:
    number = ask(bot, student)
    staff = api("tickets:read", "tickets:write")
    note = {"text": "Refund if 720p fails", "from": "staff", "internal": True}
    assert staff.post(f"/api/tickets/{number}/messages", json=note).status_code == 201

    ticket = staff.get(f"/api/tickets/{number}").json()
    assert said(ticket) == [("student", "It spins"), ("staff", "Refund if 720p fails")]
    assert [message["internal"] for message in ticket["messages"]] == [False, True]
    assert (ticket["status"], ticket["admin_response"], ticket["first_reply_at"]) == (
        "open",
        None,
        None,
    )
    assert said(bot.get(f"/api/tickets/{number}").json()) == [("student", "It spins")]
    listed = bot.get("/api/tickets/").json()["items"]
    assert [said(item) for item in listed] == [[("student", "It spins")]]
    assert db.scalar(select(func.count()).select_from(Dispatch)) == 0


@pytest.mark.parametrize(
    ("scopes", "body", "status"),
    [
        (("bot",), {"text": "x", "from": "student"}, 201),
        (("bot",), {"text": "x", "from": "staff"}, 201),
        (("bot",), {"text": "x", "from": "staff", "internal": True}, 403),
        (("tickets:write",), {"text": "x", "from": "staff"}, 201),
        (("tickets:write",), {"text": "x", "from": "staff", "internal": True}, 201),
        (("tickets:write",), {"text": "x", "from": "student"}, 403),
        (("tickets:write",), {"text": "x", "from": "student", "internal": True}, 422),
        (("tickets:read",), {"text": "x", "from": "staff"}, 403),
        (("tickets:read",), {"text": "x", "from": "staff", "internal": True}, 403),
        (("users:write",), {"text": "x", "from": "student"}, 403),
    ],
)
def test_who_may_write_what(
    api: Api,
    student: User,
    db: Session,
    scopes: tuple[str, ...],
    body: dict[str, object],
    status: int,
) -> None:
    ticket = make_ticket(db, student)
    assert api(*scopes).post(f"/api/tickets/{ticket.id}/messages", json=body).status_code == status


def test_reading_needs_the_right_and_asking_needs_the_bot(api: Api, student: User, db: Session) -> None:
    ticket = make_ticket(db, student)
    outsider, reader = api("users:read"), api("tickets:read")
    assert outsider.get("/api/tickets/").status_code == 403
    assert outsider.get(f"/api/tickets/{ticket.id}").status_code == 403
    assert reader.put(f"/api/tickets/{ticket.id}", json={"status": "closed"}).status_code == 403
    body = {"user_id": student.id, "subject": "x", "message": "x"}
    assert api("tickets:write").post("/api/tickets/", json=body).status_code == 403


def test_another_students_ticket_is_not_found(bot: TestClient, student: User, db: Session) -> None:
    other = make_user(db)
    number = ask(bot, student)
    assert bot.get(f"/api/tickets/{number}", params={"user_id": student.id}).status_code == 200
    assert bot.get(f"/api/tickets/{number}", params={"user_id": other.id}).status_code == 404
    body = {"text": "x", "from": "student", "user_id": other.id}
    assert bot.post(f"/api/tickets/{number}/messages", json=body).status_code == 404
    assert len(bot.get(f"/api/tickets/{number}").json()["messages"]) == 1


def test_an_assignee_answers_tickets(bot: TestClient, api: Api, student: User, agent: User) -> None:
    number = ask(bot, student)
    staff = api("tickets:read", "tickets:write")
    assert staff.put(f"/api/tickets/{number}", json={"assignee_id": agent.id}).json()["assignee_id"] == agent.id
    for nobody in (student.id, 9999):
        refused = staff.put(f"/api/tickets/{number}", json={"assignee_id": nobody})
        assert refused.json()["error"]["fields"] == {"assignee_id": "This person does not handle tickets."}
    assert staff.put(f"/api/tickets/{number}", json={"assignee_id": None}).json()["assignee_id"] is None


def test_a_stale_version_is_refused(bot: TestClient, api: Api, student: User) -> None:
    number = ask(bot, student)
    staff = api("tickets:read", "tickets:write")
    version = staff.get(f"/api/tickets/{number}").json()["version"]
    bot.post(f"/api/tickets/{number}/messages", json={"text": "More", "from": "student"})
    stale = staff.put(f"/api/tickets/{number}", json={"status": "closed", "version": version})
    assert (stale.status_code, stale.json()["error"]["code"]) == (409, "stale")


def test_lists_filter_search_and_page(api: Api, db: Session, agent: User) -> None:
    masha, eva = (
        make_user(db, first_name="Мария"),
        make_user(db, first_name="Ева", last_name="Лисицына"),
    )
    video = make_ticket(db, masha, subject="Не открывается урок", status="closed", waiting_since=None)
    refund = make_ticket(db, eva, subject="Можно ли вернуть курс?", assignee_id=agent.id)
    promo = make_ticket(db, eva, subject="Промокод", status="in_progress")
    reader = api("tickets:read")

    def ids(**params: str | int) -> list[int]:
        return [item["id"] for item in reader.get("/api/tickets/", params=params).json()["items"]]

    assert ids() == [promo.id, refund.id, video.id]
    assert ids(status="closed") == [video.id]
    assert ids(user_id=eva.id, sort="created_at") == [refund.id, promo.id]
    assert ids(assignee_id=agent.id) == [refund.id]
    assert ids(q="лисиц") == [promo.id, refund.id]
    assert ids(q="КУРС") == [refund.id]
    assert ids(q=f"#{video.id}") == [video.id]
    assert ids(q="нет такого") == []
    first = reader.get("/api/tickets", params={"limit": 2}).json()
    assert (first["total"], len(first["items"])) == (3, 2)
    assert ids(limit=2, cursor=first["next"]) == [video.id]
    assert reader.get("/api/tickets/", params={"status": "lost"}).status_code == 422
    assert reader.get("/api/tickets/", params={"sort": "subject"}).status_code == 400


@pytest.mark.parametrize("rows", [1, 3])
def test_a_list_asks_the_same_number_of_queries_whatever_its_rows(
    api: Api, db: Session, student: User, queries: list[str], rows: int
) -> None:
    for _row in range(rows):
        make_ticket(db, student)
    reader = api("tickets:read")
    reader.get("/api/tickets/")
    queries.clear()
    assert len(reader.get("/api/tickets/").json()["items"]) == rows
    # The token, the tickets with their count, their messages.
    assert len(queries) == 3


def test_a_student_outside_telegram_is_answered_in_the_crm_only(api: Api, db: Session) -> None:
    walk_in = make_user(db, telegram_id=None, email="eva@example.org")
    ticket = make_ticket(db, walk_in)
    staff = api("tickets:read", "tickets:write")
    posted = staff.post(f"/api/tickets/{ticket.id}/messages", json={"text": "Hi", "from": "staff"})
    assert posted.status_code == 201
    assert db.scalar(select(func.count()).select_from(Dispatch)) == 0


def test_long_answers_leave_room_for_what_they_answer(bot: TestClient, api: Api, student: User, db: Session) -> None:
    number = ask(bot, student)
    url, staff = f"/api/tickets/{number}/messages", api("tickets:write")
    assert staff.post(url, json={"text": "ы" * 3801, "from": "staff"}).status_code == 422
    assert staff.post(url, json={"text": "🙈" * 3800, "from": "staff"}).status_code == 201
    assert len(db.scalars(select(Dispatch)).one().params["text"]) <= 4096
    assert bot.post(url, json={"text": "ы" * 4096, "from": "student"}).status_code == 201


def test_tickets_created_earlier_keep_their_first_message(db: Session, student: User) -> None:
    ticket = make_ticket(db, student)
    db.expire_all()
    found = db.get(SupportTicket, ticket.id)
    assert found is not None
    assert found.last_message_at - found.created_at < timedelta(seconds=1)


def test_a_ticket_imported_without_a_thread_gets_one(bot: TestClient, student: User, db: Session) -> None:
    db.add(ticket := SupportTicket(user_id=student.id, subject="Old", message="Old"))
    db.commit()
    url = f"/api/tickets/{ticket.id}"
    assert said(bot.get(url).json()) == []
    bot.post(f"{url}/messages", json={"text": "Hello?", "from": "student"})
    assert said(bot.get(url).json()) == [("student", "Hello?")]
