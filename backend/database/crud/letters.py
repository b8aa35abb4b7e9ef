"""Letters in the outbox: written in the transaction of their cause, sent by the worker, forgotten after a month.

A link in a letter lets whoever has it act as the person, so it is sealed at rest (the keys are not in the database:
a leaked backup holds no way in), and erased as soon as the letter has been sent, called off, or is too old.
"""

import json
import secrets
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from sqlalchemy import delete, insert, or_, select

from backend.core import clock, security
from backend.core.errors import NotFoundError
from backend.core.events import Event
from backend.core.i18n import current_language
from backend.core.letters import KINDS, SECRETS, Letter, compose, tidy
from backend.core.permissions import Permission
from backend.database import audit, outbox
from backend.database.crud.dispatches import BULK, DispatchCRUD, fresh
from backend.database.crud.links import shed
from backend.database.crud.rights import Guard
from backend.database.crud.settings import SettingCRUD
from backend.database.listing import AnyRow
from backend.database.models.dispatches import EMAIL, Dispatch
from backend.database.models.users import Role, User
from backend.database.session import settings_of

KEPT = timedelta(days=30)  # an address and a name are personal data
OVER = ("sent", "failed", "cancelled")
PURGED = 500  # rows at once
MASK = "••••••••"


class LetterCRUD(DispatchCRUD):
    def post(
        self,
        kind: str,
        *,
        to: str,
        language: str,
        user_id: int | None = None,
        dedupe: str | None = None,
        life: timedelta | None = None,
        **values: object,
    ) -> Dispatch:
        """Puts a letter into the outbox, to leave after the commit.

        `kind` is one of core.letters.KINDS, which name the values they take; `link` is kept sealed. `dedupe`: the
        same cause again gives the first letter, unchanged. After `life` (the kind's own by default) it does not leave
        any more. Raises KeyError for an unknown kind and ValueError for other values than it takes.
        """
        expires_at = clock.now() + (life or KINDS[kind].life)
        columns = self._columns(kind, values, address=to, language=language, user_id=user_id, expires_at=expires_at)
        return self.queue(f"letter:{dedupe or secrets.token_urlsafe(12)}", EMAIL, columns)

    def notify(self, kind: str, people: Iterable[tuple[AnyRow, str, Mapping[str, object]]]) -> None:
        """A letter each to people (`id`, `first_name`, `ui_language`), at these addresses, with these values.

        In one statement, in the midst of a flush too. They leave behind what somebody waits for.
        """
        expires_at, rows = clock.now() + KINDS[kind].life, []
        for person, to, values in people:
            columns = self._columns(
                kind,
                {"name": person.first_name, **values},
                address=to,
                language=person.ui_language or current_language.get(),
                user_id=person.id,
                expires_at=expires_at,
                priority=BULK,
            )
            rows.append(fresh(f"letter:{secrets.token_urlsafe(12)}", EMAIL, columns))
        if rows:
            self.session.connection().execute(insert(Dispatch), rows)
            outbox.queued(self.session)

    def _columns(self, kind: str, values: Mapping[str, object], *, language: str, **columns: object) -> dict[str, Any]:
        about = KINDS[kind]
        if (given := frozenset(values)) != about.names:
            raise ValueError(f"{kind} takes {sorted(about.names)}, not {sorted(given)}")
        tidied = {name: tidy(value) for name, value in values.items()}
        secret = {name: value for name, value in tidied.items() if name in SECRETS}
        open_ = {name: value for name, value in tidied.items() if name not in SECRETS}
        params: dict[str, Any] = {"language": language, "values": open_ | {"school": self._school}}
        if secret:
            params["sealed"] = security.seal(settings_of(self.session), json.dumps(secret))
        return {"method": kind, "params": params, **columns}

    @cached_property
    def _school(self) -> str:
        stored = SettingCRUD(self.session).find("school") or {}
        return tidy(stored.get("name") or settings_of(self.session).school_name)

    def write_to(self, user: User, kind: str, *, to: str = "", dedupe: str | None = None, **values: object) -> Dispatch:
        """`post` to a person, in the language they chose, else that of the moment; `to`: not to their present e-mail.

        Raises ValueError for a person without an address.
        """
        if not (address := to or user.email):
            raise ValueError(f"person {user.id} has no e-mail")
        about: dict[str, Any] = {"name": user.first_name, **values}
        language = user.ui_language or current_language.get()
        return self.post(kind, to=address, language=language, user_id=user.id, dedupe=dedupe, **about)

    def letter(self, row: Dispatch) -> Letter | None:
        """What a letter says; None when its link is gone or was sealed under a key that is no longer there."""
        return written(self.session, row.method, row.params)

    def find_letter(self, dispatch_id: int) -> Dispatch:
        """Raises NotFoundError for what is no letter."""
        row = self.get_by_id(dispatch_id)
        if row.channel != EMAIL or row.method not in KINDS:
            raise NotFoundError(self.missing(dispatch_id))
        return row

    def masked(self, row: Dispatch) -> Letter:
        """What a letter says but for its link."""
        values = row.params["values"] | {"link": MASK}
        return compose(row.method, row.params["language"], values, settings_of(self.session).url)

    def may_read(self, row: Dispatch, rights: Collection[str]) -> bool:
        """Whether somebody with these rights may act as the one to whom the letter goes, as its link allows."""
        return frozenset(rights) >= self._rights_of(row.user_id)

    def _rights_of(self, user_id: int | None) -> frozenset[str]:
        """What the reader of a letter to this person could do; nothing where it only makes a student of somebody."""
        held = select(Role.permissions).join(User, User.role_id == Role.id).where(User.id == user_id)
        return frozenset(self.session.scalars(held).one_or_none() or ())

    def reveal(self, row: Dispatch, by: int | None) -> str:
        """The link, for a person who passes it on; told in the security events. "" when it is gone.

        Raises ForbiddenError for a letter to someone who may do more than `by`: see Guard.
        """
        guard = Guard(self.session, by, Permission.SETTINGS_WRITE)
        guard.cover(self._rights_of(row.user_id))
        audit.note(self.session, Event.LETTER_READ, user_id=row.user_id, letter=row.id, about=row.method)
        opened = security.unseal(settings_of(self.session), row.params.get("sealed", ""))
        return str(json.loads(opened)["link"]) if opened else ""

    def waiting(self, after: int) -> list[Dispatch]:
        """Letters that have not left, from this number on."""
        waits = Dispatch.channel == EMAIL, Dispatch.state == "pending", Dispatch.id > after
        return list(self.session.scalars(select(Dispatch).where(*waits).order_by(Dispatch.id).limit(PURGED)))

    def forget(self, dispatch_id: int) -> None:
        """The letter has been sent or called off: its link is nobody's business any more."""
        row = self.find_by_id(dispatch_id)
        if row is not None and "sealed" in row.params:
            shed(self.session, row)

    def close(self) -> bool:
        """Too old to be of use: it does not leave any more and loses its link. True when there may be more."""
        old = Dispatch.channel == EMAIL, Dispatch.expires_at <= clock.now()
        sealed = Dispatch.params["sealed"].as_string().is_not(None)
        found = self.session.scalars(
            select(Dispatch).where(*old, or_(Dispatch.state == "pending", sealed)).limit(PURGED)
        ).all()
        for row in found:
            if row.state == "pending":
                row.state, row.error = "failed", "expired"
            if row.state != "sending":
                shed(self.session, row)
        return len(found) == PURGED

    def purge(self, older_than: datetime) -> bool:
        """Letters that are done with go, with the address and the name in them. True when there may be more."""
        done = Dispatch.channel == EMAIL, Dispatch.state.in_(OVER), Dispatch.created_at < older_than
        ids = self.session.scalars(select(Dispatch.id).where(*done).limit(PURGED)).all()
        self.session.execute(delete(Dispatch).where(Dispatch.id.in_(ids)))
        return len(ids) == PURGED


def written(session: Any, kind: str, params: dict[str, Any]) -> Letter | None:
    settings = settings_of(session)
    values = dict(params["values"])
    if "link" in KINDS[kind].names:
        opened = security.unseal(settings, params.get("sealed", ""))
        if opened is None:
            return None
        values |= json.loads(opened)
    return compose(kind, params["language"], values, settings.url)
