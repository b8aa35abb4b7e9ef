"""The page of security events: what is told, found, taken along as a file, and who was refused what."""

import ast
import csv
import re

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.config import ROOT, Settings
from backend.core.context import Actor, Door
from backend.core.events import DETAILS, LABELS, Event
from backend.core.permissions import ADMIN, AUTHOR, SUPPORT
from backend.core.refusals import PER_MINUTE
from backend.database import audit
from backend.database.chain import witness
from backend.database.chain.sealing import seal
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.history import ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.session import Database
from backend.jobs.sealing import once
from tests.access import PAGES, everything
from tests.conftest import Api, SignIn
from tests.crm.pages import english_admin, one, words
from tests.crm.test_staff import hire
from tests.factories import make_lesson, make_user

URL = "/dashboard/settings/audit/"
EN = {"Accept-Language": "en"}


def rows(browser: TestClient, query: str = "") -> list[str]:
    page = browser.get(f"{URL}{query}", headers=EN)
    assert page.status_code == 200, page.text
    return re.findall(r'class="ly-strong text-reset" href="[^"]+">([^<]+)</a>', page.text)


def told(db: Session, kind: Event) -> list[SecurityEvent]:
    return list(db.scalars(select(SecurityEvent).where(SecurityEvent.kind == kind.value).order_by(SecurityEvent.id)))


def test_only_another_beginning_of_the_chain_is_to_be_looked_at(
    admin: TestClient, database: Database, settings: Settings, db: Session
) -> None:
    db.execute(update(ChangeSet).values(at=clock.now()))  # a school of this minute
    for mark, times in ((False, 1), (True, 2)):
        with database.transaction(Actor(Door.WEB, 1)) as session:
            session.add(Lesson(title="Scales", price=1))
        seal(database, settings)
        page = admin.get(f"{URL}?kind=sys_audit_started", headers=EN).text
        assert ("Needs attention" in page, len(told(db, Event.AUDIT_STARTED))) == (mark, times)
        db.execute(text("DELETE FROM audit_blocks"))
        db.execute(text("DELETE FROM settings WHERE key = 'audit_head'"))
        witness.forget(settings)


def test_events_are_told_in_words_and_found(
    admin: TestClient, database: Database, settings: Settings, db: Session
) -> None:
    assert "No events yet" in admin.get(URL, headers=EN).text
    with database.transaction(Actor(Door.WEB, 1, ip="192.0.2.7", request_id="request-7")) as session:
        session.add(Lesson(title="Scales", price=1))
        audit.note(session, Event.LOGIN_FAIL, user_agent="Mozilla/5.0 (X11; Linux) Firefox/130.0")
    with database.transaction(Actor(Door.CLI)) as session:
        made = audit.note(session, Event.LOCK_LIFTED, user_id=1, why="<b>asked</b>")

    assert rows(admin) == ["An account was unlocked", "Wrong password"]
    for query, found in (
        ("?kind=authn_login_fail", ["Wrong password"]), ("?door=cli", ["An account was unlocked"]),
        ("?q=192.0.2.7", ["Wrong password"]), ("?q=request-7", ["Wrong password"]), ("?q=192.0.2", []),
        ("?user_id=1", ["An account was unlocked", "Wrong password"]), ("?since=2000-01-01&until=2000-01-02", []),
    ):  # fmt: skip
        assert rows(admin, query) == found, query
    page = admin.get(f"{URL}{made}", headers=EN).text
    assert "&lt;b&gt;asked&lt;/b&gt;" in page
    first = admin.get(f"{URL}{made - 1}", headers=EN).text
    assert re.search(r"Changes in the same request: \d+", first)
    assert admin.get(f"{URL}999999", headers=EN).status_code == 404
    assert set(LABELS) == set(Event)  # each has its words

    seal(database, settings)
    assert "The history is sealed up to" in admin.get(URL, headers=EN).text
    db.execute(text("UPDATE audit_blocks SET hash = ''"))
    once(database, settings)
    assert "The history was changed outside Lyceum: Block 1" in admin.get(URL, headers=EN).text


@pytest.mark.parametrize("where", ["users", "settings/staff"])
def test_a_persons_page_shows_the_last_ten_to_those_who_may_know(
    sign_in: SignIn, database: Database, db: Session, where: str
) -> None:
    admin, boris = english_admin(sign_in, db), hire(db, SUPPORT, "boris")
    role = UserCRUD(db).role_named(SUPPORT)
    role.permissions = [*role.permissions, "staff:write"]
    person = make_user(db) if where == "users" else hire(db, "Автор", "vera")
    page = f"/dashboard/{where}/{person.id}"
    assert "Nothing yet" in one(admin.get(page).text, ".card:has(#events)").text()
    with database.transaction(Actor(Door.WEB, person.id, ip="192.0.2.7")) as session:
        for _ in range(11):
            audit.note(session, Event.LOGIN_SUCCESS)
        audit.note(session, Event.FACTOR_REMOVED, user_id=boris.id)  # done by them, but not to them
    with database.transaction(Actor(Door.WEB, 1)) as session:
        audit.note(session, Event.LOCK_LIFTED, user_id=person.id)
    card = one(admin.get(page).text, ".card:has(#events)")
    lines = [words(line) for line in card.css("li")]
    assert (len(lines), lines[0], lines[1]) == (
        10, "An account was unlocked just now · Анна", "Signed in just now · 192.0.2.7",
    )  # fmt: skip
    assert f"{URL}?user_id={person.id}" in card.html
    support = sign_in("boris")
    assert (support.get(page).status_code, 'id="events"' in support.get(page).text) == (200, False)


def test_what_is_taken_along_is_an_event_itself(admin: TestClient, db: Session) -> None:
    make_lesson(db, title="Scales")
    assert admin.get("/dashboard/lessons/export.csv?q=scales", headers=EN).status_code == 200
    [event] = told(db, Event.EXPORTED)
    assert (event.actor_id, event.data) == (
        1, {"what": "lessons", "format": "csv", "filters": {"q": "scales"}},
    )  # fmt: skip
    file = admin.get(f"{URL}export.csv", headers=EN).text.removeprefix("\ufeff")
    kinds = [row["kind"] for row in csv.DictReader(file.splitlines())]
    assert kinds == ["sensitive_read", "sensitive_read"]


# An example without data; the rows of one's own file, with what is wrong with them; numbers of rows with a reason.
NO_EXPORT = re.compile(r"/import/(sample|\{import_id\}/problems)\.csv$|/jobs/\{job_id\}/errors\.csv$")


def test_every_file_with_data_is_an_event(admin: TestClient, db: Session) -> None:
    """The files are found from the routes: a new one is told of, or named above."""
    ids, silent = everything(db), []
    files = [rule for rule in PAGES if rule.path.endswith((".csv", ".xlsx")) and not NO_EXPORT.search(rule.path)]
    for rule in files:
        before = len(told(db, Event.EXPORTED))
        assert admin.get(rule.address(ids)).status_code == 200, rule.name
        db.rollback()
        if [event.data["format"] for event in told(db, Event.EXPORTED)[before:]] != [rule.path.rpartition(".")[2]]:
            silent.append(rule.name)
    assert silent == []
    assert len(files) > 15
    assert any("tickets" in rule.path for rule in files)


def test_whoever_is_refused_is_told_of_a_few_times_a_minute(
    staff: SignIn, api: Api, client: TestClient, db: Session
) -> None:
    support = staff(SUPPORT)
    for _ in range(PER_MINUTE + 3):
        assert support.get(URL).status_code == 403
    found = told(db, Event.REFUSED)
    assert [event.data for event in found] == [{"route": "crm:audit:index", "right": "audit:read"}] * PER_MINUTE
    assert len({event.actor_id for event in found}) == 1
    assert api("lessons:read").get("/api/users/").status_code == 403
    assert told(db, Event.REFUSED)[-1].token_id is not None
    assert client.get(URL).status_code in (303, 401)  # who is nobody is not refused a right
    assert len(told(db, Event.REFUSED)) == PER_MINUTE + 1

    db.execute(text("ALTER TABLE rate_buckets RENAME TO away"))
    try:
        status = support.get(URL).status_code
    finally:
        db.execute(text("ALTER TABLE away RENAME TO rate_buckets"))
    assert status == 403  # the answer is the same when it cannot be written down


def test_every_detail_of_an_event_has_words(admin: TestClient, db: Session) -> None:
    """Of every event that the program notes, whoever writes it."""
    named: set[str] = set()
    for path in (ROOT / "backend").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("audit.note", "_note", "redacting"):
                named |= {keyword.arg for keyword in call.keywords if keyword.arg}
    named -= {"user_id", "user_agent"}
    assert len(named) > 25
    assert named - DETAILS.keys() == set()

    change = {"before": AUTHOR, "after": ADMIN, "runs_school": True}
    audit.note(db, Event.ROLE_CHANGED, user_id=1, **change)
    audit.note(db, Event.REFUSED, user_id=1, right="users:read", why="csrf", route="crm:users:index", other="x")
    db.commit()
    role, refused = told(db, Event.ROLE_CHANGED)[-1], told(db, Event.REFUSED)[-1]

    def shown(event_id: int) -> dict[str, str]:
        page = HTMLParser(admin.get(f"{URL}{event_id}").text)
        facts = page.css_first("[aria-labelledby=data-card]")
        assert facts is not None
        names = [words(node) for node in facts.css("dt")]
        return dict(zip(names, [words(node) for node in facts.css("dd")], strict=True))

    assert shown(role.id) == {"Before": "Author", "After": "Admin", "May run the school": "yes"}
    assert shown(refused.id) == {
        "Missing right": "View people", "Reason": "a form of another site, or out of date", "Page": "crm:users:index",
    }  # fmt: skip
