"""What records are called, for pages that name records of every kind."""

from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.listing import AnySelect, within
from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.media import Media
from backend.database.models.promo_codes import PromoCode
from backend.database.models.tags import Tag
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import STUDENT_ROLE, Role, User
from backend.database.rows import ask_within

Record = tuple[str, int]
COLUMNS: Mapping[str, tuple[Any, ...]] = {
    "users": (User.id, User.first_name, User.last_name),
    "roles": (Role.id, Role.name),
    "lessons": (Lesson.id, Lesson.title),
    "courses": (Course.id, Course.title),
    "media": (Media.id, Media.filename),
    "promo_codes": (PromoCode.id, PromoCode.code),
    "support_tickets": (SupportTicket.id, SupportTicket.subject),
    "tags": (Tag.id, Tag.name),
}
# What a column of any table names.
NAMED = {
    "user_id": "users", "assignee_id": "users", "sender_id": "users", "uploader_id": "users", "role_id": "roles",
    "lesson_id": "lessons", "course_id": "courses", "media_id": "media", "promo_id": "promo_codes",
    "ticket_id": "support_tickets", "tag_id": "tags",
}  # fmt: skip


def named_in(changes: Iterable[Any]) -> set[Record]:
    """The records that the columns of these changes name."""
    images = (image for change in changes for image in (change.before, change.after))
    told = ((name, value) for image in images for name, value in image.items())
    return {(NAMED[name], value) for name, value in told if name in NAMED and isinstance(value, int)}


def names(session: Session, records: Iterable[Record]) -> dict[Record, str]:
    """Of those that still stand: a query for each kind that has names."""
    wanted: dict[str, set[int]] = {}
    for table, row_id in records:
        wanted.setdefault(table, set()).add(row_id)
    found: dict[Record, str] = {}
    for table in wanted.keys() & COLUMNS.keys():
        for row in ask_within(session, partial(_of, table), wanted[table]):
            found[table, row[0]] = " ".join(filter(None, row[1:]))
    return found


@cache
def _of(table: str, sqlite: bool) -> AnySelect:
    columns = COLUMNS[table]
    return select(*columns).where(within(columns[0], sqlite=sqlite))


def without_page(session: Session, records: Iterable[Record]) -> set[Record]:
    """The members of staff among them: only students have pages of their own."""
    people = {row_id for table, row_id in records if table == "users"}
    found = session.scalars(select(User.id).where(User.id.in_(people), User.role_id != STUDENT_ROLE)) if people else ()
    return {("users", row_id) for row_id in found}


def name_in(table: str, image: Mapping[str, Any]) -> str:
    """What a record is called in an image of it."""
    columns = COLUMNS.get(table, ())[1:]
    return " ".join(str(image[column.key]) for column in columns if image.get(column.key))
