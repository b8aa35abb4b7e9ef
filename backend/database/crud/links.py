"""Links that let whoever has one act as a person, and the letters that carry them."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.database.crud.auth import SIGN_IN
from backend.database.listing import AnyRow
from backend.database.models.auth import OneTimeToken
from backend.database.models.dispatches import EMAIL, Dispatch
from backend.database.models.users import User
from backend.database.rows import among
from backend.database.walking import unindexed

RESET, VERIFY, INVITE = "reset", "verify", "invite"  # purposes of links, and the kinds of letters that carry them
WAYS_IN = RESET, VERIFY, SIGN_IN  # what lets into an account that has been come into
ALL = *WAYS_IN, INVITE
BLIND = {"synchronize_session": False}
WAITING = ("pending", "failed")  # letters that have not left, and may be called off


def awaits(session: Session, user_id: int, purpose: str) -> bool:
    """Whether the person has a link of this kind that was not used, be it too old by now."""
    mine = OneTimeToken.user_id == user_id, OneTimeToken.purpose == purpose, OneTimeToken.used_at.is_(None)
    return session.scalars(select(OneTimeToken.id).where(*mine).limit(1)).one_or_none() is not None


def end_links(session: Session, user_id: int, *purposes: str) -> bool:
    """Unused links stop working, and their letters leave no more; whether one of them worked still."""
    return any(link.expires_at > clock.now() for link in end_links_of(session, [user_id], purposes))


def end_links_of(session: Session, user_ids: Collection[int], purposes: Collection[str]) -> Sequence[AnyRow]:
    """The same of many people, in the midst of a flush too: whose links were ended, of which purpose, `expires_at`.

    An invitation stays, as one that is over: by it alone the school knows who has not come in yet.
    """
    link = OneTimeToken
    mine = among(session, link.user_id, user_ids), link.used_at.is_(None)
    told = link.user_id, link.purpose, link.expires_at
    gone = [purpose for purpose in purposes if purpose != INVITE]
    ended = session.execute(delete(link).where(*mine, link.purpose.in_(gone)).returning(*told)).all()
    if INVITE in purposes:
        over = update(link).where(*mine, link.purpose == INVITE).values(expires_at=clock.now())
        ended = [*ended, *session.execute(over.returning(*told), execution_options=BLIND).all()]
    withdraw(session, user_ids, purposes)
    return ended


def end_links_of_role(session: Session, role_id: int) -> None:
    """What was handed out while the role might do less: others may have it, who may do no more than that."""
    link = OneTimeToken
    mine = User.role_id == role_id, link.used_at.is_(None), link.purpose.in_(ALL)
    holders = session.scalars(select(link.user_id).join(User, User.id == link.user_id).where(*mine).distinct()).all()
    end_links_of(session, holders, ALL)


def drop_invitations(session: Session, user_id: int) -> None:
    """Who has come in needs none; it may lie with a stranger."""
    unused = OneTimeToken.user_id == user_id, OneTimeToken.purpose == INVITE, OneTimeToken.used_at.is_(None)
    session.execute(delete(OneTimeToken).where(*unused))
    withdraw(session, [user_id], [INVITE])


def withdraw(session: Session, user_ids: Collection[int], kinds: Collection[str]) -> None:
    """Letters of these kinds that have not left are called off, and lose their links."""
    # By their person: SQLite would rather look through all that waits.
    channel, state = unindexed(Dispatch.channel), unindexed(Dispatch.state)
    letters = channel == EMAIL, Dispatch.method.in_(kinds), state.in_(WAITING)
    found = select(Dispatch.id, Dispatch.params).where(among(session, Dispatch.user_id, user_ids), *letters)
    for row in session.execute(found).all():
        values = {"state": "cancelled", "params": without_link(row.params)}
        session.execute(update(Dispatch).where(Dispatch.id == row.id, Dispatch.state.in_(WAITING)).values(values))


def shed(session: Session, row: Dispatch) -> None:
    row.params = without_link(row.params)
    session.flush()


def without_link(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "sealed"}
