"""Whoever is signed in, held in the transaction that acts for them: a session may end while a request waits."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.context import Principal
from backend.core.errors import NotAuthenticatedError
from backend.database.models.auth import AuthSession
from backend.database.models.users import User


def hold_user(session: Session, user_id: int | None) -> User | None:
    """As the account stands now, nobody else's to change until the end."""
    # FOR NO KEY UPDATE: rows that name the person can be added meanwhile.
    statement = select(User).where(User.id == user_id).with_for_update(key_share=True)
    return session.scalars(statement.execution_options(populate_existing=True)).one_or_none()


def hold_signed_in(session: Session, me: Principal) -> User:
    """The person of this session, which lives until the end. Raises NotAuthenticatedError when it has ended meanwhile.

    What ends sessions changes the person's row first: it waits for this transaction, or this one sees what it did.
    """
    user = hold_user(session, me.user_id)
    mine = AuthSession.id == me.session_id, AuthSession.user_id == me.user_id, AuthSession.revoked_at.is_(None)
    number = session.scalar(select(AuthSession.token_version).where(*mine))
    if user is None or not user.is_active or number != user.token_version:
        raise NotAuthenticatedError
    return user
