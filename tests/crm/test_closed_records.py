"""The outbox and the jobs of others: open to those who run the school, their texts and names to who may read these."""

import csv
import io

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.permissions import Permission
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.jobs import JobCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.jobs import Job, JobError
from backend.database.models.users import User
from backend.database.session import Database
from tests.crm.conftest import Reading
from tests.crm.pages import PARTIAL
from tests.crm.test_jobs import finish
from tests.factories import make_lesson

P = Permission
OUTBOX, JOBS = "/dashboard/outbox/", "/dashboard/jobs/"


@pytest.fixture
def sent(db: Session, student: User) -> int:
    """A reply to the student, and a letter, whose number this is."""
    DispatchCRUD(db).enqueue(
        "reply", chat_id=4_242_424, method="sendMessage", params={"text": "Ваш ответ здесь"}, user_id=student.id
    )
    student.email = "zoya@school.example"
    letter = LetterCRUD(db).write_to(student, "verify", link="https://school.example/x")
    db.commit()
    return letter.id


SECRETS = "Зоя", "Мельник", "4242424", "zoya@school.example", "Ваш ответ здесь", "Confirm your email"
NAMES, TEXTS = set(SECRETS[:4]), set(SECRETS[4:])


def told(page: str) -> set[str]:
    return {word for word in SECRETS if word in page}


@pytest.mark.parametrize("rights", [(), (P.USERS_READ,), (P.TICKETS_READ,), (P.USERS_READ, P.TICKETS_READ)])
def test_the_outbox_tells_names_and_texts_to_those_who_may_read_them(
    reading: Reading, admin: TestClient, sent: int, rights: tuple[Permission, ...]
) -> None:
    admin.get(OUTBOX)
    reader = reading(P.OPERATIONS_READ, P.SETTINGS_WRITE, *rights)
    open_ = (NAMES if P.USERS_READ in rights else set()) | (TEXTS if P.TICKETS_READ in rights else set())

    page, file = reader.get(OUTBOX).text, reader.get(f"{OUTBOX}export.csv").text
    assert told(page) == open_ - {"4242424"}  # known by name
    assert told(file) == open_
    header = file.lstrip("\ufeff").splitlines()[0].split(",")
    assert ("recipient" in header, "address" in header, "message" in header) == (
        P.USERS_READ in rights, P.USERS_READ in rights, P.TICKETS_READ in rights,
    )  # fmt: skip
    assert {"channel", "state"} < set(header)
    assert "Queued" in page
    assert f'href="{OUTBOX}letters/{sent}"' in page
    asked = reader.post(f"{OUTBOX}bulk", data={"verb": "cancel", "ids": str(sent)}, headers=PARTIAL).text
    assert told(asked) <= open_


@pytest.mark.parametrize("rights", [(), (P.USERS_READ,), (P.TICKETS_READ,), (P.USERS_READ, P.TICKETS_READ)])
def test_a_letter_is_read_by_those_who_may_read_both(
    reading: Reading, sent: int, rights: tuple[Permission, ...]
) -> None:
    page = reading(P.OPERATIONS_READ, *rights).get(f"{OUTBOX}letters/{sent}").text
    names = {"Зоя", "zoya@school.example"}
    known = {"zoya@school.example"} if rights == (P.USERS_READ,) else set()
    assert told(page) == (names | {"Confirm your email"} if len(rights) == 2 else known)
    assert "About this email" in page


@pytest.fixture
def alert(db: Session) -> int:
    """A letter and a message about one event, and a reply that is none; the letter's number."""
    owner = db.scalars(select(User).where(User.login == "admin")).one()
    said = {"what": "A second factor was removed", "details": "Boris · 203.0.113.77"}
    owner.email = "olga@school.example"
    letter = LetterCRUD(db).write_to(owner, "alert", dedupe="alert:7:1", link="https://school.example/x", **said)
    for key, text in (("alert:7:1:chat", "From 203.0.113.77"), ("reply", "Your answer")):
        DispatchCRUD(db).enqueue(key, chat_id=5, method="sendMessage", params={"text": text}, user_id=owner.id)
    db.commit()
    return letter.id


@pytest.mark.parametrize("rights", [(), (P.AUDIT_READ,)])
def test_alerts_tell_addresses_to_those_who_may_view_security_events(
    reading: Reading, admin: TestClient, alert: int, rights: tuple[Permission, ...]
) -> None:
    admin.get(OUTBOX)
    reader, may = reading(P.OPERATIONS_READ, P.SETTINGS_WRITE, P.USERS_READ, P.TICKETS_READ, *rights), bool(rights)
    page, file = reader.get(OUTBOX).text, reader.get(f"{OUTBOX}export.csv").text
    chosen = reader.post(f"{OUTBOX}bulk", data={"verb": "export", "ids": f"{alert},{alert + 1},{alert + 2}"}).text
    for told in (page, file, chosen):
        words = "A second factor was removed", "203.0.113.77", "Your answer"
        assert [word in told for word in words] == [may, may, True]
    rows = list(csv.DictReader(io.StringIO(file.lstrip("\ufeff"))))
    hidden = {row["id"]: row["message"] for row in rows if row["id"] != str(alert + 2)}
    assert (sorted(hidden), set(hidden.values()) == {""}) == ([str(alert), str(alert + 1)], not may)

    letter = reader.get(f"{OUTBOX}letters/{alert}").text
    closed = "Only whoever may view security events, people and tickets can read it."
    assert ["203.0.113.77" in letter, "A second factor was removed" in letter, closed in letter] == [may, may, not may]
    if may:  # and beside it the rights that any other letter asks for
        assert "203.0.113.77" not in reading(P.OPERATIONS_READ, P.AUDIT_READ).get(f"{OUTBOX}letters/{alert}").text


# -- jobs


@pytest.fixture
def refused(database: Database, student: User) -> int:
    """A job of the admin about students that could not delete one, and tells their name."""
    with database.transaction() as session:
        job = JobCRUD(session).start("users", "delete", {}, [student.id], 1)
        session.add(JobError(job_id=job.id, row_id=student.id, message="has purchases"))
        job.state, job.failed = "done", 1
        return job.id


def test_the_jobs_of_others_are_told_to_those_who_may_read_the_records(reading: Reading, refused: int) -> None:
    stranger, reader = reading(P.OPERATIONS_READ, P.LESSONS_READ), reading(P.OPERATIONS_READ, P.USERS_READ)
    paths = f"{JOBS}{refused}", f"{JOBS}{refused}/events", f"{JOBS}{refused}/errors.csv"
    assert [stranger.get(path).status_code for path in paths] == [404, 404, 404]
    assert f'href="{JOBS}{refused}"' not in stranger.get(JOBS).text
    assert "delete" not in stranger.get(f"{JOBS}export.csv").text
    assert [reader.get(path).status_code for path in paths] == [200, 200, 200]
    assert f'href="{JOBS}{refused}"' in reader.get(JOBS).text
    assert "Мельник" in reader.get(f"{JOBS}{refused}/errors.csv").text


@pytest.mark.parametrize("more", [(), (P.HISTORY_READ,)])
def test_the_job_of_another_is_undone_by_who_may_read_the_history(
    reading: Reading, db: Session, database: Database, more: tuple[Permission, ...]
) -> None:
    """As on the page of the history: by whichever page, it is the same undo."""
    lesson = make_lesson(db)
    with database.transaction() as session:
        job = JobCRUD(session).start("lessons", "hide", {}, [lesson.id], 1).id
    finish(database)
    person = reading(P.LESSONS_READ, P.LESSONS_WRITE, P.OPERATIONS_READ, *more)
    page = person.get(f"{JOBS}{job}")
    assert (page.status_code, f'action="{JOBS}{job}/undo"' in page.text) == (200, bool(more))
    assert person.post(f"{JOBS}{job}/undo").status_code == (303 if more else 403)
    db.rollback()
    assert len(db.scalars(select(Job.id)).all()) == (2 if more else 1)


def test_one_s_own_job_is_undone_without_that_right(reading: Reading, db: Session, database: Database) -> None:
    lesson, person = make_lesson(db), reading(P.LESSONS_READ, P.LESSONS_WRITE)
    owner = db.scalars(select(User.id).where(User.first_name == "Нина")).one()
    with database.transaction() as session:
        job = JobCRUD(session).start("lessons", "hide", {}, [lesson.id], owner).id
    finish(database)
    assert f'action="{JOBS}{job}/undo"' in person.get(f"{JOBS}{job}").text
    assert person.post(f"{JOBS}{job}/undo").status_code == 303


def test_the_file_of_refused_rows_is_an_event(reading: Reading, db: Session, refused: int) -> None:
    reader = reading(P.OPERATIONS_READ, P.USERS_READ)
    owner = db.scalars(select(User.id).where(User.first_name == "Нина")).one()
    assert reader.get(f"{JOBS}{refused}/errors.csv").status_code == 200
    read = db.scalars(select(SecurityEvent).where(SecurityEvent.kind == "sensitive_read")).all()
    assert [(event.actor_id, event.data) for event in read] == [
        (owner, {"what": "job_errors", "format": "csv", "rows": 1, "job": refused})
    ]


def test_one_s_own_job_names_nobody_once_the_right_is_gone(
    reading: Reading, db: Session, database: Database, refused: int
) -> None:
    person = reading(P.LESSONS_READ)
    owner = db.scalars(select(User.id).where(User.first_name == "Нина")).one()
    with database.transaction() as session:
        JobCRUD(session).get_by_id(refused).owner_id = owner
    assert person.get(f"{JOBS}{refused}").status_code == 200
    answer = person.get(f"{JOBS}{refused}/errors.csv")
    assert (answer.status_code, "has purchases" in answer.text, "Мельник" in answer.text) == (200, True, False)
