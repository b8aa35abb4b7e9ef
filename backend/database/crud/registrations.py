"""Students who have asked for an account. Nothing stands in the list of people before the e-mail is confirmed."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select

from backend.core import clock, security
from backend.core.errors import NotFoundError
from backend.core.events import Event
from backend.core.i18n import current_language
from backend.database import audit
from backend.database.crud.base import BaseCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.doors import Registration
from backend.database.models.users import User
from backend.database.schemas.doors import RegisterRequest
from backend.database.session import settings_of

LIFE = timedelta(days=1)


class RegistrationCRUD(BaseCRUD[Registration]):
    model = Registration

    def ask(self, sent: RegisterRequest, password_hash: str) -> None:
        """A letter with a link that makes the account; to a known address one that says so. The work is the same."""
        known = UserCRUD(self.session).find_by_login(sent.email)
        secret, site = security.new_token(), settings_of(self.session).url
        attempt = self.session.begin_nested()
        self.add(
            Registration(
                token_hash=security.digest(secret),
                email=sent.email,
                first_name=sent.first_name,
                last_name=sent.last_name,
                language=current_language.get(),
                password_hash=password_hash,
                expires_at=clock.now() + LIFE,
            )
        )
        if known is None:
            attempt.commit()
        else:
            attempt.rollback()
        kind, language = "register", ""
        values: dict[str, Any] = {"link": f"{site}/welcome/{secret}"}
        if known is not None:
            kind, language = "registered", known.ui_language or ""
            values = {"link": f"{site}/login", "name": known.first_name}
        # Without the person's id: its foreign key is looked up, and that alone would tell by time whom we know.
        language = language or current_language.get()
        LetterCRUD(self.session).post(kind, to=sent.email, language=language, **values)

    def find_live(self, secret: str) -> Registration | None:
        """Looking does not use the link up."""
        live = Registration.token_hash == security.digest(secret), Registration.expires_at > clock.now()
        return self.session.scalars(select(Registration).where(*live)).one_or_none()

    def finish(self, secret: str) -> User:
        """The new student; once. Raises NotFoundError, ConflictError when the address has an account by now."""
        live = Registration.token_hash == security.digest(secret), Registration.expires_at > clock.now()
        found = self.session.scalars(delete(Registration).where(*live).returning(Registration)).one_or_none()
        if found is None:
            raise NotFoundError
        users = UserCRUD(self.session)
        user = users.add(
            User(
                email=found.email,
                email_verified_at=clock.now(),
                first_name=found.first_name,
                last_name=found.last_name,
                language_code=found.language,
                ui_language=found.language,
                password_hash=found.password_hash,
                role_id=users.student_role_id(),
                source="registration",
            )
        )
        audit.note(self.session, Event.REGISTERED, user_id=user.id)
        return user

    def purge(self, now: datetime) -> None:
        self.session.execute(delete(Registration).where(Registration.expires_at < now))
