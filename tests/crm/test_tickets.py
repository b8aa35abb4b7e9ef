"""The support desk: what each pane shows, who may do what, what a poll answers."""

import re
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from backend.crm.waiting import waited
from backend.database.crud.desk import DeskCRUD, reading
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.tickets import TicketCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.auth import AuthSession
from backend.database.models.dispatches import Dispatch
from backend.database.models.tickets import Message, SupportTicket
from backend.database.models.users import User
from backend.database.schemas.tickets import QueueFilters
from tests.conftest import SignIn
from tests.factories import make_lesson, make_purchase, make_ticket, make_user

DESK = "/dashboard/tickets/"
PART = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def masha(db: Session) -> User:
    return make_user(db, first_name="Мария", last_name="Ковалёва", telegram_id=555)


@pytest.fixture
def ticket(db: Session, masha: User) -> SupportTicket:
    return make_ticket(db, masha, subject="Не открывается урок", message="Крутится кружок")


def rows(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'<li id="ticket-(\d+)"', page)]


def mark(page: str, part: str) -> str:
    found = re.search(rf'<div id="{part}-([0-9a-f]{{8}})"', page)
    assert found is not None
    return found[1]


def fresh(db: Session, ticket: SupportTicket) -> SupportTicket:
    db.expire_all()
    found = db.get_one(SupportTicket, ticket.id)
    db.commit()
    return found


def test_tabs_hold_who_waits_what_is_mine_and_all(admin: TestClient, db: Session, masha: User) -> None:
    me = UserCRUD(db).find_by_login("admin")
    assert me is not None
    now = clock.now()
    short = make_ticket(db, masha, waiting_since=now - timedelta(minutes=5), last_message_at=now)
    long = make_ticket(db, masha, waiting_since=now - timedelta(days=3), assignee_id=me.id)
    mine = make_ticket(db, masha, waiting_since=None, assignee_id=me.id)
    done = make_ticket(db, masha, waiting_since=None, assignee_id=me.id, status="closed")

    waiting = admin.get(DESK).text
    assert rows(waiting) == [long.id, short.id]
    assert "3 days" in waiting
    assert "5 min" in waiting
    assert rows(admin.get(DESK, params={"tab": "mine"}).text) == [mine.id, long.id]
    assert set(rows(admin.get(DESK, params={"tab": "all"}).text)) == {
        short.id,
        long.id,
        mine.id,
        done.id,
    }
    assert rows(admin.get(DESK, params={"sort": "-waiting_since"}).text) == [short.id, long.id]
    closed = admin.get(DESK, params={"tab": "all", "status": "closed"}).text
    assert (rows(closed), "Closed tickets" in closed) == ([done.id], True)
    odd = admin.get(DESK, params={"tab": "all", "sort": "waiting_since"})
    assert (odd.status_code, len(rows(odd.text))) == (200, 4)
    assert admin.get(DESK, params={"sort": "subject"}).status_code == 400
    assert admin.get(DESK, params={"tab": "lost"}).status_code == 422


def test_the_queue_is_searched_by_subject_student_and_number(
    admin: TestClient, db: Session, ticket: SupportTicket
) -> None:
    other = make_ticket(db, make_user(db, first_name="Eva", last_name="Fox"), subject="Refund")
    for q, found in (
        ("fox", other.id),
        ("ковал", ticket.id),
        (f"#{other.id}", other.id),
        ("ОТКРЫВ", ticket.id),
    ):
        assert rows(admin.get(DESK, params={"q": q}).text) == [found], q
    assert "No results" in admin.get(DESK, params={"q": "zzz"}).text
    only = admin.get(DESK, params={"tab": "all", "user_id": other.user_id}).text
    assert (rows(only), "Student: Eva Fox" in only) == ([other.id], True)


def test_empty_queues_say_what_that_means(admin: TestClient) -> None:
    assert "No one is waiting" in admin.get(DESK).text
    assert "Nothing assigned to you" in admin.get(DESK, params={"tab": "mine"}).text
    assert "No tickets yet" in admin.get(DESK, params={"tab": "all"}).text


def test_a_ticket_shows_its_thread_and_its_student(
    admin: TestClient, db: Session, masha: User, ticket: SupportTicket
) -> None:
    make_purchase(db, masha, make_lesson(db, title="Свет из окна", price=199))
    old = make_ticket(db, masha, subject="Старый вопрос", status="closed", waiting_since=None)
    page = admin.get(f"{DESK}{ticket.id}").text
    for text in (
        "Не открывается урок",
        "Крутится кружок",
        "Мария Ковалёва",
        "Свет из окна",
        "199",
        "2, open: 1",
    ):
        assert text in page, text
    assert f"{DESK}{old.id}" in page
    assert f'href="/dashboard/users/{masha.id}"' in page
    assert admin.get(f"{DESK}9999").status_code == 404


def test_what_a_student_wrote_is_text_and_nothing_else(admin: TestClient, db: Session) -> None:
    evil = '<img src=x onerror=alert(1)>" hx-get="/x'
    student = make_user(db, first_name=evil, username=None)
    ticket = make_ticket(db, student, subject=evil, message=evil)
    page = admin.get(f"{DESK}{ticket.id}").text
    assert "<img" not in page
    assert 'hx-get="/x' not in page
    assert "&lt;img src=x" in page


def test_an_answer_waits_a_moment_and_then_leaves(admin: TestClient, db: Session, ticket: SupportTicket) -> None:
    answer = admin.post(f"{DESK}{ticket.id}/messages", data={"text": "Try 720p", "to": "reply"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{DESK}{ticket.id}")
    sent = db.scalars(select(Dispatch)).one()
    assert (sent.chat_id, sent.state) == (555, "pending")
    assert timedelta(seconds=2) < sent.not_before - sent.created_at <= timedelta(seconds=4)
    assert fresh(db, ticket).admin_response == "Try 720p"
    assert "Try 720p" in admin.get(f"{DESK}{ticket.id}").text


def test_htmx_gets_the_desk_as_it_is_now(admin: TestClient, db: Session, ticket: SupportTicket) -> None:
    url = f"{DESK}{ticket.id}/messages?tab=all"
    answer = admin.post(url, data={"text": "Try 720p"}, headers=PART)
    assert answer.status_code == 200
    assert '<div class="ly-panes is-open" id="panes"' in answer.text
    assert "<html" not in answer.text
    assert f'href="{DESK}{ticket.id}?tab=all"' in answer.text
    note = admin.post(url, data={"text": "Ask Igor", "to": "note"}, headers=PART).text
    assert "Note, the student does not see it" in note
    assert db.scalar(select(func.count()).select_from(Dispatch)) == 1


def test_an_answer_that_cannot_be_sent_comes_back_as_typed(
    admin: TestClient, db: Session, ticket: SupportTicket
) -> None:
    url = f"{DESK}{ticket.id}/messages"
    long = admin.post(url, data={"text": "ы" * 3801, "to": "note"}, headers=PART)
    assert (long.status_code, long.text.lstrip().startswith("<form")) == (422, True)
    assert "At most 3800 characters." in long.text
    assert "ы" * 3801 in long.text
    assert re.search(r'value="note" checked', long.text)
    empty = admin.post(url, data={"text": "  "})
    assert (empty.status_code, "Fill in this field." in empty.text, "<html" in empty.text) == (
        422,
        True,
        True,
    )
    assert db.scalar(select(func.count()).select_from(Message)) == 1


def test_a_poll_answers_only_when_something_has_changed(admin: TestClient, db: Session, ticket: SupportTicket) -> None:
    page = admin.get(f"{DESK}{ticket.id}").text
    queue, thread = mark(page, "queue"), mark(page, "thread")

    def ask(part: str, have: str) -> int:
        url = DESK if part == "queue" else f"{DESK}{ticket.id}/thread"
        return admin.get(url, params={"have": have}, headers=PART).status_code

    assert ask("thread", thread) == 204
    TicketCRUD(db).student_says(ticket.id, "Hello?")
    db.commit()
    assert (ask("thread", thread), ask("queue", queue)) == (200, 200)

    message = TicketCRUD(db).reply(ticket.id, "Here", None)
    db.commit()
    thread = mark(admin.get(f"{DESK}{ticket.id}").text, "thread")
    db.execute(update(Dispatch).where(Dispatch.message_id == message.id).values(state="sent"))
    db.commit()
    changed = admin.get(f"{DESK}{ticket.id}/thread", params={"have": thread}, headers=PART)
    assert (changed.status_code, "delivered" in changed.text) == (200, True)
    assert changed.text.lstrip().startswith('<div class="ly-pane flex-fill" id="thread"')


def test_a_poll_does_not_keep_a_session_alive(admin: TestClient, db: Session, ticket: SupportTicket) -> None:
    old = clock.now() - timedelta(minutes=30)
    db.execute(update(AuthSession).values(last_seen_at=old))
    db.commit()
    for url in ("badge", "?have=x", f"{ticket.id}/thread?have=x"):
        assert admin.get(DESK + url, headers=PART).status_code == 200
    assert db.scalars(select(AuthSession.last_seen_at)).one() == old
    db.commit()
    admin.get(DESK)
    assert db.scalars(select(AuthSession.last_seen_at)).one() > old


def test_the_sidebar_counts_who_waits(admin: TestClient, ticket: SupportTicket) -> None:
    badge = admin.get(f"{DESK}badge", headers=PART)
    assert [text in badge.text for text in ("waiting:", "</span>1</span>", "have=1")] == [True] * 3
    assert admin.get(f"{DESK}badge?have=1", headers=PART).status_code == 204
    assert 'hx-get="/dashboard/tickets/badge?have=1"' in admin.get(DESK).text
    assert 'hx-get="/dashboard/tickets/badge"' in admin.get("/dashboard/users/").text


def test_an_answer_is_taken_back_while_it_is_here(admin: TestClient, db: Session, ticket: SupportTicket) -> None:
    message = TicketCRUD(db).reply(ticket.id, "Sent too soon", None, delay=timedelta(seconds=4))
    db.commit()
    url = f"{DESK}{ticket.id}/messages/{message.id}/cancel"
    assert "Sent too soon</textarea>" in admin.post(url).text
    now = fresh(db, ticket)
    assert (now.admin_response, now.first_reply_at) == (None, None)
    assert now.waiting_since is not None
    assert db.scalars(select(Dispatch.state)).all() == ["cancelled"]
    assert db.scalars(select(Message.body)).all() == ["Крутится кружок"]
    db.commit()
    assert admin.post(url).status_code == 404


def test_an_answer_that_is_leaving_is_not_taken_back(admin: TestClient, db: Session, ticket: SupportTicket) -> None:
    message = TicketCRUD(db).reply(ticket.id, "On its way", None)
    db.commit()
    assert len(DispatchCRUD(db).claim()) == 1
    db.commit()
    refused = admin.post(f"{DESK}{ticket.id}/messages/{message.id}/cancel", headers=PART)
    assert (refused.status_code, "Too late to cancel" in refused.text) == (409, True)
    assert fresh(db, ticket).admin_response == "On its way"


def test_a_failed_answer_says_why_and_is_sent_again(admin: TestClient, db: Session, ticket: SupportTicket) -> None:
    message = TicketCRUD(db).reply(ticket.id, "Hello", None)
    db.commit()
    (row,) = DispatchCRUD(db).claim()
    DispatchCRUD(db).fail(row.id, 1, "refused: Bad Request: chat not found")
    db.commit()
    assert "not delivered: Telegram refused the message" in admin.get(f"{DESK}{ticket.id}").text
    url = f"{DESK}{ticket.id}/messages/{message.id}/resend"
    assert admin.post(url).status_code == 303
    assert db.scalars(select(Dispatch.state)).all() == ["pending"]
    db.commit()
    assert admin.post(url).status_code == 409


def test_a_ticket_is_taken_handed_over_and_closed_with_its_story(
    admin: TestClient, db: Session, ticket: SupportTicket
) -> None:
    me = UserCRUD(db).find_by_login("admin")
    igor = UserCRUD(db).create_staff(login="igor", password_hash=None, role=SUPPORT, first_name="Игорь")
    db.commit()
    assert me is not None

    def act(verb: str, **data: str | int) -> int:
        return admin.post(f"{DESK}{ticket.id}/{verb}", data=data).status_code

    assert act("assign", assignee_id=me.id) == 303
    assert act("assign", assignee_id=igor.id) == 303
    assert act("assign", assignee_id=0) == 303
    assert act("status", status="closed") == 303
    assert act("status", status="open") == 303
    assert act("status", status="lost") == 422
    assert act("assign", assignee_id=ticket.user_id) == 422
    page = admin.get(f"{DESK}{ticket.id}").text
    told = re.findall(r'<p class="ly-event">([^<]+)</p>', page)
    assert told[1:] == [
        "Picked up: Анна",
        "Assigned: Игорь (by Анна)",
        "Unassigned",
        "Closed: Анна",
        "Reopened: Анна",
    ]


@pytest.mark.parametrize(("role", "see", "write"), [(SUPPORT, 200, 303), (MANAGER, 200, 403), (AUTHOR, 403, 403)])
def test_who_sees_and_who_answers(
    staff: SignIn, db: Session, ticket: SupportTicket, role: str, see: int, write: int
) -> None:
    TicketCRUD(db).note(ticket.id, "Between us", None)
    db.commit()
    person = staff(role)
    page = person.get(f"{DESK}{ticket.id}")
    assert page.status_code == see
    assert ("Between us" in page.text) is (see == 200)
    assert ("<textarea" in page.text) is (write == 303)
    for verb, data in (
        ("messages", {"text": "x"}),
        ("status", {"status": "closed"}),
        ("assign", {}),
    ):
        assert person.post(f"{DESK}{ticket.id}/{verb}", data=data).status_code == write, verb


@pytest.mark.parametrize("number", [1, 3])
def test_a_page_asks_the_same_number_of_queries_whatever_it_shows(
    admin: TestClient, db: Session, masha: User, queries: list[str], number: int
) -> None:
    for _row in range(number):
        ticket = make_ticket(db, masha)
        for _message in range(number):
            TicketCRUD(db).reply(ticket.id, "Hello", None)
            TicketCRUD(db).student_says(ticket.id, "And?")
    db.commit()
    admin.get(DESK)
    queries.clear()
    admin.get(DESK)
    assert len(queries) == 2  # the session, the desk
    queries.clear()
    admin.get(f"{DESK}{ticket.id}")
    assert len(queries) == 2  # the desk with the ticket


def test_what_is_kept_of_a_page_is_never_old(
    admin: TestClient, db: Session, masha: User, ticket: SupportTicket
) -> None:
    """Parts are kept by what the database says: whatever of it changes is seen at once, and each ticket is its own."""
    other = make_ticket(db, masha, subject="Возврат")
    first = admin.get(f"{DESK}{ticket.id}").text
    assert "Мария" in first
    assert re.findall(r'<li id="ticket-(\d+)"><a href="[^"]+" aria-current="true"', first) == [str(ticket.id)]
    second = admin.get(f"{DESK}{other.id}").text
    assert re.findall(r'<li id="ticket-(\d+)"><a href="[^"]+" aria-current="true"', second) == [str(other.id)]

    masha.first_name = "Маргарита"
    db.commit()
    assert "Мария" not in admin.get(f"{DESK}{ticket.id}").text
    make_purchase(db, masha, make_lesson(db, title="Свет из окна", price=199))
    assert "Свет из окна" in admin.get(f"{DESK}{ticket.id}").text
    UserCRUD(db).create_staff(login="igor", password_hash=None, role=SUPPORT, first_name="Игорь")
    db.commit()
    assert admin.get(f"{DESK}{ticket.id}").text.count("Игорь") > 1


def test_a_long_queue_turns_its_pages_without_script(admin: TestClient, db: Session, masha: User) -> None:
    made = [make_ticket(db, masha, waiting_since=clock.now() - timedelta(minutes=n)).id for n in range(28)]
    first = admin.get(DESK).text
    assert rows(first) == made[::-1][:25]
    url = re.search(r'href="([^"]+cursor=[^"]+)" hx-boost="false" rel="next"', first)
    assert url is not None
    second = admin.get(url[1].replace("&amp;", "&")).text
    assert rows(second) == made[:3][::-1]
    assert 'rel="prev"' in second
    part = admin.get(url[1].replace("&amp;", "&"), headers=PART).text
    assert (rows(part), 'id="queue"' in part) == (made[:3][::-1], False)


def test_how_long_someone_waits_is_coloured() -> None:
    now = clock.now()
    found = [
        waited(now - passed)
        for passed in (
            timedelta(minutes=5),
            timedelta(hours=2),
            timedelta(hours=30),
            timedelta(days=4),
        )
    ]
    assert [(wait.text, wait.kind) for wait in found if wait] == [
        ("5 min", ""),
        ("2 h", "warn"),
        ("30 h", "bad"),
        ("4 days", "bad"),
    ]
    assert waited(None) is None


@pytest.mark.parametrize(
    ("tab", "usual"), [("waiting", "waiting_since"), ("mine", "-last_message_at"), ("all", "-last_message_at")]
)
def test_a_tab_opens_as_its_usual_order_lists_it(db: Session, masha: User, tab: str, usual: str) -> None:
    clerk = make_user(db)
    for n in range(30):
        waits = clock.now() - timedelta(minutes=n) if n % 7 else None
        status = "closed" if n % 9 == 0 else "open"
        moved = clock.now() - timedelta(hours=n % 5)
        make_ticket(db, masha, waiting_since=waits, status=status, last_message_at=moved, assignee_id=clerk.id)
    tickets = DeskCRUD(db)

    parts = reading(counts=False, tab=tab, thread=False, bought=False)
    opened = tickets.opened(tickets.read(parts, clerk.id, 0).queue, tab)
    listed = tickets.queue(QueueFilters(tab=tab, sort=usual), clerk.id)

    assert [row.id for row in opened.items] == [row.id for row in listed.items]
    assert (len(opened.items), opened.next, opened.prev, opened.total) == (25, listed.next, None, None)
