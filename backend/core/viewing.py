"""“View as”: what whoever looks through someone else's eyes may do. Refused is whatever is not named here."""

from dataclasses import replace

from fastapi import Request
from sqlalchemy.orm import Session

from backend.core import csrf
from backend.core.context import Principal
from backend.core.errors import ForbiddenError
from backend.core.i18n import _
from backend.database.crud.viewing import ViewingCRUD
from backend.database.models.users import full_name

OPEN = ("/dashboard/", "/sandbox/")
# Factors, passwords, tokens, sessions, the staff and their roles, and proofs of who one is: not even to look at.
CLOSED = ("/dashboard/settings/", "/dashboard/confirm/")
ALONE = frozenset({"/", "/dashboard", "/sandbox", "/docs", "/redoc", "/openapi.json"})
OUT = frozenset({"/dashboard/return", "/logout"})


def seen_by(session: Session, me: Principal) -> Principal | None:
    """`me` with the name of who looks and no right that they lack; None when they may not look any more."""
    looker = ViewingCRUD(session).looker(me.session_id or 0)
    if looker is None:
        return None
    name = full_name(looker.first_name, looker.last_name)
    return replace(me, impersonator=name, permissions=me.permissions & frozenset(looker.permissions))


def closed() -> ForbiddenError:
    return ForbiddenError(
        _("This is not available while viewing as someone else. Return to your own account first."),
        code="viewing",
    )


def admit(me: Principal, request: Request, *, recent: bool) -> None:
    """Raises ForbiddenError. `recent`: the route asks for a proof, and the person who could give it is not there."""
    path = request.scope["path"]
    if me.impersonator_id is None or path in OUT:
        return
    inside = path in ALONE or (path.startswith(OPEN) and not f"{path}/".startswith(CLOSED))
    if recent or not inside:
        raise closed()
    if me.read_only and request.method not in csrf.SAFE_METHODS:
        raise ForbiddenError(
            _("You are only viewing as someone else: nothing was changed. Return to your own account first."),
            code="read_only",
        )
