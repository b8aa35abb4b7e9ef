"""A forgotten password, and an e-mail that is to be confirmed: what the links in letters do."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.errors import NotFoundError
from backend.core.events import Event
from backend.core.permissions import STUDENT
from backend.database import audit
from backend.database.crud.auth import OneTimeTokenCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.links import INVITE, RESET, VERIFY, awaits, end_links
from backend.database.crud.locks import account_key
from backend.database.crud.throttle import ThrottleCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.auth import OneTimeToken
from backend.database.models.users import Role, User
from backend.database.session import settings_of

RESET_LIFE, VERIFY_LIFE = timedelta(minutes=15), timedelta(days=1)


@dataclass
class RecoveryCRUD:
    session: Session

    def ask(self, typed: str) -> None:
        """A link for whoever has this e-mail or login, by letter; their older links die.

        The same work is done for someone whom nobody knows, and undone: the time tells nothing.
        """
        user = UserCRUD(self.session).find_by_login(typed, hold=True)  # or the link goes where nobody may be any more
        anyone = self.session.scalars(select(User).order_by(User.id).limit(1)).one()  # asked for in either case
        stand_in = user or anyone
        came_in = self._came_in(stand_in)
        able = user is not None and user.is_active and user.email is not None and came_in
        attempt = self.session.begin_nested()
        self._send(stand_in, stand_in.email or typed)
        if able:
            attempt.commit()
        else:
            attempt.rollback()
        audit.note(self.session, Event.PASSWORD_RESET_ASKED, user_id=stand_in.id if able else None)

    def _came_in(self, user: User) -> bool:
        """Staff who were never here have not accepted their invitation: it alone lets them in, as long as it holds."""
        role = self.session.scalars(select(Role.name).where(Role.id == user.role_id)).one()
        invited = awaits(self.session, user.id, INVITE)
        return user.password_hash is not None or role == STUDENT or (user.seen_at is not None and not invited)

    def _send(self, user: User, to: str) -> None:
        end_links(self.session, user.id, RESET)
        secret = OneTimeTokenCRUD(self.session).issue(user.id, RESET, RESET_LIFE)
        link = f"{settings_of(self.session).url}/reset/{secret}"
        LetterCRUD(self.session).write_to(user, "reset", to=to, link=link)

    def find(self, secret: str) -> User | None:
        """Whose password the link may set; looking does not use it up."""
        found = OneTimeTokenCRUD(self.session).find_live(secret, RESET)
        return found.user if found and found.user.is_active else None

    def reset(self, secret: str, password_hash: str) -> User:
        """The new password, once. All sessions end, every device is asked for the second factor, a lock is lifted.

        Raises NotFoundError for a link that does not work any more.
        """
        users = UserCRUD(self.session)
        user = users.get_by_id(OneTimeTokenCRUD(self.session).redeem(secret, RESET))
        if not user.is_active:
            raise NotFoundError
        users.set_password(user, password_hash)
        ThrottleCRUD(self.session).reset([account_key(user.id)])
        audit.note(self.session, Event.PASSWORD_CHANGE, user_id=user.id, by="link")
        return user

    # -- another e-mail

    def ask_to_confirm(self, user: User, email: str) -> None:
        """A link to the new address, a notice to the old one. The old one stays until the link is used."""
        end_links(self.session, user.id, VERIFY)
        secret = security.new_token()
        row: dict[str, Any] = {
            "user_id": user.id,
            "purpose": VERIFY,
            "token_hash": security.digest(secret),
            "expires_at": clock.now() + VERIFY_LIFE,
            "data": {"email": email},
        }
        OneTimeTokenCRUD(self.session).add(OneTimeToken(**row))
        letters = LetterCRUD(self.session)
        link = f"{settings_of(self.session).url}/confirm/{secret}"
        letters.write_to(user, "verify", to=email, link=link)
        if user.email and user.email.casefold() != email.casefold():
            letters.write_to(user, "email_changed", email=email)

    def awaited(self, user_id: int) -> str:
        """The address that the person has still to confirm, "" when there is none."""
        live = OneTimeToken.used_at.is_(None), OneTimeToken.expires_at > clock.now()
        mine = OneTimeToken.user_id == user_id, OneTimeToken.purpose == VERIFY, *live
        found = self.session.scalars(select(OneTimeToken).where(*mine).order_by(OneTimeToken.id.desc())).first()
        return str(found.data["email"]) if found else ""

    def call_off(self, user_id: int) -> bool:
        """The address that waits to be confirmed is not wanted; False when none waited."""
        return end_links(self.session, user_id, VERIFY)

    def find_email(self, secret: str) -> str:
        """What the link would confirm, "" when it does not work any more."""
        found = OneTimeTokenCRUD(self.session).find_live(secret, VERIFY)
        return str(found.data["email"]) if found and found.user.is_active else ""

    def confirm(self, secret: str) -> User:
        """The address of the letter is the person's now.

        Raises NotFoundError for a link that does not work any more, ConflictError when another person has it by now.
        """
        tokens = OneTimeTokenCRUD(self.session)
        found = tokens.find_live(secret, VERIFY)
        user = UserCRUD(self.session).get_by_id(tokens.redeem(secret, VERIFY))
        if found is None or not user.is_active:
            raise NotFoundError
        UserCRUD(self.session).assign(user, {"email": found.data["email"], "email_verified_at": clock.now()})
        return user
