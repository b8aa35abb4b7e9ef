"""All tickets as a list: what stands in it, what finds them, verbs on many, files, views, queries."""

import csv
import io
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from backend.database.crud.tickets import TicketCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.jobs import Job
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import User
from backend.database.session import Database
from backend.jobs import work
from tests.conftest import SignIn
from tests.factories import make_ticket, make_user

LIST = "/dashboard/tickets/list/"
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def masha(db: Session) -> User:
    return make_user(db, first_name="Мария", last_name="Ковалёва", username="masha", telegram_id=77)


def text(node: Any) -> str:
    return " ".join(node.text(separator=" ").split())


def listed(page: str) -> list[int]:
    return [int((row.id or "").rpartition("-")[2]) for row in HTMLParser(page).css('tbody tr[id^="listed-"]')]


def state(db: Session, *tickets: SupportTicket) -> list[tuple[str, bool, int | None]]:
    db.expire_all()
    return [(ticket.status, ticket.waiting_since is not None, ticket.assignee_id) for ticket in tickets]


def act(client: TestClient, verb: str, tickets: list[SupportTicket], **more: str) -> Any:
    ids = ",".join(str(ticket.id) for ticket in tickets)
    return client.post(f"{LIST}bulk", data={"verb": verb, "ids": ids, "asked": "1", **more}, headers=HTMX)


def undo(client: TestClient, answer: Any) -> int:
    (form,) = HTMLParser(answer.text).css("[data-undo] form")
    return client.post(str(form.attributes["action"])).status_code


def test_an_empty_list_says_what_will_stand_there(admin: TestClient) -> None:
    page = admin.get(LIST).text
    assert "No tickets yet" in page
    assert [(text(link), link.attributes.get("aria-current")) for link in HTMLParser(page).css("main .ly-tabs a")] == [
        ("Queue", None),
        ("All as a list", "page"),
    ]


def test_a_row_tells_whose_ticket_it_is_and_how_it_stands(admin: TestClient, db: Session, masha: User) -> None:
    ticket = make_ticket(db, masha, subject="<b>Звук</b>")
    db.execute(update(User).where(User.id == 1).values(first_name="Anna"))
    TicketCRUD(db).hand_to(ticket.id, 1)
    db.commit()

    page = HTMLParser(admin.get(LIST).text)
    (row,) = page.css(f"#listed-{ticket.id}")
    shown = text(row)

    assert "<b>Звук</b>" in shown
    assert [part in shown for part in ("Мария Ковалёва", "@masha", "0 min", "Anna")] == [True] * 4
    assert f"/dashboard/tickets/{ticket.id}?tab=all" in [link.attributes["href"] for link in row.css("a")]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [2, 1, 0]),
        ("status=closed", [2]),
        ("waiting=true", [1, 0]),
        ("waiting=false", [2]),
        ("taken=yes", [1]),
        ("taken=no", [2, 0]),
        ("assignee_id=1", [1]),
        ("answered=true", [2]),
        ("answered=false", [1, 0]),
        ("q=звук", [0]),
        ("q=ковал", [2, 1, 0]),
        ("opened_since=2026-11-02", [2, 1]),
        ("opened_until=2026-11-01", [0]),
        ("sort=created_at", [0, 1, 2]),
        ("status=open&taken=no", [0]),
    ],
)
def test_filters_and_search(admin: TestClient, db: Session, masha: User, query: str, found: list[int]) -> None:
    day = clock.now().replace(year=2026, month=11, day=1, hour=12)
    made = [
        make_ticket(
            db,
            masha,
            subject=subject,
            created_at=day.replace(day=1 + n),
            last_message_at=day.replace(day=1 + n),
            **fields,
        )
        for n, (subject, fields) in enumerate(
            (
                ("Тихий звук", {}),
                ("Возврат", {"assignee_id": 1}),
                ("Спасибо", {"status": "closed", "waiting_since": None, "first_reply_at": day}),
            )
        )
    ]
    assert [[ticket.id for ticket in made].index(row) for row in listed(admin.get(f"{LIST}?{query}").text)] == found


def test_many_are_closed_together_and_it_is_undone_together(admin: TestClient, db: Session, masha: User) -> None:
    made = [make_ticket(db, masha) for _ in range(3)]
    answer = act(admin, "close", made[:2])
    assert state(db, *made) == [("closed", False, None)] * 2 + [("open", True, None)]

    assert undo(admin, answer) == 303
    assert state(db, *made) == [("open", True, None)] * 3


def test_only_a_closed_one_is_opened_again(admin: TestClient, db: Session, masha: User) -> None:
    closed, working = make_ticket(db, masha), make_ticket(db, masha, status="in_progress")
    TicketCRUD(db).set_status(closed.id, "closed")
    db.commit()

    answer = act(admin, "open_again", [closed, working])

    assert "Reopen: 1. unchanged: 1" in text(HTMLParser(answer.text).css_first(".ly-toast"))
    assert state(db, closed, working) == [("open", True, None), ("in_progress", True, None)]


def test_tickets_are_given_to_those_alone_who_answer(
    admin: TestClient, staff: SignIn, db: Session, masha: User
) -> None:
    staff(SUPPORT)
    helper = db.scalars(select(User).order_by(User.id.desc())).first()
    assert helper is not None
    made = [make_ticket(db, masha) for _ in range(2)]
    asked = admin.post(f"{LIST}bulk", data={"verb": "assign", "ids": str(made[0].id)}, headers=HTMX).text
    offered = [
        option.attributes["value"] for option in HTMLParser(asked).css("select option") if option.attributes["value"]
    ]
    assert sorted(map(int, offered)) == sorted([1, helper.id])

    act(admin, "assign", made, assignee_id=str(helper.id))
    assert state(db, *made) == [("open", True, helper.id)] * 2

    refused = act(admin, "assign", made[:1], assignee_id=str(masha.id))
    assert refused.status_code == 409
    assert "This person does not handle tickets." in refused.text

    act(admin, "unassign", made)
    assert state(db, *made) == [("open", True, None)] * 2


def test_deleting_many_keeps_what_has_not_left_from_leaving(admin: TestClient, db: Session, masha: User) -> None:
    made = [make_ticket(db, masha) for _ in range(2)]
    TicketCRUD(db).reply(made[0].id, "Soon", 1)
    db.commit()

    answer = act(admin, "delete", made)
    db.expire_all()
    assert (db.scalars(select(SupportTicket.id)).all(), db.scalars(select(Dispatch.state)).all()) == ([], ["cancelled"])

    assert undo(admin, answer) == 303
    db.expire_all()
    assert len(db.scalars(select(SupportTicket.id)).all()) == 2


def test_more_than_two_hundred_are_a_job(admin: TestClient, db: Session, database: Database, masha: User) -> None:
    made = [make_ticket(db, masha) for _ in range(201)]
    answer = admin.post(f"{LIST}bulk", data={"verb": "close", "all": "1"})
    job = db.scalars(select(Job)).one()
    assert answer.headers["location"] == f"/dashboard/jobs/{job.id}"
    assert "201 tickets" in admin.get(f"/dashboard/jobs/{job.id}").text

    assert work.claim(database, "one") == job.id
    while work.step(database, job.id, "one", 50, time.monotonic()):
        pass
    assert {status for status, *_rest in state(db, *made)} == {"closed"}


def test_the_file_holds_what_the_list_shows(admin: TestClient, db: Session, masha: User) -> None:
    make_ticket(db, masha, subject="=1+1")
    make_ticket(db, masha, status="closed", waiting_since=None)
    answer = admin.get(f"{LIST}export.csv?status=open")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    (row,) = csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff")))
    assert (row["subject"], row["first_name"], row["status"]) == ("'=1+1", "Мария", "open")


def test_a_view_of_it_is_kept_below_the_tickets(admin: TestClient, db: Session, masha: User) -> None:
    make_ticket(db, masha)
    form = {"list_name": "ticket_list", "query": "waiting=true", "name": "Late", "is_pinned": "true"}
    assert admin.post("/dashboard/views/", data=form).status_code == 303
    page = HTMLParser(admin.get("/dashboard/").text)
    pin, *_same = [link for link in page.css("aside a, nav a") if text(link) == "Late"]
    opened = admin.get(str(pin.attributes["href"]), follow_redirects=True)
    assert (opened.url.path, opened.url.params["waiting"]) == (LIST, "true")


@pytest.mark.parametrize(("role", "see", "act_"), [(MANAGER, 200, 403), (SUPPORT, 200, 303), (AUTHOR, 403, 403)])
def test_who_may_see_and_who_may_act(staff: SignIn, db: Session, masha: User, role: str, see: int, act_: int) -> None:
    ticket = make_ticket(db, masha)
    person = staff(role)
    page = person.get(LIST)
    assert page.status_code == see
    assert ('data-verb="close"' in page.text or 'value="close"' in page.text) is (act_ == 303)
    assert person.post(f"{LIST}bulk", data={"verb": "close", "ids": str(ticket.id)}).status_code == act_


@pytest.mark.parametrize("number", [1, 3])
def test_a_list_asks_the_same_number_of_queries_whatever_it_shows(
    admin: TestClient, db: Session, masha: User, queries: list[str], number: int
) -> None:
    for _row in range(number):
        make_ticket(db, masha)
    admin.get(LIST)
    queries.clear()
    admin.get(LIST)
    assert len(queries) == 2  # session, rows with their count


def test_the_desk_leads_to_the_list_with_what_it_shows(admin: TestClient, db: Session, masha: User) -> None:
    make_ticket(db, masha)
    for query, expected in (("", "?waiting=true"), ("?tab=all&status=open&q=x", "?q=x&status=open"), ("?tab=mine", "")):
        page = HTMLParser(admin.get(f"/dashboard/tickets/{query}").text)
        (link,) = [each for each in page.css("#queue-order a") if "All as a list" in text(each)]
        assert str(link.attributes["href"]) == f"{LIST}{expected}"
