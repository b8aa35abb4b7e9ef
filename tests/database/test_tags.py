"""Tags: put on and taken off many records, found by them, back with an undo."""

from collections.abc import Sequence

import pytest
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.context import Actor, Door
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.registry import TABLES
from backend.database.crud.tags import TagCRUD
from backend.database.crud.undo import UndoCRUD
from backend.database.crud.users import StudentCRUD, UserCRUD
from backend.database.models.history import Change, ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.models.tags import LessonTag, Tag, UserTag
from backend.database.schemas.lessons import LessonFilters
from backend.database.schemas.tags import TagName
from backend.database.schemas.users import StudentFilters
from backend.database.session import Database
from backend.database.verbs import Outcome, apply
from tests.factories import make_lesson, make_user


def bulk(database: Database, table: str, verb: str, ids: Sequence[int], tag: str) -> Outcome:
    with database.transaction(Actor(Door.WEB)) as session:
        crud = TABLES[table](session)
        return apply(crud, crud.verbs[verb], ids, TagName(tag=tag))


def undo_last(database: Database) -> None:
    with database.transaction(Actor(Door.WEB)) as session:
        last = session.scalars(select(ChangeSet.id).order_by(ChangeSet.id.desc()).limit(1)).one()
        UndoCRUD(session).undo(last)


def names(database: Database, table: str, *ids: int) -> list[list[str]]:
    with database.read() as session:
        found = TagCRUD(session).of(table, ids)
        return [list(found.get(row_id, ())) for row_id in ids]


def test_a_tag_is_put_on_many_and_told_on_each_page(db: Session, database: Database) -> None:
    first, second = make_user(db), make_user(db)

    once = bulk(database, "users", "tag", [first.id], "VIP")
    again = bulk(database, "users", "tag", [first.id, second.id, 999], " vip ")

    assert (once.done, once.same) == (1, 0)
    assert (again.done, again.same, [row_id for row_id, _why in again.errors]) == (1, 1, [999])
    assert list(db.scalars(select(Tag.name))) == ["VIP"]
    assert names(database, "users", first.id, second.id) == [["VIP"], ["VIP"]]
    told = select(Change.op, Change.root, Change.root_id).where(Change.entity == "user_tags").order_by(Change.id)
    assert [tuple(row) for row in db.execute(told)] == [("create", "users", first.id), ("create", "users", second.id)]


def test_lists_are_filtered_by_a_tag(db: Session, database: Database) -> None:
    tagged, other = make_lesson(db), make_lesson(db)
    student = make_user(db)
    bulk(database, "lessons", "tag", [tagged.id], "Свет")
    bulk(database, "users", "tag", [student.id], "Свет")
    with database.read() as session:
        offered = TagCRUD(session).options("СВ")
        ((tag_id, _name),) = offered
        found = LessonCRUD(session).get_all(LessonFilters(tag=tag_id)).items
        people = StudentCRUD(session).get_all(StudentFilters(tag=tag_id)).items
        none = LessonCRUD(session).get_all(LessonFilters(tag=tag_id + 1)).items
        assert (TagCRUD(session).options("", tag_id), TagCRUD(session).options("тень")) == ([(tag_id, "Свет")], [])
    assert ([row.id for row in found], [row.id for row in people], none) == ([tagged.id], [student.id], [])
    assert other.id not in [row.id for row in found]


def test_a_tag_is_taken_off_and_comes_back_with_an_undo(db: Session, database: Database) -> None:
    ids = [make_lesson(db).id for _n in range(3)]
    bulk(database, "lessons", "tag", ids[:2], "new")

    off = bulk(database, "lessons", "untag", ids, "NEW")
    unknown = bulk(database, "lessons", "untag", ids, "old")

    assert (off.done, off.same, unknown.done, unknown.same) == (2, 1, 0, 3)
    assert names(database, "lessons", *ids) == [[], [], []]
    undo_last(database)
    assert names(database, "lessons", *ids) == [["new"], ["new"], []]
    undo_last(database)
    assert list(db.scalars(select(LessonTag.id))) == []


def test_putting_a_tag_is_undone(db: Session, database: Database) -> None:
    lesson = make_lesson(db)
    bulk(database, "lessons", "tag", [lesson.id], "new")
    undo_last(database)
    assert names(database, "lessons", lesson.id) == [[]]


def test_a_record_that_goes_takes_its_tags_along_and_brings_them_back(db: Session, database: Database) -> None:
    lesson, student = make_lesson(db), make_user(db)
    bulk(database, "lessons", "tag", [lesson.id], "new")
    bulk(database, "users", "tag", [student.id], "new")

    with database.transaction(Actor(Door.WEB)) as session:
        LessonCRUD(session).delete(lesson.id)
    assert list(db.scalars(select(LessonTag.id))) == []
    undo_last(database)
    with database.transaction(Actor(Door.WEB)) as session:
        UserCRUD(session).delete(student.id)
    assert list(db.scalars(select(UserTag.id))) == []
    undo_last(database)

    assert names(database, "lessons", lesson.id) + names(database, "users", student.id) == [["new"], ["new"]]
    assert list(db.scalars(select(Lesson.id))) == [lesson.id]


@pytest.mark.parametrize("name", ["", "x" * 51, "a\nb"])
def test_a_tag_is_a_short_word(name: str) -> None:
    with pytest.raises(ValidationError):
        TagName(tag=name)
