"""What the palette finds: a few records of each kind for one text, a number or their ids; reads across domains."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database import listing, search
from backend.database.crud.sales import PaymentListCRUD, SaleCRUD
from backend.database.listing import AnyRow, AnySelect
from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Payment
from backend.database.models.promo_codes import PromoCode
from backend.database.models.purchases import Purchase
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import STUDENT_ROLE, User
from backend.database.schemas.base import MAX_ID
from backend.database.session import ask

SHOWN = 5
READ = 20  # the newest that fit, looked at for the best

STUDENTS = select(User.id, User.first_name, User.last_name, User.username, User.telegram_id).where(
    User.role_id == STUDENT_ROLE
)
TICKETS = select(SupportTicket.id, SupportTicket.subject, SupportTicket.status, User.first_name, User.last_name).join(
    User, User.id == SupportTicket.user_id
)
# Kind -> what is searched and what is shown of it; what has no text of its own is found by its number.
KINDS: dict[str, tuple[type[Any], AnySelect]] = {
    "students": (User, STUDENTS),
    "tickets": (SupportTicket, TICKETS),
    "lessons": (Lesson, select(Lesson.id, Lesson.title, Lesson.price, Lesson.is_free)),
    "courses": (Course, select(Course.id, Course.title, Course.total_price, Course.discount_price)),
    "promo_codes": (PromoCode, select(PromoCode.id, PromoCode.code)),
    "purchases": (Purchase, SaleCRUD.list_statement()),
    "payments": (Payment, PaymentListCRUD.list_statement()),
}


class SearchCRUD:
    """A handful of queries a kind, whatever matches."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def find(self, kind: str, q: str) -> Sequence[AnyRow]:
        """Those that fit best."""
        model, statement = KINDS[kind]
        if not issubclass(model, search.Searchable) or not search.asks(q):
            return []
        ranking = search.Ranking(search.SearchIndex(self.session, model, q), statement, READ)
        ids = [row_id for _level, row_id in ranking.behind(None, SHOWN)]
        found = self.among(kind, ids)
        return [found[row_id] for row_id in ids]

    def among(self, kind: str, ids: Iterable[int]) -> dict[int, AnyRow]:
        """The records with these ids, as far as they are there."""
        model, statement = KINDS[kind]
        wanted = [row_id for row_id in ids if 1 <= row_id <= MAX_ID]
        if not wanted:
            return {}
        sqlite = self.session.get_bind().dialect.name == "sqlite"
        asked, values = listing.named(statement, model, wanted, sqlite=sqlite)
        return {row.id: row for row in ask(self.session, asked, **values)}
