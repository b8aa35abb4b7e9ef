"""What follows when a person gets another e-mail, by whatever way: a page, a link, a file, an undo.

Whoever reads the old mailbox has no way in any more, the security events tell of it, and the old address learns that
others did it. The history is told of every change, so it begins there: nobody calls this, and nobody can forget to.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.context import Door
from backend.core.events import Event
from backend.database import audit, history
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.links import ALL, INVITE, end_links_of
from backend.database.history import Told
from backend.database.listing import AnyRow
from backend.database.models.users import STUDENT_ROLE, User, full_name
from backend.database.rows import among
from backend.database.session import settings_of


def replaced(session: Session, changes: Sequence[Told]) -> None:
    """Of changes of people those that gave another address, or took it."""
    moved = {change.entity[1]: change for change in changes if change.op == "update" and _is_another(change)}
    if not moved:
        return
    ended = end_links_of(session, moved.keys(), ALL)
    audit.note_all(session, Event.EMAIL_CHANGED, moved.keys())  # whoever reads the new one can come in
    invited = {link.user_id for link in ended if link.purpose == INVITE}
    people = [person for person in _people(session, moved.keys()) if _is_told(session, person, moved, invited)]
    if people:
        who, new = _who(session), {person.id: moved[person.id].after["email"] or "" for person in people}
        letters = [(one, moved[one.id].before["email"], {"who": who, "email": new[one.id]}) for one in people]
        LetterCRUD(session).notify("email_replaced", letters)


def _is_another(change: Told) -> bool:
    before, after = (str(image.get("email") or "").casefold() for image in (change.before, change.after))
    return "email" in change.after and before != after


def _people(session: Session, ids: Any) -> Sequence[AnyRow]:
    columns = User.id, User.first_name, User.ui_language, User.email_verified_at, User.role_id
    unset = User.password_hash.is_(None).label("unset")
    found = select(*columns, unset, STUDENT_ROLE.label("student")).where(among(session, User.id, ids)).order_by(User.id)
    return session.connection().execute(found).all()


def _is_told(session: Session, person: AnyRow, moved: Mapping[int, Told], invited: set[int]) -> bool:
    """Whether the old address learns of it: what a student has confirmed, and where a colleague has come in.

    Anything else may be a stranger's. Nobody is told what they did themselves, signed in or by the link of a letter.
    """
    before = moved[person.id].before
    if not before.get("email") or _is_own(session, person.id):
        return False
    if before.get("role_id", person.role_id) == person.student:
        return before.get("email_verified_at", person.email_verified_at) is not None
    return not (person.unset and person.id in invited)


def _is_own(session: Session, user_id: int) -> bool:
    actor = audit.actor_of(session)
    nobody = actor.user_id is None and actor.token_id is None and actor.door in (Door.WEB, Door.API)
    return actor.impersonator_id is None and (nobody or actor.user_id == user_id)


def _who(session: Session) -> str:
    actor = audit.actor_of(session)
    acting = User.id == (actor.impersonator_id or actor.user_id)
    found = session.connection().execute(select(User.first_name, User.last_name).where(acting)).one_or_none()
    return full_name(*found) if found else settings_of(session).school_name


history.follow(User.__tablename__, replaced)
