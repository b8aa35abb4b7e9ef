"""Everything about one student on one page; reads across domains."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, bindparam, func, select

from backend.database.crud.base import BaseCRUD
from backend.database.crud.entitlements import LIVE
from backend.database.listing import AnyRow
from backend.database.models.courses import Course, CourseLesson
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, Payment, Refund
from backend.database.models.purchases import Purchase
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import User
from backend.database.session import ask

SHOWN, OFFERED = 20, 500
PURCHASES = (
    select(
        Purchase.id,
        Purchase.amount,
        Purchase.status,
        Purchase.is_test,
        Purchase.revoked_at,
        Purchase.payment_id,
        Purchase.created_at,
        Purchase.lesson_id,
        Purchase.course_id,
        func.coalesce(Lesson.title, Course.title).label("title"),
    )
    .outerjoin(Lesson, Lesson.id == Purchase.lesson_id)
    .outerjoin(Course, Course.id == Purchase.course_id)
    .where(Purchase.user_id == bindparam("user"))
    .order_by(Purchase.created_at.desc(), Purchase.id.desc())
    .limit(SHOWN)
)


class StudentPageCRUD(BaseCRUD[User]):
    model = User

    def purchases(self, user_id: int) -> Sequence[AnyRow]:
        """The latest purchases with what was bought."""
        return ask(self.session, PURCHASES, user=user_id).all()

    def givable(self, user_id: int) -> dict[str, Sequence[AnyRow]]:
        """(id, title, is_active) of the lessons and courses that the student cannot open yet, by title.

        At most 500 of each.
        """
        live = Purchase.user_id == user_id, *LIVE
        courses = select(Purchase.course_id).where(*live, Purchase.course_id.is_not(None))
        lessons = select(Purchase.lesson_id).where(*live, Purchase.lesson_id.is_not(None))
        inside = select(CourseLesson.lesson_id).where(CourseLesson.course_id.in_(courses))
        open_to_all = Lesson.is_free & Lesson.is_active
        return {
            "lesson": self._titles(Lesson, Lesson.id.not_in(lessons), Lesson.id.not_in(inside), ~open_to_all),
            "course": self._titles(Course, Course.id.not_in(courses)),
        }

    def _titles(self, model: type[Lesson | Course], *conditions: ColumnElement[bool]) -> Sequence[AnyRow]:
        statement = select(model.id, model.title, model.is_active).where(*conditions)
        return self.session.execute(statement.order_by(model.search_key, model.id).limit(OFFERED)).all()

    def tickets(self, user_id: int) -> Sequence[SupportTicket]:
        statement = (
            select(SupportTicket)
            .where(SupportTicket.user_id == user_id)
            .order_by(SupportTicket.created_at.desc(), SupportTicket.id.desc())
            .limit(SHOWN)
        )
        return self.session.scalars(statement).all()

    def refunds(self, user_id: int) -> int:
        """How many of the student's payments went back."""
        statement = (
            select(func.count(Refund.id))
            .join(Payment, Payment.id == Refund.payment_id)
            .join(Order, Order.id == Payment.order_id)
            .where(Order.user_id == user_id)
        )
        return self.session.scalar(statement) or 0
