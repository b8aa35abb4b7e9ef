"""What a person owns, and the only way in which a purchase comes into being.

How much that is, and the Stars paid for it, stands in `users.purchases` and `users.spent`, so that lists sort and
filter by them. They follow from the purchases: no edit of the person, so version and history stay as they are.
"""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Subquery, case, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.core.errors import ConflictError, NotFoundError
from backend.core.i18n import _
from backend.database import history
from backend.database.crud.base import BaseCRUD
from backend.database.models.courses import Course, CourseLesson
from backend.database.models.lessons import Lesson
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.rows import among, table_of

LIVE = Purchase.status == "completed", Purchase.revoked_at.is_(None)


def insert_new(session: Session, model: type[Any], values: Mapping[str, Any]) -> Any | None:
    """Inserts a row unless a unique constraint has it already (None); recorded in the history.

    Of several transactions that try the same, PostgreSQL lets the later ones wait for the first.
    """
    session.flush()
    dialect: Any = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(model).values(**values).on_conflict_do_nothing().returning(model.id)
    row_id = session.execute(statement).scalar_one_or_none()
    if row_id is None:
        return None
    row = session.get(model, row_id)
    assert row is not None
    history.record(session, row, "create", {}, history.snapshot(row))
    return row


def already_owned() -> ConflictError:
    return ConflictError(_("You already own this: open it in “My lessons”."), code="already_owned")


class EntitlementCRUD(BaseCRUD[Purchase]):
    model = Purchase

    def buyer(self, user_id: int) -> User:
        """The person, locked: what changes what they own happens one after another.

        Raises NotFoundError.
        """
        # NO KEY UPDATE: rows that refer to the person may be inserted meanwhile.
        statement = select(User).where(User.id == user_id).with_for_update(key_share=True)
        found = self.session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
        if found is None:
            raise NotFoundError(_("Person %s no longer exists.") % user_id)
        return found

    def person(self, user_id: int) -> User:
        """Raises NotFoundError."""
        found = self.session.get(User, user_id)
        if found is None:
            raise NotFoundError(_("Person %s no longer exists.") % user_id)
        return found

    def sellable(self, lesson_id: int | None, course_id: int | None) -> Lesson | Course:
        """Raises NotFoundError."""
        if lesson_id is not None:
            lesson = self.session.get(Lesson, lesson_id)
            if lesson is None:
                raise NotFoundError(_("Lesson %s no longer exists.") % lesson_id)
            return lesson
        course = self.session.get(Course, course_id)
        if course is None:
            raise NotFoundError(_("Course %s no longer exists.") % course_id)
        return course

    def owns(self, user_id: int, thing: Lesson | Course) -> bool:
        """A lesson is owned by itself or through a course that holds it."""
        statement = select(Purchase.id).where(Purchase.user_id == user_id, *LIVE, _covers(thing)).limit(1)
        return self.session.execute(statement).first() is not None

    def give(self, user_id: int, thing: Lesson | Course, **values: Any) -> Purchase:
        """A live entitlement; `values`: its other columns. Raises ConflictError `already_owned`."""
        what = {"lesson_id": thing.id} if isinstance(thing, Lesson) else {"course_id": thing.id}
        row = insert_new(self.session, Purchase, {"user_id": user_id, "status": "completed", **what, **values})
        if row is None:
            raise already_owned()
        made: Purchase = row
        self.count(made, 1)
        return made

    # -- how much

    def count(self, purchase: Purchase, by: int) -> None:
        """A purchase has become live (`by` 1) or is so no longer (-1)."""
        stars = 0 if purchase.is_test else purchase.amount
        self._put(User.id == purchase.user_id, User.purchases + by, User.spent + by * stars)

    def recount(self, user_ids: Collection[int]) -> None:
        """After purchases were written in bulk, or taken out."""
        sums = held()
        mine = sums.c.user_id == User.id
        number, stars = (
            func.coalesce(select(column).where(mine).scalar_subquery(), 0)
            for column in (sums.c.purchases, sums.c.spent)
        )
        self._put(among(self.session, table_of(User).c.id, user_ids), number, stars)

    def _put(self, which: ColumnElement[bool], purchases: Any, spent: Any) -> None:
        values = {"purchases": purchases, "spent": spent, "updated_at": User.updated_at}
        statement = update(User).where(which).values(values)
        self.session.execute(statement, execution_options={"synchronize_session": False})


def held() -> Subquery:
    """user_id, purchases, spent (Stars; test sales are none) of all who hold something."""
    stars = func.sum(case((Purchase.is_test, 0), else_=Purchase.amount))
    statement = select(Purchase.user_id, func.count().label("purchases"), stars.label("spent"))
    return statement.where(*LIVE).group_by(Purchase.user_id).subquery()


def _covers(thing: Lesson | Course) -> ColumnElement[bool]:
    if isinstance(thing, Course):
        return Purchase.course_id == thing.id
    courses = select(CourseLesson.course_id).where(CourseLesson.lesson_id == thing.id)
    return or_(Purchase.lesson_id == thing.id, Purchase.course_id.in_(courses))
