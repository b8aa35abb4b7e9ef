"""A letter of the outbox, for whoever runs a school that sends no e-mail by itself: read, copied, passed on."""

from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import Response

from backend.core.deps import Caller, Current, Routes, crud, require, strong
from backend.core.letters import KINDS
from backend.core.permissions import Permission
from backend.core.templating import render
from backend.crm import outbox
from backend.crm.desk import explain
from backend.database.crud.letters import LetterCRUD
from backend.database.schemas.base import MAX_ID

router = Routes(prefix="/dashboard/outbox/letters", dependencies=[require(Permission.OPERATIONS_READ)])
Letters = Annotated[LetterCRUD, crud(LetterCRUD)]
LetterId = Annotated[int, Path(ge=1, le=MAX_ID)]


@router.get("/{letter_id}", name="crm:letters:detail")
def detail(request: Request, caller: Caller, letters: Letters, letter_id: LetterId) -> Response:
    return _page(request, caller, letters, letter_id)


@router.post("/{letter_id}", name="crm:letters:reveal", dependencies=[require(Permission.SETTINGS_WRITE), strong])
def reveal(request: Request, caller: Caller, letters: Letters, letter_id: LetterId) -> Response:
    """The link lets whoever has it act as the person: it is shown on purpose, to those alone who may do as much, and
    that is written down.

    In this very answer: it passes through no cookie, no address and no log.
    """
    link = letters.reveal(letters.find_letter(letter_id), caller.me.user_id)
    return _page(request, caller, letters, letter_id, link=link)


def _page(request: Request, caller: Current, letters: LetterCRUD, letter_id: int, *, link: str = "") -> Response:
    row, me = letters.find_letter(letter_id), caller.me
    people, closed = me.may(Permission.USERS_READ), bool(outbox.closed(row, me))
    whole = people and me.may(Permission.TICKETS_READ) and not closed  # it greets its reader
    return render(
        request,
        "outbox/letter.html",
        row=row,
        letter=letters.masked(row) if whole else None,
        closed=closed,
        people=people,
        link=link,
        sealed="sealed" in row.params,
        with_link="link" in KINDS[row.method].names,
        covered=letters.may_read(row, caller.me.permissions),
        mail_on=caller.settings.mail_on,
        error=explain(row.error) if row.error else "",
    )
