"""The lists that take files: their fields, what tells their records apart, the rules that no schema knows."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from pydantic import BaseModel
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from backend.core import wording
from backend.core.errors import AppError
from backend.core.i18n import LANGUAGES, _, current_language
from backend.database.crud.base import BaseCRUD
from backend.database.crud.courses import CourseCRUD
from backend.database.crud.intake.plan import SKIPPED, Key, Seen, Verdict
from backend.database.crud.intake.texts import GAPS
from backend.database.crud.lessons import LessonCRUD
from backend.database.crud.promo_codes import PromoCodeCRUD
from backend.database.crud.users import StudentCRUD
from backend.database.models.promo_codes import PromoCode
from backend.database.models.users import User
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.courses import CourseCreate
from backend.database.schemas.imports import StudentRow
from backend.database.schemas.lessons import LessonCreate
from backend.database.schemas.promo_codes import PromoCodeCreate
from backend.database.search import key_of, normalise

LONGEST = 19  # digits of an id
WHOLE = ("id", "telegram_id")  # keys that are numbers


class Kind:
    """One of the lists that take files. `keys`: what may tell its records apart; the first is offered."""

    table: ClassVar[str]
    crud: ClassVar[type[BaseCRUD[Any]]]
    schema: ClassVar[type[BaseModel]]
    fields: ClassVar[tuple[str, ...]]
    keys: ClassVar[tuple[str, ...]]
    aliases: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Every field that a column may be."""
        return tuple(dict.fromkeys((*cls.keys, *cls.fields)))

    @classmethod
    def guess(cls, header: Sequence[str]) -> list[str]:
        """The field that each column seems to be, by its heading; SKIPPED where nothing fits or it is taken."""
        known = _headings(cls)
        found: list[str] = []
        for heading in header:
            name = known.get(_plain(heading), SKIPPED)
            found.append(SKIPPED if name in found else name)
        return found

    @classmethod
    def key_of(cls, key: str, text: str) -> Key | None:
        """The key that a cell means; None for none."""
        if key in WHOLE:
            digits = GAPS.sub("", text)
            found = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) <= LONGEST else 0
            return found if 0 < found <= MAX_ID else None
        return normalise(text) or None

    @classmethod
    def named(cls, key: str, wanted: Iterable[Key]) -> ColumnElement[bool]:
        """The records with these keys."""
        model = cls.crud.model
        if key == "title":
            return model.search_key.in_([key_of(str(text)) for text in wanted])  # type: ignore[no-any-return] # a column
        return getattr(model, key).in_(list(wanted))  # type: ignore[no-any-return] # the same

    @classmethod
    def own_key(cls, key: str, record: Any) -> Key:
        return normalise(record.title) if key == "title" else getattr(record, key)

    @classmethod
    def check(cls, crud: Any, record: Any | None, values: Mapping[str, Any]) -> None:
        """Raises AppError for what the schema does not know."""

    @classmethod
    def taken(cls, session: Session, verdicts: Sequence[Verdict], seen: Seen) -> None:
        """Makes wrong what another record or row has already, besides the key."""

    @classmethod
    def create(cls, crud: Any, values: Mapping[str, Any]) -> Any:
        return cls.crud.model(**values)


class _Students(StudentCRUD):
    """Asks once what role students have."""

    @cached_property
    def _role(self) -> int:
        return super().student_role_id()

    def student_role_id(self) -> int:
        return self._role


class Students(Kind):
    table, crud, schema = "users", _Students, StudentRow
    keys = ("telegram_id",)
    fields = ("first_name", "last_name", "username", "email", "language_code", "is_active", "source")
    aliases: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "telegram_id": ("telegram", "tg_id", "tgid", "chat_id", "user_id", "телеграм", "ид телеграм", "id телеграм"),
        "first_name": ("name", "имя ученика"),
        "last_name": ("surname", "family name"),
        "username": ("user name", "nick", "nickname", "ник", "логин", "имя пользователя", "логин в телеграм"),
        "email": ("mail", "почта", "электронная почта", "эл почта"),
        "language_code": ("language", "lang", "язык"),
        "is_active": ("access", "доступ"),
        "source": ("utm_source", "источник", "откуда"),
    }

    @classmethod
    def check(cls, crud: Any, record: Any | None, values: Mapping[str, Any]) -> None:
        if record is not None and not crud.is_student(record):
            raise AppError(_("This person is on staff and cannot be changed by an import."))

    @classmethod
    def taken(cls, session: Session, verdicts: Sequence[Verdict], seen: Seen) -> None:
        keys = [
            (verdict, str(verdict.values["email"]).casefold()) for verdict in verdicts if verdict.values.get("email")
        ]
        statement = select(User.email_key, User.id).where(User.email_key.in_([key for _verdict, key in keys]))
        owners: dict[Any, int] = dict(session.execute(statement).all()) if keys else {}
        for verdict, key in keys:
            own = verdict.record.id if verdict.record is not None else 0
            if owners.get(key, own) != own or seen.others.setdefault(key, id(verdict)) != id(verdict):
                verdict.state, verdict.words = "wrong", _("This email is already in use.")

    @classmethod
    def create(cls, crud: Any, values: Mapping[str, Any]) -> Any:
        return User(role_id=crud.student_role_id(), **values)


class Lessons(Kind):
    table, crud, schema = "lessons", LessonCRUD, LessonCreate
    keys = ("id", "title")
    fields = ("title", "description", "price", "is_free", "is_active", "text_content")
    aliases: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "id": ("№", "номер", "number", "ид"),
        "title": ("name", "lesson", "урок"),
        "price": ("stars", "звезды", "звёзды", "стоимость"),
        "text_content": ("text", "content", "содержание"),
        "is_active": ("on sale", "active", "в продаже"),
        "is_free": ("free", "бесплатный", "бесплатно"),
    }


class Courses(Kind):
    table, crud, schema = "courses", CourseCRUD, CourseCreate
    keys = ("id", "title")
    fields = ("title", "description", "total_price", "discount_price", "is_active")
    aliases: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "id": ("№", "номер", "number", "ид"),
        "title": ("name", "course", "курс"),
        "total_price": ("price", "stars", "цена", "стоимость"),
        "discount_price": ("discount", "sale price", "цена со скидкой"),
        "is_active": ("on sale", "active", "в продаже"),
    }


class PromoCodes(Kind):
    table, crud, schema = "promo_codes", PromoCodeCRUD, PromoCodeCreate
    keys = ("code",)
    fields = ("discount_percent", "discount_amount", "max_uses", "expires_at", "is_active")
    aliases: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "code": ("promo", "promo code", "промокод"),
        "discount_percent": ("percent", "discount", "%", "скидка", "процент"),
        "discount_amount": ("amount", "stars", "звезды", "звёзды"),
        "max_uses": ("uses", "limit", "лимит", "использований"),
        "expires_at": ("expires", "until", "срок", "до"),
        "is_active": ("active", "works", "действует"),
    }

    @classmethod
    def key_of(cls, key: str, text: str) -> Key | None:
        return text.casefold() or None

    @classmethod
    def named(cls, key: str, wanted: Iterable[Key]) -> ColumnElement[bool]:
        return PromoCode.code_key.in_(list(wanted))

    @classmethod
    def own_key(cls, key: str, record: Any) -> Key:
        return str(record.code_key)

    @classmethod
    def check(cls, crud: Any, record: Any | None, values: Mapping[str, Any]) -> None:
        if record is not None:
            crud.room(record, values.get("max_uses"))


KINDS: Mapping[str, type[Kind]] = {kind.table: kind for kind in (Students, Lessons, Courses, PromoCodes)}


def _plain(heading: str) -> str:
    folded = normalise(heading)
    return re.sub(r"[^\w%№]+", " ", folded.replace("_", " ")).strip()


def _headings(kind: type[Kind]) -> dict[str, str]:
    """Heading as people and our export write it -> field."""
    found: dict[str, str] = {}
    for name in kind.names():
        found[_plain(name)] = name
        for language in LANGUAGES:
            token = current_language.set(language)
            found.setdefault(_plain(wording.column(name)), name)
            current_language.reset(token)
    for name, others in kind.aliases.items():
        for heading in others:
            found.setdefault(_plain(heading), name)
    return found
