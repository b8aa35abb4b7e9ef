"""Roles: the ones that every school has, brought up to date at a start, and its own."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from backend.core.context import Actor
from backend.core.errors import ConflictError, ForbiddenError, InvalidError
from backend.core.events import Event
from backend.core.i18n import _
from backend.core.lookalikes import mixes_alphabets, skeleton
from backend.core.permissions import ROLE_TITLES, STUDENT, Permission, with_views
from backend.core.wording import role as role_words
from backend.database import audit
from backend.database.crud.auth import SessionCRUD
from backend.database.crud.base import BaseCRUD
from backend.database.crud.links import end_links_of_role
from backend.database.crud.rights import Guard
from backend.database.crud.users import init_roles
from backend.database.listing import AnySelect
from backend.database.models.users import Role, User
from backend.database.schemas.staff import RoleForm
from backend.database.session import Database


def ensure_roles(database: Database, actor: Actor | None = None) -> None:
    """`init_roles` in a transaction; another process may be doing the same at this moment."""
    try:
        database.run(init_roles, actor)
    except IntegrityError:  # it was first: what it made is seen now
        database.run(init_roles, actor)


class RoleCRUD(BaseCRUD[Role]):
    model = Role

    def missing(self, row_id: int) -> str:
        return _("This role no longer exists.")

    @classmethod
    def list_statement(cls) -> AnySelect:
        return select(Role).where(Role.name != STUDENT)

    def of_staff(self) -> Sequence[Role]:
        """The school's system roles, then its own, each in the order in which they were made."""
        statement = self.list_statement().order_by(Role.is_system.desc(), Role.id)
        return self.session.scalars(statement).all()

    def options(self, q: str, row_id: int | None = None) -> list[tuple[int, str]]:
        """Roles as a choice, by the names that people read."""
        found: list[tuple[int, Any]] = [(role.id, role_words(role.name)) for role in self.of_staff()]
        if row_id is not None:
            return [(key, name) for key, name in found if key == row_id]
        return [(key, name) for key, name in found if q.casefold() in name.casefold()]

    def holders(self) -> dict[int, int]:
        """How many people have each role; those that nobody has are left out."""
        counted = select(User.role_id, func.count()).group_by(User.role_id)
        return dict(
            self.session.execute(
                counted.where(User.role_id.in_(self.list_statement().with_only_columns(Role.id)))
            ).all()
        )

    # -- the school's own. `by` is who acts: see Guard

    def make(self, data: RoleForm, by: int | None) -> Role:
        guard = Guard(self.session, by, Permission.ROLES_WRITE)
        rights = with_views(data.rights)
        guard.cover(rights)
        self._refuse_taken(data.name)
        role = self.add(Role(name=data.name, permissions=sorted(rights)))
        self._tell(role, frozenset())
        return role

    def change(self, role_id: int, data: RoleForm, by: int | None) -> Role:
        """What the person lacks themselves stays as it is. Raises ConflictError when someone else saved meanwhile.

        Rights that are taken away are gone with the next request; whoever gets more signs in anew.
        """
        guard = Guard(self.session, by, Permission.ROLES_WRITE)
        role = self._own(role_id, guard)
        before = frozenset(role.permissions)
        if data.was is not None and data.was != joined(before):
            raise ConflictError(_("Someone else has changed this role in the meantime."))
        wanted = with_views([*data.rights, *(before - guard.rights)])
        guard.cover(wanted ^ before)
        if data.name.casefold() != role.name.casefold():
            self._refuse_taken(data.name, besides=role.name)
        self.assign(role, {"name": data.name, "permissions": sorted(wanted)})
        if wanted - before:
            SessionCRUD(self.session).revoke_role(role.id)
            end_links_of_role(self.session, role.id)
        self._tell(role, before)
        return role

    def drop(self, role_id: int, by: int | None) -> Role:
        """Raises ConflictError while somebody has the role."""
        guard = Guard(self.session, by, Permission.ROLES_WRITE)
        role = self._own(role_id, guard)
        guard.cover(role.permissions)
        if role_id in self.holders():
            raise ConflictError(_("This role is in use: give those people another one first."), code="in_use")
        self._tell(role, frozenset(role.permissions), gone=True)
        return self.delete(role_id)

    def _own(self, role_id: int, guard: Guard) -> Role:
        """A role that may be changed: not a system one, whose rights come with the program, and not one's own."""
        statement = select(Role).where(Role.id == role_id).with_for_update().execution_options(populate_existing=True)
        role = self.session.scalars(statement).one_or_none() or self.get_by_id(role_id)
        if role.is_system:
            raise ForbiddenError(_("The permissions of built-in roles cannot be changed. Edit a copy instead."))
        if self.session.scalars(select(User.role_id).where(User.id == guard.user_id)).one_or_none() == role_id:
            raise ForbiddenError(_("This is your own role: someone else has to change it."))
        return role

    def _refuse_taken(self, name: str, besides: str = "") -> None:
        """Also what only reads like the name of another role: whoever gives it would take it for that one."""
        others = self.session.scalars(select(Role.name).where(Role.name != besides))
        taken = [*others, *map(role_words, ROLE_TITLES), *ROLE_TITLES.values()]
        if name.casefold() in {known.casefold() for known in taken}:
            raise InvalidError(fields={"name": _("A role with this name already exists.")})
        if mixes_alphabets(name):
            raise InvalidError(fields={"name": _("Do not mix alphabets within a word.")})
        if skeleton(name) in {skeleton(known) for known in taken}:
            raise InvalidError(fields={"name": _("This name is too similar to another role's.")})

    def _tell(self, role: Role, before: frozenset[str], *, gone: bool = False) -> None:
        after = frozenset() if gone else frozenset(role.permissions)
        if after != before or gone:
            given, taken = sorted(after - before), sorted(before - after)
            audit.note(self.session, Event.RIGHTS_CHANGED, role=role.name, given=given, taken=taken)


def joined(rights: frozenset[str]) -> str:
    """Rights in one order, to tell whether they are the same still."""
    return ",".join(sorted(rights))
