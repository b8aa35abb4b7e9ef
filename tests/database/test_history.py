"""Every write leaves its history, and an undo restores without overwriting anyone."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from backend.core.context import Actor, Door
from backend.core.errors import ConflictError
from backend.database import history
from backend.database.base import Base
from backend.database.crud.base import BaseCRUD
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.history import HistoryCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.purchases import PurchaseCRUD
from backend.database.crud.tickets import TicketCRUD
from backend.database.crud.undo import UndoCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.models.courses import Course
from backend.database.models.history import Change
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Payment
from backend.database.models.promo_codes import PromoCode
from backend.database.session import Database
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_ticket, make_user


def last_change_set(db: Session, root: str, root_id: int) -> int:
    return HistoryCRUD(db).of_record(root, root_id)[0].change_set.id


def test_an_update_keeps_what_changed_and_who_did_it(database: Database, db: Session) -> None:
    lesson, anna = make_lesson(db, title="Scales", price=50), make_user(db)
    db.rollback()

    with database.transaction(Actor(Door.WEB, anna.id, ip="127.0.0.1")) as session:
        session.get_one(Lesson, lesson.id).price = 70

    entry = HistoryCRUD(db).of_record("lessons", lesson.id)[0]
    assert [(c.op, c.before, c.after) for c in entry.changes] == [("update", {"price": 50}, {"price": 70})]
    assert (entry.change_set.door, entry.change_set.actor and entry.change_set.actor.id) == ("web", anna.id)


def test_undo_of_a_delete_restores_the_row_its_id_and_its_children(database: Database, db: Session) -> None:
    course = make_course(db, [make_lesson(db), make_lesson(db)])
    ids = [(link.id, link.lesson_id, link.position) for link in course.course_lessons]
    course_id, created = course.id, course.created_at
    db.rollback()
    with database.transaction() as session:
        loaded = session.get_one(Course, course_id, options=[selectinload(Course.course_lessons)])
        session.delete(loaded)
    deletion = last_change_set(db, "courses", course_id)
    db.rollback()

    database.run(lambda session: UndoCRUD(session).undo(deletion))

    back = db.get_one(Course, course_id, options=[selectinload(Course.course_lessons)], populate_existing=True)
    assert [(link.id, link.lesson_id, link.position) for link in back.course_lessons] == ids
    assert (back.title, back.created_at) == ("Портрет", created)


def test_undo_of_an_undo_is_a_redo(database: Database, db: Session) -> None:
    lesson = make_lesson(db, price=50)
    db.rollback()
    with database.transaction() as session:
        session.get_one(Lesson, lesson.id).price = 70
    edit = last_change_set(db, "lessons", lesson.id)
    db.rollback()
    database.run(lambda session: UndoCRUD(session).undo(edit))
    undo = last_change_set(db, "lessons", lesson.id)
    db.rollback()
    assert undo != edit
    db.refresh(lesson)
    assert lesson.price == 50
    db.rollback()

    database.run(lambda session: UndoCRUD(session).undo(undo))

    db.refresh(lesson)
    assert lesson.price == 70


def test_undo_overwrites_nobody(database: Database, db: Session) -> None:
    lesson = make_lesson(db, price=50)
    db.rollback()
    for price in (70, 90):
        with database.transaction() as session:
            session.get_one(Lesson, lesson.id).price = price
    first = HistoryCRUD(db).of_record("lessons", lesson.id)[1].change_set.id
    db.rollback()

    with pytest.raises(ConflictError) as refused:
        database.run(lambda session: UndoCRUD(session).undo(first))

    assert (refused.value.code, refused.value.fields) == ("changed_since", {"price": "90"})
    db.refresh(lesson)
    assert lesson.price == 90


def test_undo_works_once(database: Database, db: Session) -> None:
    promo = make_promo(db, code="Весна", expires_at=datetime(2027, 1, 1, tzinfo=UTC))
    db.rollback()
    with database.transaction() as session:
        session.delete(session.get_one(PromoCode, promo.id))
    deletion = last_change_set(db, "promo_codes", promo.id)
    db.rollback()

    database.run(lambda session: UndoCRUD(session).undo(deletion))

    back = db.get_one(PromoCode, promo.id, populate_existing=True)
    assert (back.code, back.code_key, back.expires_at) == ("Весна", "весна", datetime(2027, 1, 1, tzinfo=UTC))
    db.rollback()
    with pytest.raises(ConflictError, match="undone already"):
        database.run(lambda session: UndoCRUD(session).undo(deletion))


def test_money_is_not_undone(database: Database, db: Session) -> None:
    purchase = make_purchase(db, make_user(db), make_lesson(db))
    sale = last_change_set(db, "purchases", purchase.id)
    db.rollback()

    with pytest.raises(ConflictError) as refused:
        database.run(lambda session: UndoCRUD(session).undo(sale))

    assert refused.value.code == "not_undoable"


def test_an_unchanged_flush_leaves_no_change_set(database: Database, db: Session) -> None:
    lesson = make_lesson(db, price=50)
    db.rollback()

    with database.transaction() as session:
        session.get_one(Lesson, lesson.id).price = 50
        assert history.change_set_id(session) is None


def test_a_savepoint_does_not_split_the_change_set(database: Database, db: Session) -> None:
    first, second = make_lesson(db), make_lesson(db)

    with database.transaction() as session:
        session.get_one(Lesson, first.id).price = 1
        with session.begin_nested():
            session.get_one(Lesson, second.id).price = 2

    assert last_change_set(db, "lessons", first.id) == last_change_set(db, "lessons", second.id)


CHANGED = {"users": "first_name", "lessons": "title", "courses": "title", "promo_codes": "code"}


@pytest.mark.parametrize("table", ["users", "lessons", "courses", "promo_codes", "support_tickets"])
def test_undo_of_a_delete_restores_every_column_of_every_record(database: Database, db: Session, table: str) -> None:
    """I13: the row, its id, its version, its times and its children, for all that people can delete."""
    old = datetime(2026, 3, 1, 10, tzinfo=UTC)
    lesson = make_lesson(db, title="Ёлка", created_at=old, updated_at=old)
    rows: dict[str, tuple[type[BaseCRUD[Any]], Any]] = {
        "users": (StudentCRUD, make_user(db, email="A@example.org", last_seen_at=old, token_version=4)),
        "lessons": (LessonCRUD, make_lesson(db, title="Ёлка", is_free=True, video_path="x.mp4")),
        "courses": (CourseCRUD, make_course(db, [lesson, make_lesson(db)])),
        "promo_codes": (PromoCodeCRUD, make_promo(db, code="Весна", expires_at=old, max_uses=5)),
    }
    rows["support_tickets"] = (TicketCRUD, make_ticket(db, make_user(db), last_message_at=old))
    crud, row = rows[table]
    row_id, name = row.id, CHANGED.get(table, "subject")
    setattr(row, name, "Другое")  # the version moves on
    db.flush()
    before = everything(db)
    database.run(lambda session: crud(session).delete(row_id))
    assert row_id not in {found["id"] for found in everything(db)[table]}

    database.run(lambda session: UndoCRUD(session).undo(last_change_set(session, table, row_id)))

    assert everything(db) == before
    assert {found["version"] for found in before[table] if found["id"] == row_id} == {2}


def everything(db: Session) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables but the history's, as stored."""
    tables = [table for table in Base.metadata.sorted_tables if not table.name.startswith("change")]
    return {
        table.name: [dict(row) for row in db.execute(table.select().order_by(*table.primary_key)).mappings()]
        for table in tables
    }


def test_whoever_something_still_names_is_not_deleted(database: Database, db: Session) -> None:
    told, payer = make_user(db), make_user(db)
    DispatchCRUD(db).enqueue("x", chat_id=1, method="sendMessage", params={"text": "x"}, user_id=told.id)
    stray = Payment(provider="stars", provider_charge_id="x", amount=5, currency="XTR", status="unmatched")
    stray.payer_telegram_id = payer.telegram_id
    db.add(stray)
    db.flush()

    for user_id in (told.id, payer.id):
        with pytest.raises(ConflictError, match="close their access instead"):
            database.run(lambda session, user_id=user_id: StudentCRUD(session).delete(user_id))

    assert len(everything(db)["dispatches"]) == 1


def test_the_last_change_of_a_record_says_what_the_record_is(database: Database, db: Session) -> None:
    """I10, over records that were made, changed and restored in every way there is."""
    lessons = [make_lesson(db) for _ in range(3)]
    course = make_course(db, lessons)
    promo, ticket, student = make_promo(db), make_ticket(db, make_user(db)), make_user(db)
    ids = [lesson.id for lesson in lessons]
    database.run(lambda session: CourseCRUD(session).arrange(course.id, ids[::-1]))
    database.run(lambda session: LessonCRUD(session).set_active(ids[0], False))
    database.run(lambda session: PromoCodeCRUD(session).set_active(promo.id, False))
    database.run(lambda session: TicketCRUD(session).reply(ticket.id, "Да", None))
    database.run(lambda session: TicketCRUD(session).set_status(ticket.id, "closed"))
    database.run(lambda session: StudentCRUD(session).delete(student.id))
    database.run(lambda session: UndoCRUD(session).undo(last_change_set(session, "users", student.id)))
    database.run(lambda session: PurchaseCRUD(session).grant(student.id, course_id=course.id, reason="x"))

    compared = 0
    for mapper in Base.registry.mappers:
        model = mapper.class_
        if not model.__history__:
            continue
        for row in db.scalars(select(model), execution_options={"populate_existing": True}):
            said: dict[str, Any] = {}
            mine = Change.entity == model.__tablename__, Change.entity_id == row.id
            for change in db.scalars(select(Change).where(*mine).order_by(Change.id)):
                said = change.after if change.op == "create" else said | change.after
            is_now = history.snapshot(row)
            told = {name: value for name, value in said.items() if name in is_now and name not in history.NOISE}
            if said:  # rows of the template were made before the history was on
                assert told == {name: is_now[name] for name in told}, row
                compared += 1
    assert compared >= 12


def test_a_flush_tells_its_changes_in_one_statement_and_in_their_order(
    database: Database, db: Session, queries: list[str]
) -> None:
    lessons = [make_lesson(db) for _ in range(3)]
    queries.clear()

    with database.transaction() as session:
        for lesson in session.scalars(select(Lesson).order_by(Lesson.id)):
            lesson.price = 7
        session.add(Lesson(title="Четвёртый", price=1))

    assert len([statement for statement in queries if "INTO changes" in statement]) == 1
    told = db.scalars(select(Change).order_by(Change.id.desc()).limit(4)).all()
    assert [change.op for change in reversed(told)] == ["create", "update", "update", "update"]
    assert {change.entity_id for change in told} == {*(lesson.id for lesson in lessons), lessons[-1].id + 1}


def test_a_job_tells_in_one_change_set_what_it_does_in_many_transactions(database: Database, db: Session) -> None:
    first, second = make_lesson(db), make_lesson(db)
    with database.transaction() as session:
        history.describe(session, "activate")
        made = history.open_set(session)

    for lesson in (first, second):
        with database.transaction() as session:
            history.resume(session, made)
            session.get_one(Lesson, lesson.id).price = 3

    assert [last_change_set(db, "lessons", lesson.id) for lesson in (first, second)] == [made, made]
