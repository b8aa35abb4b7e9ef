"""What the palette finds: a few records of each kind for one text; reads across domains."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.permissions import STUDENT
from backend.database import search
from backend.database.listing import AnyRow, AnySelect
from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.promo_codes import PromoCode
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import Role, User

SHOWN = 5
READ = 50  # rows that are looked at for the best ones: an order over all matches would read them all


class SearchCRUD:
    """One query a kind, whatever matches."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def students(self, q: str) -> Sequence[AnyRow]:
        columns = select(User.id, User.first_name, User.last_name, User.username, User.telegram_id, User.search_key)
        role = select(Role.id).where(Role.name == STUDENT).scalar_subquery()
        return self._best(columns.where(User.role_id == role), User, q)

    def lessons(self, q: str) -> Sequence[AnyRow]:
        return self._best(select(Lesson.id, Lesson.title, Lesson.price, Lesson.is_free, Lesson.search_key), Lesson, q)

    def courses(self, q: str) -> Sequence[AnyRow]:
        columns = select(Course.id, Course.title, Course.total_price, Course.discount_price, Course.search_key)
        return self._best(columns, Course, q)

    def promo_codes(self, q: str) -> Sequence[AnyRow]:
        return self._best(select(PromoCode.id, PromoCode.code, PromoCode.search_key), PromoCode, q)

    def tickets(self, q: str) -> Sequence[AnyRow]:
        ticket = SupportTicket
        columns = select(ticket.id, ticket.subject, ticket.status, User.first_name, User.last_name, ticket.search_key)
        return self._best(columns.join(User, User.id == ticket.user_id), ticket, q)

    def _best(self, statement: AnySelect, model: type[Any], q: str) -> Sequence[AnyRow]:
        """Those that begin with the text first, then in the order of their names."""
        rows = self.session.execute(statement.where(search.matches(self.session, model, q)).limit(READ)).all()
        start = search.normalise(q)
        return sorted(rows, key=lambda row: (not row.search_key.startswith(start), row.search_key, row.id))[:SHOWN]
