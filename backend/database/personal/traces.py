"""What the history and the security events tell of a person, whether or not the record still stands."""

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from backend.database.models.audit import SecurityEvent
from backend.database.models.history import Change
from backend.database.models.tickets import Chat
from backend.database.personal.places import BOOKS, PLACES, Whose

# Records that may have been deleted since, by the column that names the person.
DELETED = {
    "support_tickets": "user_id", "saved_views": "owner_id", "api_tokens": "user_id", "orders": "user_id",
    "purchases": "user_id",
}  # fmt: skip
Records = dict[str, set[int]]


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
    found["chats"] = {*standing, *session.scalars(select(Change.entity_id).where(*told))}
    return found


def events_of(who: Whose) -> ColumnElement[bool]:
    return or_(SecurityEvent.user_id == who.user_id, SecurityEvent.actor_id == who.user_id)
