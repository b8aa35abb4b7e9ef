"""The people who run the school."""

import re

from sqlalchemy import select

from backend.core.errors import ConflictError, InvalidError
from backend.core.i18n import _
from backend.core.permissions import ADMIN
from backend.database.crud.base import BaseCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.users import Role, User

LOGIN = re.compile(r"[^\s@]{2,64}")


class StaffCRUD(BaseCRUD[User]):
    model = User

    def admins(self) -> list[User]:
        """Active administrators, the eldest first."""
        statement = select(User).join(User.role).where(Role.name == ADMIN, User.is_active).order_by(User.id)
        return list(self.session.scalars(statement))

    def add_admin(self, login: str, *, password_hash: str | None, first_name: str = "") -> User:
        """Raises InvalidError for what is no login (an "@" would be read as an e-mail),
        ConflictError for a taken one.
        """
        login = login.strip()
        if not LOGIN.fullmatch(login) or not login.isprintable():
            raise InvalidError(fields={"login": _("2 to 64 characters without spaces and “@”.")})
        users = UserCRUD(self.session)
        if users.find_by_login(login):
            raise ConflictError(_("This login is taken."))
        return users.create_staff(login=login, password_hash=password_hash, role=ADMIN, first_name=first_name)

    def is_empty(self) -> bool:
        """Whether nobody at all is known yet: a database that nothing has happened in."""
        return self.session.scalars(select(User.id).limit(1)).one_or_none() is None
