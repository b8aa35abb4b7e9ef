"""Whoever makes a link that lets a colleague in answers for it as long as it works."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.permissions import Permission
from backend.database.models.auth import OneTimeToken
from backend.database.models.users import Role, User


def vouched_for(session: Session, link: OneTimeToken) -> bool:
    """Whether who made it could make it now: they are let in, and hold the right to and all that the person may do.

    True of what nobody of the staff made: the person asked for it themselves, or the command line did.
    """
    by = link.data.get("by")
    if by is None:
        return True
    rights = select(Role.permissions).join(User, User.role_id == Role.id)
    maker = session.scalars(rights.where(User.id == by, User.is_active)).one_or_none() or []
    theirs = session.scalars(rights.where(User.id == link.user_id)).one()
    return {Permission.STAFF_WRITE, *theirs} <= set(maker)
