"""The pages of jobs: who sees which, progress that is told while it moves, acting, refused rows."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import AUTHOR, MANAGER, STUDENT
from backend.crm import jobs
from backend.database import history
from backend.database.crud.auth import SessionCRUD
from backend.database.crud.jobs import JobCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.models.auth import AuthSession
from backend.database.models.jobs import Job
from backend.database.models.lessons import Lesson
from backend.database.models.users import Role, User
from backend.database.schemas.lessons import LessonUpdate
from backend.database.schemas.promo_codes import PromoCodeUpdate
from backend.database.session import Database
from backend.jobs import work
from tests.conftest import SignIn
from tests.factories import make_lesson, make_promo, make_purchase, make_user

JOBS = "/dashboard/jobs/"
PART = {"HX-Request": "true", "HX-Request-Type": "partial"}


def start(database: Database, login: str, verb: str = "hide", ids: Any = (1,), **arguments: Any) -> int:
    with database.transaction() as session:
        owner = session.scalars(select(User.id).where((User.login == login) | (User.first_name == login))).one()
        return JobCRUD(session).start("lessons", verb, arguments, list(ids), owner).id


def finish(database: Database) -> None:
    job_id = work.claim(database, "one")
    assert job_id is not None
    while work.step(database, job_id, "one", 2, time.monotonic()):
        pass


def state(db: Session, job_id: int) -> str:
    return db.scalars(select(Job.state).where(Job.id == job_id)).one()


def test_without_jobs_the_page_says_what_they_are(admin: TestClient) -> None:
    page = admin.get(JOBS)
    assert "No jobs yet" in page.text
    assert f'href="{JOBS}"' in page.text  # in the sidebar


def test_a_job_tells_what_it_does_and_how_far_it_is(admin: TestClient, db: Session, database: Database) -> None:
    sold = make_lesson(db)
    make_purchase(db, make_user(db), sold)
    job_id = start(database, "admin", "delete", [sold.id, make_lesson(db).id, 999])
    waiting = admin.get(f"{JOBS}{job_id}").text

    finish(database)
    page, rows = admin.get(f"{JOBS}{job_id}").text, admin.get(f"{JOBS}{job_id}/errors.csv")

    assert "hx-sse:connect" in waiting
    assert "0 of 3" in waiting
    assert "Queued" in waiting
    assert '<meta http-equiv="refresh"' in waiting
    assert "3 of 3" in page
    assert "Done" in page
    assert "Анна" in page
    assert "3 lessons" in page
    assert ("You can leave this page" in waiting, "You can leave this page" in page) == (True, False)
    live = admin.get(f"{JOBS}{job_id}", headers=PART).text  # what stands on a page that was opened before
    assert "You can leave this page" not in live
    assert "hx-sse:connect" not in page
    assert "http-equiv" not in page
    assert rows.headers["content-disposition"].startswith(f'attachment; filename="job-{job_id}-errors-')
    lines = rows.text.removeprefix("\ufeff").splitlines()
    assert lines[0] == "id,name,message"
    assert [line.split(",")[:2] for line in lines[1:]] == [[str(sold.id), sold.title], ["999", ""]]
    listed = admin.get(JOBS).text
    assert "3 of 3" in listed
    assert "rejected: 2" in listed
    fragment = admin.get(f"{JOBS}{job_id}", headers=PART).text
    assert "3 of 3" in fragment
    assert "<html" not in fragment


def test_arguments_are_told_in_words(admin: TestClient, db: Session, database: Database) -> None:
    job_id = start(database, "admin", "change_price", [make_lesson(db).id], percent=15)
    page = admin.get(f"{JOBS}{job_id}").text
    assert "<dt>Percent</dt><dd>15</dd>" in page
    assert "Change the price by percent" in page


def test_the_progress_is_told_until_the_job_is_over(admin: TestClient, db: Session, database: Database) -> None:
    job_id = start(database, "admin", "hide", [make_lesson(db).id])
    finish(database)

    told = admin.get(f"{JOBS}{job_id}/events")

    assert told.headers["content-type"].startswith("text/event-stream")
    assert told.text.startswith("retry: 1000\n\ndata: ")
    assert "data:" in told.text
    assert "1 of 1" in told.text
    assert told.text.endswith("event: over\ndata: over\n\n")


@pytest.mark.parametrize("ends", ["session", "role"])
def test_the_progress_is_told_no_longer_than_the_person_may_see_it(
    admin: TestClient, db: Session, database: Database, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr(jobs, "LONGEST", 10.0)
    job_id = start(database, "admin", "hide", [make_lesson(db).id])  # nobody works: it waits for ever
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(lambda: admin.get(f"{JOBS}{job_id}/events").text)
        time.sleep(1)
        assert told.running()
        if ends == "session":
            database.run(lambda session: SessionCRUD(session).revoke_all(1))
        else:
            db.get_one(User, 1).role_id = db.scalars(select(Role.id).where(Role.name == STUDENT)).one()
            db.commit()
        assert told.result(timeout=9).endswith("event: over\ndata: over\n\n")


def test_a_person_pauses_goes_on_cancels_and_undoes(admin: TestClient, db: Session, database: Database) -> None:
    ids = [make_lesson(db).id for _n in range(3)]
    job_id = start(database, "admin", "hide", ids)
    claimed = work.claim(database, "one")
    work.step(database, job_id, "one", 2, time.monotonic())
    assert claimed == job_id

    seen = []
    for verb in ("pause", "resume", "cancel"):
        answer = admin.post(f"{JOBS}{job_id}/{verb}")
        assert (answer.status_code, answer.headers["location"]) == (303, f"{JOBS}{job_id}")
        seen.append(state(db, job_id))
    assert seen == ["paused", "queued", "cancelled"]
    assert admin.post(f"{JOBS}{job_id}/pause").status_code == 409
    assert ">Undo the changes<" in admin.get(f"{JOBS}{job_id}").text

    undone = admin.post(f"{JOBS}{job_id}/undo").headers["location"]
    finish(database)

    assert undone == f"{JOBS}{job_id + 1}"
    assert ">Redo the changes<" in admin.get(undone).text
    assert set(db.scalars(select(Lesson.is_active))) == {True}
    assert admin.post(f"{JOBS}{job_id}/undo").status_code == 409


def test_a_job_that_changed_nothing_has_nothing_to_undo(admin: TestClient, db: Session, database: Database) -> None:
    job_id = start(database, "admin", "put_on_sale", [make_lesson(db).id])
    finish(database)
    assert admin.post(f"{JOBS}{job_id}/undo").status_code == 409
    assert ">Undo<" not in admin.get(f"{JOBS}{job_id}").text


def test_others_see_only_their_own_jobs(staff: SignIn, admin: TestClient, db: Session, database: Database) -> None:
    author = staff(AUTHOR)
    theirs, own = start(database, "admin"), start(database, AUTHOR)

    assert f"{JOBS}{own}" in author.get(JOBS).text
    assert f"{JOBS}{theirs}" not in author.get(JOBS).text
    assert author.get(f"{JOBS}{own}").status_code == 200
    for path in ("", "/events", "/errors.csv"):
        assert author.get(f"{JOBS}{theirs}{path}").status_code == 404
    assert author.post(f"{JOBS}{theirs}/cancel").status_code == 404
    assert f"{JOBS}{own}" in admin.get(JOBS).text
    assert admin.post(f"{JOBS}{own}/pause").status_code == 303


def test_acting_needs_the_right_to_the_records(staff: SignIn, db: Session, database: Database) -> None:
    manager = staff(MANAGER)  # who may not write lessons
    job_id = start(database, MANAGER)

    assert manager.get(f"{JOBS}{job_id}").status_code == 200
    assert ">Pause<" not in manager.get(f"{JOBS}{job_id}").text
    for verb in ("pause", "resume", "cancel", "undo"):
        assert manager.post(f"{JOBS}{job_id}/{verb}").status_code == 403


def test_an_undo_needs_the_rights_to_all_that_it_takes_back(staff: SignIn, db: Session, database: Database) -> None:
    code, lesson = make_promo(db), make_lesson(db)

    def edit(session: Session) -> int:
        PromoCodeCRUD(session).update(code.id, PromoCodeUpdate(max_uses=7))
        LessonCRUD(session).update(lesson.id, LessonUpdate(title="Noon"))
        return history.change_set_id(session) or 0

    made = database.run(edit)
    manager = staff(MANAGER)  # who may write promo codes alone
    undo = database.run(lambda session: JobCRUD(session).start_undo(made, 1).id)
    db.execute(update(Job).values(owner_id=select(User.id).where(User.first_name == MANAGER).scalar_subquery()))
    db.commit()
    assert db.scalars(select(Job.records)).one() == "promo_codes"

    assert ">Pause<" not in manager.get(f"{JOBS}{undo}").text
    assert manager.post(f"{JOBS}{undo}/pause").status_code == 403
    db.rollback()
    assert state(db, undo) == "queued"


def test_a_long_undo_of_the_history_is_a_job(
    admin: TestClient, db: Session, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.database.crud.jobs.UNDO_NOW", 1)
    ids = [make_lesson(db).id for _n in range(2)]
    start(database, "admin", "hide", ids)
    finish(database)
    change_set = db.scalars(select(Job.change_set_id)).one()

    answer = admin.post(f"/dashboard/history/{change_set}/undo", data={"next": "/dashboard/"})

    assert answer.headers["location"] == f"{JOBS}2"
    finish(database)
    assert set(db.scalars(select(Lesson.is_active))) == {True}


def test_an_error_of_the_whole_job_is_told(admin: TestClient, db: Session, database: Database) -> None:
    job_id = start(database, "admin")
    db.execute(update(Job).values(state="failed", error="KeyError"))
    page = admin.get(f"{JOBS}{job_id}").text
    assert "Failed" in page
    assert "KeyError" in page
    assert admin.post(f"{JOBS}{job_id}/resume").status_code == 303
    assert state(db, job_id) == "queued"


def test_a_page_that_follows_a_job_keeps_no_session_alive(admin: TestClient, db: Session, database: Database) -> None:
    job_id = start(database, "admin")
    finish(database)
    old = clock.now() - timedelta(minutes=50)
    db.execute(update(AuthSession).values(last_seen_at=old))
    db.commit()
    assert "event: over" in admin.get(f"{JOBS}{job_id}/events").text
    assert db.scalars(select(AuthSession.last_seen_at)).one() == old
    db.commit()
    admin.get(f"{JOBS}{job_id}")
    assert db.scalars(select(AuthSession.last_seen_at)).one() > old


def test_a_job_whose_owner_is_gone_says_so(admin: TestClient, db: Session, database: Database) -> None:
    job_id = start(database, "admin")
    db.execute(update(Job).values(state="paused", error="dismissed"))
    db.commit()
    page = admin.get(f"{JOBS}{job_id}", headers={"Accept-Language": "en"}).text
    assert "the person who started this job may no longer do this" in page
    assert "server log" not in page
