"""Whatever people do in whatever order, undoing all of it from the end puts everything back as it was."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.errors import AppError
from backend.core.permissions import SUPPORT
from backend.database import history
from backend.database.base import Base
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.tickets import TicketCRUD
from backend.database.crud.undo import UndoCRUD
from backend.database.crud.users import StudentCRUD, UserCRUD
from backend.database.models.courses import Course
from backend.database.models.history import ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.models.promo_codes import PromoCode
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import User
from backend.database.schemas.courses import CourseCreate, CourseUpdate
from backend.database.schemas.lessons import LessonCreate, LessonUpdate
from backend.database.schemas.promo_codes import PromoCodeCreate, PromoCodeUpdate
from backend.database.schemas.tickets import StaffTicketForm
from backend.database.schemas.users import UserCreate, UserUpdate
from backend.database.session import Database
from backend.database.verbs import apply
from tests.factories import make_course, make_lesson, make_promo, make_ticket, make_user

ACTIONS = 200
UNDOS = 0.15  # of the actions take an earlier one back, or forward again
WORDS = ("Свет", "Тень", "Ёлка", "кадр", "Shadow", "луч")


class Actor:
    """Does one random thing of a domain in one transaction."""

    def __init__(self, session: Session, dice: random.Random) -> None:
        self.session, self.dice = session, dice

    def one(self, model: type[Any]) -> int:
        ids = self.session.scalars(select(model.id).order_by(model.id)).all()
        return self.dice.choice(ids) if ids else 0

    def some(self, model: type[Any], most: int = 5) -> list[int]:
        ids = list(self.session.scalars(select(model.id).order_by(model.id)))
        return self.dice.sample(ids, min(len(ids), self.dice.randint(0, most)))

    def text(self) -> str:
        return " ".join(self.dice.choices(WORDS, k=3)) + f" {self.dice.randint(1, 99)}"

    def bulk(self, crud: Any, model: type[Any]) -> None:
        verb = self.dice.choice([verb for verb in crud.verbs.values() if verb.arguments is None])
        apply(crud, verb, self.some(model))

    def lessons(self) -> None:
        crud, dice = LessonCRUD(self.session), self.dice
        fields = {"title": self.text(), "price": dice.randint(1, 9), "text_content": self.text()}
        acts: list[Callable[[], object]] = [
            lambda: crud.create(LessonCreate(**fields)),
            lambda: crud.update(self.one(Lesson), LessonUpdate(price=dice.randint(1, 9))),
            lambda: crud.update(self.one(Lesson), LessonUpdate(**fields)),
            lambda: crud.set_active(self.one(Lesson), dice.random() < 0.5),
            lambda: crud.delete(self.one(Lesson)),
            lambda: self.bulk(crud, Lesson),
        ]
        dice.choice(acts)()

    def courses(self) -> None:
        crud, dice = CourseCRUD(self.session), self.dice
        course, lessons = self.one(Course), self.some(Lesson)
        made = {"title": self.text(), "total_price": dice.randint(5, 9), "lesson_ids": lessons}
        acts: list[Callable[[], object]] = [
            lambda: crud.create(CourseCreate(**made)),
            lambda: crud.update(course, CourseUpdate(**made)),
            lambda: crud.update(course, CourseUpdate(title=self.text(), discount_price=dice.choice([None, 1, 2]))),
            lambda: crud.arrange(course, lessons),
            lambda: crud.move(course, self.one(Lesson), dice.randint(-3, 3)),
            lambda: crud.place(course, self.one(Lesson), dice.randint(1, 5)),
            lambda: crud.add_lesson(course, self.one(Lesson)),
            lambda: crud.remove_lesson(course, self.one(Lesson)),
            lambda: crud.delete(course),
            lambda: self.bulk(crud, Course),
        ]
        dice.choice(acts)()

    def promo_codes(self) -> None:
        crud, dice = PromoCodeCRUD(self.session), self.dice
        fields = {"code": f"{dice.choice(WORDS)}{dice.randint(1, 9)}", "discount_percent": dice.randint(1, 99)}
        acts: list[Callable[[], object]] = [
            lambda: crud.create(PromoCodeCreate(**fields)),
            lambda: crud.update(self.one(PromoCode), PromoCodeUpdate(**fields)),
            lambda: crud.update(self.one(PromoCode), PromoCodeUpdate(max_uses=dice.choice([None, 3]))),
            lambda: crud.delete(self.one(PromoCode)),
            lambda: self.bulk(crud, PromoCode),
        ]
        dice.choice(acts)()

    def students(self) -> None:
        crud, dice = StudentCRUD(self.session), self.dice
        values = {"telegram_id": dice.randint(1, 40), "first_name": self.text(), "username": dice.choice([None, "x1"])}
        acts: list[Callable[[], object]] = [
            lambda: crud.register(UserCreate(**values)),
            lambda: crud.update(
                self.one(User), UserUpdate(first_name=self.text(), ui_language=dice.choice(["ru", None]))
            ),
            lambda: crud.set_active(self.one(User), dice.random() < 0.5),
            lambda: crud.delete(self.one(User)),
            lambda: self.bulk(crud, User),
        ]
        dice.choice(acts)()

    def tickets(self) -> None:
        crud, dice = TicketCRUD(self.session), self.dice
        acts: list[Callable[[], object]] = [
            lambda: crud.set_status(self.one(SupportTicket), dice.choice(["open", "in_progress", "closed"])),
            lambda: crud.hand_to(self.one(SupportTicket), dice.choice([None, *(p.id for p in crud.staff())])),
            lambda: crud.delete(self.one(SupportTicket)),
        ]
        dice.choice(acts)()


def arrange(db: Session, database: Database) -> None:
    lessons = [make_lesson(db, title=f"Урок {n}") for n in range(6)]
    for n in range(3):
        make_course(db, lessons[n : n + 3])
    for n in range(4):
        make_promo(db, code=f"CODE{n}")
    students = [make_user(db, telegram_id=n) for n in range(1, 9)]
    for student in students[:4]:
        ticket = make_ticket(db, student)
        database.run(lambda session, ticket=ticket: TicketCRUD(session).reply(ticket.id, "Да", None))  # type: ignore[misc] # bound now
    form = {"user_id": students[4].id, "subject": "Курс", "text": "Готово"}
    with database.transaction() as session:
        TicketCRUD(session).open_for(StaffTicketForm(**form), None)
        UserCRUD(session).create_staff(login="helper", password_hash=None, role=SUPPORT)


def everything(db: Session) -> dict[str, list[dict[str, Any]]]:
    """All rows but the history's, without what only says that a row was touched."""
    tables = [table for table in Base.metadata.sorted_tables if not table.name.startswith("change")]
    # Sign-ins that ended do not come back.
    noise = {"updated_at", "version", "last_seen_at", "seen_at", "token_version"}
    return {
        table.name: [
            {name: value for name, value in row.items() if name not in noise}
            for row in db.execute(table.select().order_by(*table.primary_key)).mappings()
        ]
        for table in tables
    }


def last_of_chain(session: Session, change_set_id: int) -> tuple[int, bool]:
    """(the last undo or redo behind a set, whether the set stands)."""
    stands = True
    while (found := session.scalar(select(ChangeSet.id).where(ChangeSet.undoes_id == change_set_id))) is not None:
        change_set_id, stands = found, not stands
    return change_set_id, stands


def act(database: Database, domain: str, dice: random.Random, made: list[int]) -> int | None:
    """One action, or the undo of an earlier one; the number of what it changed."""

    def work(session: Session) -> int | None:
        if made and dice.random() < UNDOS:
            UndoCRUD(session).undo(last_of_chain(session, dice.choice(made))[0])
        else:
            getattr(Actor(session, dice), domain)()
        return history.change_set_id(session)

    try:
        return database.run(work)
    except AppError:
        return None  # a rule of the domain refuses; nothing has changed


@pytest.mark.parametrize("game", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("domain", ["students", "lessons", "courses", "promo_codes", "tickets"])
def test_undoing_all_from_the_end_puts_everything_back(database: Database, db: Session, domain: str, game: int) -> None:
    arrange(db, database)
    before, dice, made = everything(db), random.Random(f"{domain}{game}"), list[int]()
    for _ in range(ACTIONS):
        found = act(database, domain, dice, made)
        if found is not None:
            made.append(found)
    assert len(made) > ACTIONS / (10 if domain == "tickets" else 3)
    assert everything(db) != before or domain == "tickets"

    for number in reversed(made):

        def undo(session: Session, number: int = number) -> None:
            last, stands = last_of_chain(session, number)
            if stands:
                UndoCRUD(session).undo(last)

        database.run(undo)

    assert everything(db) == before
