"""People and roles."""

from collections.abc import Collection, Container, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel
from sqlalchemy import ColumnElement, bindparam, exists, literal_column, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload
from sqlalchemy.orm.interfaces import ORMOption

from backend.core import clock
from backend.core.errors import ConflictError, NotFoundError
from backend.core.i18n import N_, _
from backend.core.permissions import STUDENT, SYSTEM_ROLES
from backend.database import history
from backend.database.crud.auth import SessionCRUD
from backend.database.crud.base import BaseCRUD, Filter, exact
from backend.database.crud.credentials import TrustedDeviceCRUD
from backend.database.crud.links import WAYS_IN, end_links, end_links_of_role
from backend.database.crud.tags import TAG, UNTAG, TagCRUD, tagged, tags_of
from backend.database.listing import AnyRow, AnySelect, Page
from backend.database.models.dispatches import TELEGRAM, Dispatch
from backend.database.models.orders import Payment
from backend.database.models.purchases import Purchase
from backend.database.models.tickets import WAITS, SupportTicket
from backend.database.models.users import STUDENT_ROLE, Role, User
from backend.database.rows import among
from backend.database.schemas.base import ListParams
from backend.database.schemas.users import NewStudentForm, UserCreate, UserResponse
from backend.database.session import ask
from backend.database.verbs import DELETE, Verb, named, switching
from backend.database.walking import ANY

COLUMNS = User.__table__.columns
ERASED = N_("This person's data has already been erased.")
KNOWN: AnySelect = select(*(COLUMNS[name] for name in UserResponse.model_fields)).where(
    COLUMNS.telegram_id == bindparam("telegram_id")
)


def init_roles(session: Session) -> dict[str, Role]:
    """Makes the system roles that are missing and gives each the rights it should have; safe to repeat."""
    roles = {role.name: role for role in session.scalars(select(Role))}
    for name, permissions in SYSTEM_ROLES.items():
        rights = sorted(permission.value for permission in permissions)
        role = roles.get(name)
        if role is None:
            roles[name] = role = Role(name=name, permissions=rights, is_system=True)
            session.add(role)
        elif role.is_system and role.permissions != rights:
            if set(rights) - set(role.permissions):
                SessionCRUD(session).revoke_role(role.id)
                end_links_of_role(session, role.id)
            role.permissions = rights
    session.flush()
    return roles


class UserCRUD(BaseCRUD[User]):
    model = User
    sorts: ClassVar[Mapping[str, Any]] = {"created_at": User.created_at, "name": User.search_key}
    default_sort = "-created_at"
    called = (User.first_name, User.last_name)
    filters: ClassVar[Mapping[str, Filter]] = {
        "is_active": exact(User.is_active),
        "telegram_id": exact(User.telegram_id),
        "role": lambda name: User.role_id == select(Role.id).where(Role.name == name).scalar_subquery(),
    }

    def missing(self, row_id: int) -> str:
        return _("There is no person number %s.") % row_id

    def find_by_telegram_id(self, telegram_id: int) -> User | None:
        return self.session.scalars(select(User).where(User.telegram_id == telegram_id)).one_or_none()

    def known_as(self, telegram_id: int) -> Page[AnyRow]:
        """The list of the one person whom Telegram knows by this number, as the API shows people.

        What the API is asked most: a row by its key needs no order and no count.
        """
        rows = ask(self.session, KNOWN, telegram_id=telegram_id).all()
        return Page(items=rows, total=len(rows))

    def find_by_login(self, login: str, *, hold: bool = False) -> User | None:
        """By login or e-mail, whatever the case; with the role. `hold`: neither becomes another meanwhile."""
        key = login.strip().casefold()
        statement = select(User).where((User.login_key == key) | (User.email_key == key))
        if hold:
            statement = statement.with_for_update(read=True, key_share=True, of=User)
        return self.session.scalars(statement.options(joinedload(User.role)).limit(1)).one_or_none()

    def role_named(self, name: str) -> Role:
        return self.session.scalars(select(Role).where(Role.name == name)).one()

    def student_role_id(self) -> int:
        return self.role_named(STUDENT).id

    def register(self, data: UserCreate | NewStudentForm) -> tuple[User, bool]:
        """(the student of this telegram_id, whether they are new). What Telegram tells anew is refreshed.

        A member of staff keeps the name that the school knows them by.
        """
        known = self.find_by_telegram_id(data.telegram_id)
        values = data.model_dump()
        if known is None:
            made = self._add_once(User(role_id=self.student_role_id(), last_seen_at=clock.now(), **values))
            if made is not None:
                return made, True
            known = self.find_by_telegram_id(data.telegram_id)
            assert known is not None
        values.pop("source", None)  # the first deep link is where the person came from
        values = values if self.is_student(known) else {}
        self.assign(known, values)
        # Being seen is no edit: a form of this person that someone has open is not stale because of it.
        self.update_where(known, last_seen_at=clock.now(), version=User.version, updated_at=User.updated_at)
        return known, False

    def _add_once(self, user: User) -> User | None:
        """None when another request registered the same person between our look and our insert."""
        try:
            with self.session.begin_nested():
                self.session.add(user)
        except IntegrityError:
            return None
        return user

    def update(self, row_id: int, data: BaseModel) -> User:
        user = self.get_by_id(row_id)
        values = data.model_dump(exclude_unset=True)
        self.check_version(user, values.pop("version", None))
        if values.pop("terms_accepted", None) and user.terms_accepted_at is None:
            values["terms_accepted_at"] = clock.now()
        return self.assign(user, values)

    def delete(self, row_id: int) -> User:
        """Raises ConflictError when money, tickets or messages of the bot name the person."""
        user = self.get_by_id(row_id)
        paid = exists().where(Payment.payer_telegram_id == user.telegram_id)
        told = exists().where(Dispatch.user_id == row_id, Dispatch.channel == TELEGRAM)
        if self.session.scalar(select(paid | told)):
            raise ConflictError(self.refused("FOREIGN KEY"), code="in_use")
        TagCRUD(self.session).clear("users", row_id)
        return super().delete(row_id)

    def assign(self, row: User, values: Mapping[str, Any]) -> User:
        """Raises ConflictError for a person whose data are erased: nothing is learned of them again."""
        if row.erased_at is not None:
            raise ConflictError(_(ERASED), code="erased")
        return super().assign(row, values)

    def closed(self, ids: Collection[int]) -> Mapping[int, str]:
        """Erased people, as in `assign`. All are locked, so that none is erased between this look and the change."""
        mine = select(User.id, User.erased_at).where(among(self.session, COLUMNS.id, ids)).order_by(User.id)
        rows = self.session.execute(mine.with_for_update(read=True))
        return {row_id: _(ERASED) for row_id, erased_at in rows if erased_at is not None}

    def set_password(self, user: User, password_hash: str, *, but: int | None = None) -> None:
        """The history tells that it was changed, and by whom; never what it is.

        What was under way with the old one, perhaps by someone else, ends: links to come in or to set another password,
        and an e-mail that waits to be confirmed. Every session ends, also one that the old password opens at this very
        moment: it has the old number. Who goes on renews theirs to the new one.
        """
        self.assign(user, {"password_hash": password_hash, "token_version": user.token_version + 1})
        SessionCRUD(self.session).revoke_all(user.id, but=but)
        end_links(self.session, user.id, *WAYS_IN)
        TrustedDeviceCRUD(self.session).forget(user.id)
        self.note(user, "password")

    def note(self, user: User, verb: str) -> None:
        """Something about a person's account that shows no values."""
        history.describe(self.session, verb)
        history.note(self.session, ("users", user.id), {}, {})

    def is_student(self, user: User) -> bool:
        return user.role_id == self.student_role_id()

    def is_taken(self, email: str, *, besides: int) -> bool:
        """Whether another person has this e-mail."""
        mine = User.email_key == email.strip().casefold(), User.id != besides
        return self.session.scalar(select(exists().where(*mine))) or False

    def set_active(self, row_id: int, active: bool) -> User:
        return self.assign(self.get_by_id(row_id), {"is_active": active})

    def create_staff(self, *, login: str, password_hash: str | None, role: str, first_name: str = "") -> User:
        return self.add(
            User(
                login=login.strip(),
                password_hash=password_hash,
                first_name=first_name or login,
                role_id=self.role_named(role).id,
            )
        )

    def refused(self, detail: str) -> str:
        if "telegram_id" in detail:
            return _("This Telegram ID is already in use.")
        if "email" in detail:
            return _("This email is already in use.")
        if "login" in detail:
            return _("This login is already in use.")
        if "FOREIGN KEY" in detail or "foreign key" in detail:
            return _("This person has purchases or tickets: close their access instead of deleting.")
        return super().refused(detail)


WAITING = select(SupportTicket.user_id).where(WAITS)
RANGES: Mapping[str, Filter] = {
    "purchases_min": User.purchases.__ge__,
    "purchases_max": User.purchases.__le__,
    "spent_min": User.spent.__ge__,
    "spent_max": User.spent.__le__,
}


class StudentCRUD(UserCRUD):
    """Students as the CRM lists them: with what they bought and whether they wait for an answer."""

    verbs: ClassVar[Mapping[str, Verb]] = named(
        switching("open_access", on=True), switching("close_access", on=False), TAG, UNTAG, DELETE
    )

    def get_by_id(self, row_id: int, *options: ORMOption) -> User:
        """Raises NotFoundError for members of staff too: they have pages of their own."""
        user = super().get_by_id(row_id, *options)
        if not self.is_student(user):
            raise NotFoundError(self.missing(row_id))
        return user

    filters: ClassVar[Mapping[str, Filter]] = {
        **UserCRUD.filters,
        "is_active": User.is_active.is_,
        "waiting": lambda value: User.id.in_(WAITING) if value else ~_waiting(),
        "joined_since": User.created_at.__ge__,
        "joined_until": User.created_at.__lt__,
        "username": lambda value: User.username.is_(None) if value == "no" else User.username.is_not(None),
        "lesson_id": lambda lesson_id: _holds(Purchase.lesson_id == lesson_id),
        "course_id": lambda course_id: _holds(Purchase.course_id == course_id),
        "tag": tagged(User),
    }
    sorts: ClassVar[Mapping[str, Any]] = {**UserCRUD.sorts, "purchases": User.purchases, "spent": User.spent}
    figures = frozenset({"purchases", "spent"})
    ordered = frozenset({"username", "is_active"})
    seldom: ClassVar[Mapping[str, Container[Any]]] = {
        "waiting": (True,),
        "is_active": (False,),
        **dict.fromkeys(("lesson_id", "course_id", "tag", "username", "bought", *RANGES), ANY),
    }

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        """Whoever holds nothing has paid nothing: in both figures' words, so that either index finds them."""
        limits = {name: getattr(params, name, None) for name in RANGES}
        bought = getattr(params, "bought", None)
        if bought == "yes":
            limits["purchases_min"] = max(1, limits["purchases_min"] or 0)
        elif bought == "no":
            limits |= {"purchases_max": 0, "spent_max": 0}
        asked = [(name, value) for name, value in limits.items() if value is not None]
        return [*super().conditions(params), *(RANGES[name](value) for name, value in asked)]

    @classmethod
    def list_statement(cls) -> AnySelect:
        return select(
            User.id,
            User.first_name,
            User.last_name,
            User.username,
            User.ui_language,
            User.telegram_id,
            User.language_code,
            User.source,
            User.is_active,
            User.erased_at,
            User.blocked_bot_at,
            User.last_seen_at,
            User.created_at,
            User.search_key.label("name"),
            User.purchases,
            User.spent,
            _waiting().label("waiting"),
            tags_of(User).label("tags"),
        ).where(User.role_id == STUDENT_ROLE)


def _holds(what: ColumnElement[bool]) -> ColumnElement[bool]:
    """Bought or was given a lesson or course, and has it still."""
    # Word by word what the index says of itself: it holds all that is asked (`uq_purchases_owned_lesson`).
    live = Purchase.status == literal_column("'completed'"), Purchase.revoked_at.is_(None)
    return User.id.in_(select(Purchase.user_id).where(what, *live))


def _waiting() -> ColumnElement[bool]:
    return exists().where(SupportTicket.user_id == User.id, SupportTicket.waiting_since.is_not(None))
