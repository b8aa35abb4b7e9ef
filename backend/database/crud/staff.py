"""The people who run the school: their accounts, and how they come to them."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select
from sqlalchemy.orm import aliased, contains_eager

from backend.core import clock
from backend.core.errors import ConflictError, InvalidError, NotFoundError
from backend.core.events import Event
from backend.core.i18n import _, current_language
from backend.core.permissions import ADMIN, STUDENT, Permission, is_administrative
from backend.core.text import datetime_text
from backend.core.wording import role as role_words
from backend.database import audit, history
from backend.database.crud.auth import SIGN_IN, SIGN_IN_LINK, OneTimeTokenCRUD, SessionCRUD
from backend.database.crud.base import Filter, exact
from backend.database.crud.credentials import TrustedDeviceCRUD
from backend.database.crud.idempotency import IdempotencyCRUD, Stored
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.links import ALL, INVITE, WAYS_IN, awaits, drop_invitations, end_links
from backend.database.crud.locks import LockCRUD
from backend.database.crud.rights import Guard
from backend.database.crud.typed import Typed, typed_by_others
from backend.database.crud.users import UserCRUD
from backend.database.listing import AnySelect, Dressed
from backend.database.models.auth import Credential, OneTimeToken
from backend.database.models.users import Role, User
from backend.database.schemas.base import MAX_ID, ListParams
from backend.database.schemas.staff import Invitation, StaffForm
from backend.database.session import settings_of
from backend.database.walking import unindexed

LOGIN = re.compile(r"[^\s@]{2,64}")
INVITE_LIFE = timedelta(days=7)
# What stands in the place of a login until the invited person chooses one. Nobody can choose it: it has a space.
NO_LOGIN = "invited "
FACTORS = or_(Credential.kind == "passkey", and_(Credential.kind == "totp", Credential.confirmed_at.is_not(None)))


def has_login(login: str | None) -> bool:
    return bool(login) and not str(login).startswith(NO_LOGIN)


def _runs_school(role: Role) -> dict[str, Any]:
    """For the event of someone getting a role: what it may do by then, as it may be another role when that is read."""
    return {"runs_school": True} if is_administrative(role.permissions) else {}


def _no_login() -> str:
    return f"{NO_LOGIN}{secrets.token_hex(6)}"


def keeps_email(student: User, typed: Sequence[Typed]) -> bool:
    """Whether a student who comes to work keeps the e-mail: they confirmed it, and nobody else wrote it since."""
    others = any(one.name == "email" or (not one.name and "email" in one.after) for one in typed)
    return student.email_verified_at is not None and not others


@dataclass(frozen=True)
class Member(Dressed):
    """A line of the list of staff."""

    locked: bool  # too many attempts keep them out at this moment


def _factor() -> Any:
    return exists().where(Credential.user_id == User.id, FACTORS)


def _invited() -> Any:
    """Has not come in yet."""
    waits = OneTimeToken.user_id == User.id, OneTimeToken.purpose == INVITE, OneTimeToken.used_at.is_(None)
    return User.password_hash.is_(None) & exists().where(*waits)


IS_ON = unindexed(User.is_active).is_(True)  # staff are found by their roles
STATES: Mapping[str, Any] = {
    "active": lambda: and_(IS_ON, ~_invited()),
    "invited": lambda: and_(IS_ON, _invited()),
    "off": lambda: ~IS_ON,
}


class StaffCRUD(UserCRUD):
    """Whoever has another role than the students'. `by` is who acts: see Guard."""

    default_sort = "name"
    small = True
    filters: ClassVar[Mapping[str, Filter]] = {
        "role_id": exact(User.role_id),
        "state": lambda state: STATES[state](),
        "factor": lambda value: _factor() if value == "yes" else ~_factor(),
    }

    @classmethod
    def list_statement(cls) -> AnySelect:
        return (
            select(
                *(User.id, User.first_name, User.last_name, User.login, User.email, User.is_active, User.created_at),
                User.search_key.label("name"),
                Role.name.label("role"),
                _invited().label("invited"),
                _factor().label("factor"),
                User.seen_at,
            )
            .join(Role, Role.id == User.role_id)
            .where(Role.name != STUDENT)
        )

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        """Of roles by number besides: by their names alone, either database reads all students."""
        roles = self.session.scalars(select(Role.id).where(Role.name != STUDENT)).all()
        return [User.role_id.in_(roles), *super().conditions(params)]

    def dressed(self, rows: Sequence[Any]) -> Sequence[Any]:
        locked = LockCRUD(self.session).locked([row.id for row in rows])
        return [Member(row, row.id in locked) for row in rows]

    def get_member(self, user_id: int) -> User:
        """With the role. Raises NotFoundError for students too."""
        statement = select(User).join(User.role).where(User.id == user_id, Role.name != STUDENT)
        found = self.session.scalars(statement).one_or_none()
        if found is None:
            raise NotFoundError(self.missing(user_id))
        return found

    def factors(self, user_id: int) -> list[Credential]:
        """The second factors that work, the eldest first; recovery codes are not counted among them."""
        statement = select(Credential).where(Credential.user_id == user_id, FACTORS).order_by(Credential.id)
        return list(self.session.scalars(statement))

    # -- coming to the school

    def invite(self, data: Invitation, by: int | None) -> tuple[User, str]:
        """A new member of staff, and the secret of the link by which they come in the first time.

        The same form sent again finds the person it made; the secret is "" then, it is shown once. Raises ConflictError
        for an e-mail that somebody has.
        """
        guard = Guard(self.session, by, Permission.STAFF_WRITE)  # twins of a form wait here for each other
        role, forms, owner = guard.role(data.role_id), IdempotencyCRUD(self.session), f"invite:{by}"
        if data.ticket and (made := forms.answered(owner, data.ticket)):
            return self.get_by_id(int(made.response)), ""
        if data.email and self.is_taken(data.email, besides=0):
            taken = _("This email is already in use.")
            raise ConflictError(taken, fields={"email": taken})
        login = None if data.email else _no_login()
        named = data.model_dump(include={"first_name", "last_name", "email"})
        person = self.add(User(role_id=role.id, login=login, **named))
        history.describe(self.session, "invite")
        if data.ticket:
            forms.claim(owner, data.ticket, "")
            forms.remember(owner, data.ticket, Stored(201, str(person.id)))
        return person, self._invitation(person, role, by)

    def candidates(self, typed: str) -> Sequence[User]:
        """Students whom a name in Telegram, an e-mail or a Telegram ID names. Names change hands: several have one."""
        key = typed.strip().removeprefix("@").casefold()
        named = aliased(User)  # each way has an index, and SQLite must not begin with all students
        ways = [func.lower(named.username) == key, named.email_key == key]
        if key.isascii() and key.isdecimal() and int(key) <= MAX_ID:
            ways.append(named.telegram_id == int(key))
        mine = User.id.in_(select(named.id).where(or_(*ways)))
        found = select(User).join(User.role).where(Role.name == STUDENT, User.erased_at.is_(None), mine)
        return self.session.scalars(found.order_by(User.id).limit(5)).all()

    def take_in(self, user_id: int, role_id: int, by: int | None, version: int | None = None) -> tuple[User, str]:
        """A student becomes a member of staff in the same account, with all that they bought; see `invite`.

        The secret is "" for the same form sent again. Whoever may edit students could have typed the e-mail, and asked
        for a password by it: an address that is not the student's own (`keeps_email`) is taken off, and every password
        and link ends. Raises ConflictError for who is switched off or has another role already, and when the account
        is not of the `version` that was looked at.
        """
        guard = Guard(self.session, by, Permission.STAFF_WRITE)
        person, role = guard.anyone(user_id), guard.role(role_id)
        if person.role_id == role.id:  # the form came twice
            return person, ""
        if person.role.name != STUDENT or not person.is_active:
            raise ConflictError(_("This person is already on staff, or their account is turned off."))
        self.check_version(person, version)
        values: dict[str, Any] = {"role_id": role.id, "password_hash": None}
        if person.email and not keeps_email(person, typed_by_others(self.session, [user_id])[user_id]):
            values["email"] = None
            if person.telegram_id is None and person.login is None:
                values["login"] = _no_login()
        self._end_all_links(user_id)
        history.describe(self.session, "role")
        self.assign(person, values)
        audit.note(
            self.session, Event.ROLE_CHANGED, user_id=user_id, before=STUDENT, after=role.name, **_runs_school(role)
        )
        self.sign_out(person)
        return person, self._invitation(person, role, by)

    def invite_again(self, user_id: int, by: int | None) -> tuple[User, str]:
        """A new link; those before it do not work any more. Raises ConflictError for who has come in already."""
        person = Guard(self.session, by, Permission.STAFF_WRITE).person(user_id)
        never = person.password_hash is None and (person.seen_at is None or self._waits(person))
        if not never or not person.is_active:
            raise ConflictError(_("This person has already joined, or their account is turned off."))
        end_links(self.session, user_id, INVITE)
        self.note(person, "invite")
        return person, self._invitation(person, person.role, by)

    def _invitation(self, person: User, role: Role, by: int | None) -> str:
        audit.note(self.session, Event.USER_INVITED, user_id=person.id, role=role.name, **_runs_school(role))
        secret = OneTimeTokenCRUD(self.session).issue(person.id, INVITE, INVITE_LIFE, by=by)
        if person.email:
            until = clock.now() + INVITE_LIFE
            LetterCRUD(self.session).post(
                "invite",
                to=person.email,
                language=current_language.get(),
                user_id=person.id,
                inviter=self.session.get_one(User, by).name,
                name=person.first_name,
                role=role_words(role.name),
                until=datetime_text(until),
                link=f"{settings_of(self.session).url}/invite/{secret}",
            )
        return secret

    def accept(self, secret: str, login: str | None, password_hash: str) -> User:
        """The invited person has chosen a login, or keeps to their e-mail, and a password.

        Works once. Raises NotFoundError for a link that does not work (any more), ConflictError for a taken login.
        """
        person = self.get_by_id(OneTimeTokenCRUD(self.session).redeem(secret, INVITE))
        if not person.is_active or person.password_hash is not None:
            raise NotFoundError
        self._end_all_links(person.id)
        drop_invitations(self.session, person.id)
        if login and login != person.login:
            self.refuse_taken(login)
            self.assign(person, {"login": login})
        elif not has_login(person.login):
            self.assign(person, {"login": None})
        self.set_password(person, password_hash)
        role = self.session.get_one(Role, person.role_id)
        audit.note(self.session, Event.USER_CREATED, user_id=person.id, role=role.name, **_runs_school(role))
        return person

    def refuse_taken(self, login: str) -> None:
        """Raises InvalidError for what is no login (an "@" would be read as an e-mail), ConflictError for a taken
        one.
        """
        if not LOGIN.fullmatch(login) or not login.isprintable():
            raise InvalidError(fields={"login": _("2 to 64 characters without spaces and “@”.")})
        if self.find_by_login(login):
            raise ConflictError(_("This login is taken."), fields={"login": _("This login is taken.")})

    def add_admin(self, login: str, *, password_hash: str | None, first_name: str = "") -> User:
        """Raises InvalidError, ConflictError: see refuse_taken."""
        login = login.strip()
        self.refuse_taken(login)
        made = self.create_staff(login=login, password_hash=password_hash, role=ADMIN, first_name=first_name)
        audit.note(self.session, Event.USER_CREATED, user_id=made.id, role=ADMIN)
        return made

    # -- their accounts

    def change(self, user_id: int, data: StaffForm, by: int | None) -> tuple[User, str]:
        """Name, login and e-mail, and the secret of a new invitation for who waits for one at another address.

        What else follows from that does so by whatever way it comes, see `mailboxes`. Raises ConflictError when someone
        else saved meanwhile or has the same.
        """
        person = Guard(self.session, by, Permission.STAFF_WRITE).person(user_id)
        self.check_version(person, data.version)
        values = data.model_dump(include={"first_name", "last_name", "email"})
        if data.login and data.login != person.login:
            if data.login.casefold() != person.login_key:
                self.refuse_taken(data.login)
            values["login"] = data.login
        if values["email"] is None and person.login is None and not data.login:
            raise InvalidError(fields={"email": _("Without a login, they need an email to sign in.")})
        known, waits = person.email_key, self._waits(person)
        self.assign(person, values)
        if person.email_key == known:
            return person, ""
        TrustedDeviceCRUD(self.session).forget(user_id)
        return person, self._invitation(person, person.role, by) if waits else ""

    def _waits(self, person: User) -> bool:
        """Whether the person was invited and has not come in."""
        return person.is_active and person.password_hash is None and awaits(self.session, person.id, INVITE)

    def set_role(self, user_id: int, role_id: int, by: int | None) -> tuple[User, str]:
        """Ends all their sessions: they come in anew with the rights that they have then.

        So do links that others may have seen: whoever waits to come in gets a new invitation, and this its secret.
        """
        guard = Guard(self.session, by, Permission.STAFF_WRITE)
        person, role = guard.person(user_id), guard.role(role_id)
        if role.id == person.role_id:
            return person, ""
        guard.keep_an_admin(person)
        was = person.role.name
        history.describe(self.session, "role")
        waits = self._waits(person)
        self._end_all_links(user_id)
        self.assign(person, {"role_id": role.id})
        audit.note(self.session, Event.ROLE_CHANGED, user_id=user_id, before=was, after=role.name, **_runs_school(role))
        self.sign_out(person)
        return person, self._invitation(person, role, by) if waits else ""

    def switch(self, user_id: int, active: bool, by: int | None) -> User:
        """Lets a person in or not. Switched off, they lose their sessions and their links in the same moment."""
        guard = Guard(self.session, by, Permission.STAFF_WRITE)
        person = guard.person(user_id)
        if person.is_active == active:
            return person
        if not active:
            guard.keep_an_admin(person)
            self._end_all_links(user_id)
        history.describe(self.session, "switch_on" if active else "switch_off")
        self.assign(person, {"is_active": active})
        if active:
            role = person.role
            audit.note(self.session, Event.USER_ENABLED, user_id=user_id, role=role.name, **_runs_school(role))
        else:
            audit.note(self.session, Event.USER_DISABLED, user_id=user_id)
        return self.sign_out(person)

    def lift_lock(self, user_id: int, by: int | None) -> None:
        """Not one's own: the throttle stands before a proof of who one is as well."""
        LockCRUD(self.session).lift(Guard(self.session, by, Permission.STAFF_WRITE).person(user_id).id)

    def sign_out_everywhere(self, user_id: int, by: int | None) -> User:
        person = Guard(self.session, by, Permission.STAFF_WRITE).person(user_id)
        self.note(person, "sign_out")
        end_links(self.session, user_id, *WAYS_IN)  # who came in there may have asked for one
        TrustedDeviceCRUD(self.session).forget(user_id)
        audit.note(self.session, Event.SESSION_ENDED, user_id=user_id, all=True)
        return self.sign_out(person)

    def sign_out(self, person: User) -> User:
        """Every session, in every process: those of an older number are dead."""
        SessionCRUD(self.session).revoke_all(person.id)
        return self.assign(person, {"token_version": person.token_version + 1})

    def make_link(self, user_id: int, by: int | None) -> str:
        """The secret of a link that signs the person in once, as the command line makes it."""
        person = Guard(self.session, by, Permission.STAFF_WRITE).person(user_id)
        if not person.is_active:
            raise ConflictError(_("This account is turned off."))
        if self._waits(person):
            raise ConflictError(_("This person has not accepted the invitation yet: create a new one instead."))
        self.note(person, "sign_in_link")
        audit.note(self.session, Event.LINK_CREATED, user_id=user_id)
        return OneTimeTokenCRUD(self.session).issue(user_id, SIGN_IN, SIGN_IN_LINK, by=by)

    def remove_factors(self, user_id: int, by: int | None) -> User:
        """For whoever has lost theirs: the next sign-in asks for the password alone, or for a new factor.

        Raises ConflictError when the school would lose the last administrator who can sign in.
        """
        guard = Guard(self.session, by, Permission.STAFF_WRITE)
        person = guard.person(user_id)
        gone = self.session.scalars(
            delete(Credential).where(Credential.user_id == user_id).returning(Credential.kind)
        ).all()
        if not gone:
            raise ConflictError(_("This person has no second factor."))
        if not guard.can_sign_in(person):  # a passkey was the only way
            guard.keep_an_admin(person)
        self.note(person, "remove_factors")
        TrustedDeviceCRUD(self.session).forget(user_id)
        audit.note(self.session, Event.FACTOR_REMOVED, user_id=user_id, kinds=sorted(set(gone)))
        return self.sign_out(person)

    def _end_all_links(self, user_id: int) -> None:
        end_links(self.session, user_id, *ALL)
        TrustedDeviceCRUD(self.session).forget(user_id)

    # -- all of them

    def admins(self) -> list[User]:
        """Active administrators, the eldest first."""
        statement = select(User).join(User.role).where(Role.name == ADMIN, User.is_active).order_by(User.id)
        return list(self.session.scalars(statement))

    def leaders(self) -> list[User]:
        """Active people, with their roles, whose role is administrative whatever it is called, the eldest first."""
        staff = select(User).join(User.role).where(Role.name != STUDENT, User.is_active).order_by(User.id)
        people = self.session.scalars(staff.options(contains_eager(User.role)))
        return [person for person in people if is_administrative(person.role.permissions)]

    def is_empty(self) -> bool:
        """Whether nobody at all is known yet: a database that nothing has happened in."""
        return self.session.scalars(select(User.id).limit(1)).one_or_none() is None
