"""What the history and the security events tell of a person, whether or not the record still stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from backend.database.crud.names import name_in
from backend.database.models.audit import SecurityEvent
from backend.database.models.dispatches import Dispatch
from backend.database.models.doors import Registration
from backend.database.models.history import Change, ChangeSet
from backend.database.models.tickets import Chat
from backend.database.models.users import User
from backend.database.personal.places import BOOKS, MARK, PLACES, Whose

# Records that may have been deleted since, by the column that names the person.
DELETED = {
    "support_tickets": "user_id", "saved_views": "owner_id", "api_tokens": "user_id", "orders": "user_id",
    "purchases": "user_id",
}  # fmt: skip
ERASE = "erase"  # what the history calls it
NAMES = "username", "login", "email"
CALLED = (*NAMES, "telegram_id")
Records = dict[str, set[int]]


@dataclass(frozen=True)
class Gone:
    """A person who was deleted: the history still holds the whole row, so that it can come back."""

    id: int
    name: str
    role_id: int
    deleted_at: datetime
    erased_at: datetime | None = None


def gone(session: Session, user_id: int) -> Gone | None:
    """None for a person who stands, and for a number that nobody had."""
    if session.scalar(select(exists().where(User.id == user_id))):
        return None
    mine = Change.root == User.__tablename__, Change.root_id == user_id, Change.entity == User.__tablename__
    told = select(Change.before, ChangeSet.at).join(ChangeSet, ChangeSet.id == Change.change_set_id).where(*mine)
    last = session.execute(told.where(Change.op == "delete").order_by(Change.id.desc()).limit(1)).one_or_none()
    if last is None:
        return None
    erased = session.scalar(select(func.max(ChangeSet.at)).join(Change).where(*mine, ChangeSet.label == ERASE))
    image: Mapping[str, Any] = last.before
    return Gone(user_id, name_in(User.__tablename__, image), int(image["role_id"]), last.at, erased)


def whose(session: Session, user_id: int) -> Whose:
    """Also by what the history says that they were called before, but for what is another person's by now."""
    mine = Change.root == User.__tablename__, Change.root_id == user_id, Change.entity == User.__tablename__
    images = [image for row in session.execute(select(Change.before, Change.after).where(*mine)) for image in row]
    user = session.get(User, user_id)
    images.append({name: getattr(user, name) for name in CALLED} if user else {})
    found = {name: {image[name] for image in images if image.get(name) not in (None, "", MARK)} for name in CALLED}
    numbers = found.pop("telegram_id")
    texts = {name.strip("@") for some in found.values() for name in some}
    keys = {text.casefold() for text in texts}
    called = func.lower(User.username), User.login_key, User.email_key
    others = select(User.telegram_id, *called).where(
        User.id != user_id, or_(User.telegram_id.in_(numbers), *(column.in_(keys) for column in called))
    )
    taken = {value for row in session.execute(others) for value in row}
    emails = _spelled(session, {email for email in found["email"] if email.casefold() not in taken})
    names = {text for text in texts if text.casefold() not in taken}
    return Whose(user_id, tuple(sorted(numbers - taken)), tuple(sorted(names)), tuple(sorted(emails)))


def _spelled(session: Session, emails: set[str]) -> set[str]:
    """Also as they are written where nobody is linked: of what is not ASCII no database finds another case."""
    keys = {email.casefold() for email in emails if not email.isascii()}
    asked = [select(column).distinct() for column in (Dispatch.address, Registration.email)] if keys else []
    written = (address for one in asked for address in session.scalars(one) if address is not None)
    return emails | {address for address in written if address.casefold() in keys}


def changes_of(session: Session, who: Whose) -> ColumnElement[bool]:
    """Every change of a record of theirs, or of what stands on its page."""
    found = [(table, ids) for table, ids in records_of(session, who).items() if ids]
    return or_(
        *(and_(Change.root == table, Change.root_id.in_(ids)) for table, ids in found),
        *(and_(Change.entity == table, Change.entity_id.in_(ids)) for table, ids in found),
    )


def records_of(session: Session, who: Whose) -> Records:
    """The numbers of their records by table, those that are deleted by now included."""
    found: Records = {
        place.table: set(session.scalars(select(place.model.id).where(place.mine(who))))
        for place in (*PLACES, *BOOKS)
        if place.model.__history__
    }
    for entity, column in DELETED.items():
        gone = Change.entity == entity, Change.op == "delete", Change.before[column].as_integer() == who.user_id
        found[entity].update(session.scalars(select(Change.entity_id).where(*gone)))
    tickets = found["support_tickets"]
    standing = session.scalars(select(Chat.id).where(Chat.ticket_id.in_(tickets)))
    told = Change.entity == "chats", Change.root == "support_tickets", Change.root_id.in_(tickets)
    found["users"].add(who.user_id)
    found["chats"] = {*standing, *session.scalars(select(Change.entity_id).where(*told))}
    return found


def events_of(who: Whose) -> ColumnElement[bool]:
    named = SecurityEvent.user_id, SecurityEvent.actor_id, SecurityEvent.impersonator_id
    return or_(*(column == who.user_id for column in named))
