"""Links that let whoever has one act as a person, and the letters that carry them."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.auth import SIGN_IN
from backend.database.models.auth import OneTimeToken
from backend.database.models.dispatches import EMAIL, Dispatch

RESET, VERIFY, INVITE = "reset", "verify", "invite"  # purposes of links, and the kinds of letters that carry them
WAYS_IN = RESET, VERIFY, SIGN_IN  # what lets into an account that has been come into
ALL = *WAYS_IN, INVITE


def awaits(session: Session, user_id: int, purpose: str) -> bool:
    """Whether the person has a link of this kind that was not used, be it too old by now."""
    mine = OneTimeToken.user_id == user_id, OneTimeToken.purpose == purpose, OneTimeToken.used_at.is_(None)
    return session.scalars(select(OneTimeToken.id).where(*mine).limit(1)).one_or_none() is not None


def end_links(session: Session, user_id: int, *purposes: str) -> bool:
    """Unused links stop working, and their letters leave no more; whether one of them worked still."""
    mine = OneTimeToken.user_id == user_id, OneTimeToken.purpose.in_(purposes), OneTimeToken.used_at.is_(None)
    ended = session.scalars(delete(OneTimeToken).where(*mine).returning(OneTimeToken.expires_at)).all()
    withdraw(session, user_id, *purposes)
    return any(expires_at > clock.now() for expires_at in ended)


def withdraw(session: Session, user_id: int, *kinds: str) -> None:
    """Letters of these kinds that have not left are called off, and lose their links."""
    mine = Dispatch.user_id == user_id, Dispatch.channel == EMAIL, Dispatch.method.in_(kinds)
    for row in session.scalars(select(Dispatch).where(*mine, Dispatch.state.in_(("pending", "failed")))):
        row.state = "cancelled"
        shed(session, row)


def shed(session: Session, row: Dispatch) -> None:
    row.params = {name: value for name, value in row.params.items() if name != "sealed"}
    session.flush()
