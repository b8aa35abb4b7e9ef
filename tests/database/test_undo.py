"""Undo of sets of any size: nobody is overwritten, each clash is told by its field, slices make one whole."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.errors import ConflictError
from backend.database import history
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.history import HistoryCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.undo import Outcome, UndoConflictError, UndoCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.models.courses import Course, CourseLesson
from backend.database.models.history import ChangeSet, ChangeSetPart
from backend.database.models.lessons import Lesson
from backend.database.models.promo_codes import PromoCode
from backend.database.models.users import User
from backend.database.schemas.courses import CourseCreate
from backend.database.session import Database
from tests.factories import make_course, make_lesson, make_promo, make_purchase, make_ticket, make_user


def latest(db: Session) -> int:
    return db.scalars(select(ChangeSet.id).order_by(ChangeSet.id.desc())).first() or 0


def undo(database: Database, change_set_id: int, *, rest: bool = False) -> Outcome:
    return database.run(lambda session: UndoCRUD(session).undo(change_set_id, rest=rest))


def edit(database: Database, model: type[Any], values: dict[int, dict[str, Any]]) -> None:
    with database.transaction() as session:
        for row_id, columns in values.items():
            for name, value in columns.items():
                setattr(session.get_one(model, row_id), name, value)


def read(db: Session, *columns: Any) -> list[Any]:
    db.expire_all()
    rows = db.execute(select(*columns).order_by(columns[0])).all()
    return [row[0] if len(row) == 1 else tuple(row) for row in rows]


def test_what_others_changed_since_is_told_and_the_rest_comes_back_when_asked_for(
    database: Database, db: Session
) -> None:
    first, second = make_lesson(db, title="A", price=10), make_lesson(db, title="B", price=20)
    edit(database, Lesson, {first.id: {"title": "A2", "price": 11}, second.id: {"price": 21}})
    both = latest(db)
    edit(database, Lesson, {first.id: {"price": 99}})

    with pytest.raises(UndoConflictError) as refused:
        undo(database, both)

    (clash,) = refused.value.clashes
    assert (clash.root, clash.root_id, clash.name, clash.now, clash.then) == ("lessons", first.id, "price", 99, 10)
    assert read(db, Lesson.id, Lesson.title, Lesson.price) == [(first.id, "A2", 99), (second.id, "B", 21)]

    outcome = undo(database, both, rest=True)

    assert (outcome.done, outcome.clashes) == (2, [clash])
    assert read(db, Lesson.id, Lesson.title, Lesson.price) == [(first.id, "A", 99), (second.id, "B", 20)]


def test_nothing_to_give_back_is_a_refusal_even_when_the_rest_is_asked_for(database: Database, db: Session) -> None:
    lesson = make_lesson(db, price=10)
    edit(database, Lesson, {lesson.id: {"price": 11}})
    made = latest(db)
    edit(database, Lesson, {lesson.id: {"price": 12}})

    with pytest.raises(UndoConflictError):
        undo(database, made, rest=True)

    assert HistoryCRUD(db).of_record("lessons", lesson.id)[1].undone is False


def test_what_stands_as_it_was_already_is_no_clash(database: Database, db: Session) -> None:
    lesson = make_lesson(db, price=10)
    edit(database, Lesson, {lesson.id: {"price": 11}})
    made = latest(db)
    edit(database, Lesson, {lesson.id: {"price": 10}})

    assert undo(database, made) == Outcome()


def test_undone_and_redone_in_turn(database: Database, db: Session) -> None:
    lesson = make_lesson(db, price=10)
    edit(database, Lesson, {lesson.id: {"price": 11}})
    told = []
    for _ in range(3):
        undo(database, latest(db))
        entries = HistoryCRUD(db).of_record("lessons", lesson.id)
        told.append((read(db, Lesson.price), entries[0].change_set.label, [entry.undone for entry in entries[::-1]]))

    # Of: made, changed, and the undos, the oldest first.
    assert told == [
        ([10], "undo", [False, True, False]),
        ([11], "redo", [False, False, True, False]),
        ([10], "undo", [False, True, False, True, False]),
    ]


def test_slices_of_a_job_make_one_whole_that_can_be_redone(database: Database, db: Session) -> None:
    lessons = [make_lesson(db, title=f"Урок {n}", price=n) for n in range(25)]
    edit(database, Lesson, {lesson.id: {"title": "Имя", "is_active": False} for lesson in lessons})
    before = [(lesson.title, True) for lesson in lessons]
    made = latest(db)

    own = database.run(lambda session: UndoCRUD(session).start(made))
    below, sizes = None, []
    while not sizes or below is not None:

        def one(session: Session, below: int | None = below) -> Outcome:
            history.resume(session, own)
            return UndoCRUD(session).slice(made, below, 10)

        outcome = database.run(one)
        below = outcome.below
        sizes.append(outcome.done)

    assert (sizes, read(db, Lesson.title, Lesson.is_active)) == ([10, 10, 5], sorted(before))
    assert "урок 3" in db.scalars(select(Lesson.search_key).where(Lesson.id == lessons[3].id)).one()
    parts = select(ChangeSetPart.root, ChangeSetPart.entity, ChangeSetPart.lead)
    assert [tuple(row) for row in db.execute(parts.where(ChangeSetPart.change_set_id == own))] == [
        ("lessons", "lessons", True)
    ]
    undo(database, own)
    assert set(read(db, Lesson.title, Lesson.is_active)) == {("Имя", False)}


def test_a_record_that_was_made_goes_with_its_children_or_not_at_all(database: Database, db: Session) -> None:
    lessons = [make_lesson(db).id for _ in range(3)]
    data = CourseCreate(title="Курс", total_price=5, lesson_ids=lessons[:2])
    courses = [database.run(lambda session: CourseCRUD(session).create(data)).id for _ in range(2)]
    last = latest(db)
    edit(database, Course, {courses[1]: {"title": "Другой"}})

    assert undo(database, last - 1 if latest(db) > last else last).done == 3
    with pytest.raises(UndoConflictError) as refused:
        undo(database, last)

    assert {clash.root_id for clash in refused.value.clashes} == {courses[1]}
    assert read(db, CourseLesson.course_id, CourseLesson.lesson_id) == [(courses[1], lesson) for lesson in lessons[:2]]


def test_what_somebody_uses_by_now_stays(database: Database, db: Session) -> None:
    lesson = make_lesson(db)
    made = latest(db)
    make_purchase(db, make_user(db), lesson)

    with pytest.raises(UndoConflictError, match="still needs this record"):
        undo(database, made)

    student = make_user(db)
    made = latest(db)
    make_ticket(db, student)
    with pytest.raises(UndoConflictError, match="still needs this record"):
        undo(database, made)
    assert set(read(db, User.id)) >= {student.id}


def test_a_place_that_was_taken_meanwhile_is_told(database: Database, db: Session) -> None:
    first, second = make_promo(db, code="ONE"), make_promo(db, code="TWO")

    def both(session: Session) -> None:
        PromoCodeCRUD(session).delete(first.id)
        PromoCodeCRUD(session).delete(second.id)

    database.run(both)
    gone = latest(db)
    make_promo(db, code="one")

    with pytest.raises(UndoConflictError, match="position is taken"):
        undo(database, gone)
    assert undo(database, gone, rest=True).done == 1
    assert read(db, PromoCode.code) == ["TWO", "one"]


def test_an_order_comes_back_whole_or_not_at_all(database: Database, db: Session) -> None:
    lessons = [make_lesson(db) for _ in range(4)]
    course = make_course(db, lessons)
    ids = [lesson.id for lesson in lessons]
    database.run(lambda session: CourseCRUD(session).arrange(course.id, ids[::-1]))
    turned = latest(db)
    database.run(lambda session: CourseCRUD(session).move(course.id, ids[0], -1))

    with pytest.raises(UndoConflictError) as refused:
        undo(database, turned)

    assert {clash.name for clash in refused.value.clashes} == {"position"}
    places = select(CourseLesson.lesson_id).order_by(CourseLesson.position)
    assert db.scalars(places).all() == [ids[3], ids[2], ids[0], ids[1]]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_an_order_is_never_cut_by_a_slice(database: Database, db: Session, limit: int) -> None:
    lessons = [make_lesson(db) for _ in range(4)]
    course = make_course(db, lessons)
    ids = [lesson.id for lesson in lessons]
    database.run(lambda session: CourseCRUD(session).arrange(course.id, ids[::-1]))
    turned = latest(db)

    def whole(session: Session) -> None:
        UndoCRUD(session).start(turned)
        outcome = UndoCRUD(session).slice(turned, None, limit)
        while outcome.below is not None:
            outcome = UndoCRUD(session).slice(turned, outcome.below, limit)
            assert outcome.clashes == []

    database.run(whole)
    assert db.scalars(select(CourseLesson.lesson_id).order_by(CourseLesson.position)).all() == ids


def test_money_says_why_it_stays(database: Database, db: Session) -> None:
    make_purchase(db, make_user(db), make_lesson(db))
    with pytest.raises(ConflictError, match="Refund it on the purchase page"):
        undo(database, latest(db))


def test_a_savepoint_that_fails_first_does_not_take_the_change_set_along(database: Database, db: Session) -> None:
    taken, lesson = make_promo(db, code="TAKEN"), make_lesson(db)

    def add(session: Session) -> None:
        with session.begin_nested():
            PromoCodeCRUD(session).add(PromoCode(code="OTHER"))
            PromoCodeCRUD(session).add(PromoCode(code=taken.code))

    with database.transaction() as session:
        with pytest.raises(ConflictError):
            add(session)
        LessonCRUD(session).set_active(lesson.id, False)

    entry = HistoryCRUD(db).of_record("lessons", lesson.id)[0]
    assert [change.after for change in entry.changes] == [{"is_active": False}]
    parts = select(ChangeSetPart.root).where(ChangeSetPart.change_set_id == entry.change_set.id)
    assert db.scalars(parts).all() == ["lessons"]


def test_a_thousand_rows_cost_a_few_statements(database: Database, db: Session, queries: list[str]) -> None:
    users = [make_user(db) for _ in range(30)]
    edit(database, User, {user.id: {"is_active": False} for user in users})
    made = latest(db)
    queries.clear()

    undo(database, made)

    # The set, is it undone, its parts, does a job write it; its own set; the origin, the changes; who is erased, by the
    # rows and by the history; the rows, savepoint, update, release; what it has changed, its parts.
    written = [statement.split()[0] for statement in queries]
    assert (len(written) <= 15, written.count("UPDATE")) == (True, 1)
    assert set(read(db, User.is_active)) == {True}


def test_a_student_with_money_that_fits_no_order_stays(database: Database, db: Session) -> None:
    student = make_user(db)
    made = latest(db)
    assert undo(database, made).done == 1
    assert StudentCRUD(db).find_by_telegram_id(student.telegram_id or 0) is None


def test_undone_again_is_undone_whole_also_what_stood_so_already(database: Database, db: Session) -> None:
    first, second = make_lesson(db), make_lesson(db)
    edit(database, Lesson, {first.id: {"is_active": False}, second.id: {"is_active": False}})
    both = latest(db)
    edit(database, Lesson, {first.id: {"is_active": True}})
    shown = latest(db)

    assert undo(database, both).done == 1  # the first stands so already
    undo(database, latest(db))
    undo(database, shown)
    assert read(db, Lesson.id, Lesson.is_active) == [(first.id, False), (second.id, False)]
    again = db.scalars(select(ChangeSet.id).where(ChangeSet.label == "redo")).one()

    assert undo(database, again).done == 2
    assert read(db, Lesson.id, Lesson.is_active) == [(first.id, True), (second.id, True)]
