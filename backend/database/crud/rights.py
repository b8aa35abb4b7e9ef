"""The guard of whatever gives or takes rights.

Nobody gives away or takes a right that they lack themselves, be it by a role, by a change of a role or by taking over
an account; the school keeps an administrator who can come in; and nobody changes their own rights.
"""

from collections.abc import Iterable

from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session, joinedload

from backend.core.errors import ConflictError, ForbiddenError, NotFoundError
from backend.core.i18n import _
from backend.core.permissions import ADMIN, STUDENT, Permission
from backend.database.models.auth import AuthIdentity, Credential
from backend.database.models.users import Role, User
from backend.database.session import settings_of


class Guard:
    """One person who changes rights. While it stands, until the end of the transaction, nobody else changes any.

    What the request knew of the person may be old by the time that it gets its turn: their rights are read anew.
    """

    def __init__(self, session: Session, user_id: int | None, needs: Permission) -> None:
        """Raises ForbiddenError for whoever has lost the right, or their account, meanwhile."""
        self.session, self.user_id = session, user_id
        # One lock for all rights: the changes are few, and rules about many people need no order of locks.
        # FOR NO KEY UPDATE: a person with this role can be added meanwhile.
        session.execute(select(Role.id).where(Role.name == ADMIN).with_for_update(key_share=True)).one()
        mine = select(Role.permissions).join(User, User.role_id == Role.id).where(User.id == user_id, User.is_active)
        self.rights = frozenset(session.scalars(mine).one_or_none() or ())
        if needs not in self.rights:
            raise ForbiddenError

    def holds(self, *rights: Iterable[str]) -> bool:
        return frozenset().union(*rights) <= self.rights

    def cover(self, *rights: Iterable[str]) -> None:
        """Raises ForbiddenError when some of these are not one's own."""
        if not self.holds(*rights):
            raise ForbiddenError(_("This needs permissions that you do not have."))

    def person(self, user_id: int) -> User:
        """Another member of staff who may do no more than oneself, with their role, nobody else's to change until the
        end. Raises NotFoundError, ForbiddenError.
        """
        found = self.anyone(user_id)
        if found.role.name == STUDENT:
            raise NotFoundError(_("There is no person number %s.") % user_id)
        if user_id == self.user_id:
            raise ForbiddenError(_("This is your own account: someone else has to do this."))
        self.cover(found.role.permissions)
        return found

    def anyone(self, user_id: int) -> User:
        """A student or a member of staff, with their role, nobody else's to change until the end, whatever they may do.

        Raises NotFoundError.
        """
        statement = select(User).where(User.id == user_id).options(joinedload(User.role, innerjoin=True))
        locked = statement.with_for_update(of=User).execution_options(populate_existing=True)
        found = self.session.scalars(locked).one_or_none()
        if found is None:
            raise NotFoundError(_("There is no person number %s.") % user_id)
        return found

    def role(self, role_id: int) -> Role:
        """A role to give. Raises NotFoundError for the students' as well, ForbiddenError when it may do more."""
        found = self.session.scalars(
            select(Role).where(Role.id == role_id, Role.name != STUDENT).execution_options(populate_existing=True)
        ).one_or_none()
        if found is None:
            raise NotFoundError(_("This role no longer exists."))
        self.cover(found.permissions)
        return found

    def keep_an_admin(self, leaving: User) -> None:
        """Raises ConflictError when nobody else runs the school: an administrator who is let in and has a way in."""
        if leaving.role.name != ADMIN or not leaving.is_active:
            return
        others = User.role_id == leaving.role_id, User.id != leaving.id, User.is_active, self._has_way_in()
        if self.session.scalars(select(User.id).where(*others).limit(1)).one_or_none() is None:
            raise ConflictError(_("The school first needs another administrator who can sign in."), code="last_admin")

    def can_sign_in(self, person: User) -> bool:
        mine = select(User.id).where(User.id == person.id, self._has_way_in())
        return self.session.scalars(mine).one_or_none() is not None

    def _has_way_in(self) -> ColumnElement[bool]:
        settings = settings_of(self.session)
        ways = [
            and_(User.password_hash.is_not(None), or_(User.login.is_not(None), User.email.is_not(None))),
            # Those of a service that is switched off open nothing.
            exists().where(AuthIdentity.user_id == User.id, AuthIdentity.issuer.in_(settings.issuers)),
        ]
        if settings.passkeys_on:
            ways.append(exists().where(Credential.user_id == User.id, Credential.kind == "passkey"))
        return or_(*ways)
