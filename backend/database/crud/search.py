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
READ = 20  # the newest that fit, looked at for the best


class SearchCRUD:
    """One query a kind, whatever matches."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def students(self, q: str) -> Sequence[AnyRow]:
        columns = select(User.id, User.first_name, User.last_name, User.username, User.telegram_id)
        role = select(Role.id).where(Role.name == STUDENT).scalar_subquery()
        return self._best(columns.where(User.role_id == role), User, q)

    def lessons(self, q: str) -> Sequence[AnyRow]:
        return self._best(select(Lesson.id, Lesson.title, Lesson.price, Lesson.is_free), Lesson, q)

    def courses(self, q: str) -> Sequence[AnyRow]:
        columns = select(Course.id, Course.title, Course.total_price, Course.discount_price)
        return self._best(columns, Course, q)

    def promo_codes(self, q: str) -> Sequence[AnyRow]:
        return self._best(select(PromoCode.id, PromoCode.code), PromoCode, q)

    def tickets(self, q: str) -> Sequence[AnyRow]:
        ticket = SupportTicket
        columns = select(ticket.id, ticket.subject, ticket.status, User.first_name, User.last_name)
        return self._best(columns.join(User, User.id == ticket.user_id), ticket, q)

    def _best(self, statement: AnySelect, model: type[Any], q: str) -> Sequence[AnyRow]:
        """In the order of their fitness: their ids are found, then the rows read."""
        if not search.asks(q):
            return []
        ranking = search.Ranking(search.SearchIndex(self.session, model, q), statement, READ)
        ids = [row_id for _level, row_id in ranking.behind(None, SHOWN)]
        rows = {row.id: row for row in self.session.execute(statement.where(model.id.in_(ids)))} if ids else {}
        return [rows[row_id] for row_id in ids]
