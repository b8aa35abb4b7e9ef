"""What a text in the palette may mean besides what it is searched for: a number, a kind of record, a verb."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from backend.core.context import Principal
from backend.core.i18n import LANGUAGES, N_, translations
from backend.core.navigation import Item
from backend.core.permissions import Permission
from backend.crm.table.declare import TABLES
from backend.database.schemas.base import MAX_ID
from backend.database.search import normalise
from backend.database.search.keys import alternatives

T = TypeVar("T", bound="Item | Verb")
P = Permission
SHORTEST = 3  # of a word that stands for a longer one
NUMBER = re.compile(r"(?:#|№|no\.?)?\s?(\d{1,19})")  # № is written "no" once it is normalised


@dataclass(frozen=True)
class Kind:
    """A kind of record. `words`: what people call one of them, in either language."""

    name: str
    icon: str
    route: str
    parameter: str
    permission: Permission
    words: str
    numbered: bool = False  # known by its number
    table: str = ""  # its list, when that has another name


@dataclass(frozen=True)
class Verb:
    """`takes`: the kind of record that it is done to; without one it is done at once.

    `words`: what people may type for it besides its label; `does`: the verb of a list that its page asks about.
    """

    label: str
    icon: str
    route: str
    permission: Permission
    words: str
    takes: str = ""
    does: str = ""
    fits: Callable[[Any], bool] | None = None  # of a row of the list
    besides: Permission | None = None  # another right that it takes

    def is_for(self, me: Principal) -> bool:
        return me.may(self.permission) and (self.besides is None or me.may(self.besides))


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("students", "user", "crm:users:detail", "user_id", P.USERS_READ, "student ученик", table="users"),
        Kind(
            "tickets",
            "message-2",
            "crm:tickets:detail",
            "ticket_id",
            P.TICKETS_READ,
            "ticket тикет обращение",
            True,
            "ticket_list",
        ),
        Kind("lessons", "video", "crm:lessons:detail", "lesson_id", P.LESSONS_READ, "lesson урок"),
        Kind("courses", "books", "crm:courses:detail", "course_id", P.COURSES_READ, "course курс"),
        Kind("promo_codes", "discount", "crm:promo_codes:detail", "promo_id", P.PROMO_CODES_READ, "promocode промокод"),
        Kind(
            "purchases", "receipt", "crm:sales:detail", "purchase_id", P.PURCHASES_READ, "purchase sale покупка", True
        ),
        Kind("payments", "cash", "crm:payments:detail", "payment_id", P.PURCHASES_READ, "payment платеж", True),
    )
}
NEW = "new create add новый новая создать добавить"
VERBS: tuple[Verb, ...] = (
    Verb(N_("New lesson"), "plus", "crm:lessons:new", P.LESSONS_WRITE, f"{NEW} урок"),
    Verb(N_("New course"), "plus", "crm:courses:new", P.COURSES_WRITE, f"{NEW} курс"),
    Verb(N_("New promo code"), "plus", "crm:promo_codes:new", P.PROMO_CODES_WRITE, f"{NEW} промокод"),
    Verb(N_("New student"), "plus", "crm:users:new", P.USERS_WRITE, f"{NEW} ученик"),
    Verb(N_("New ticket"), "plus", "crm:tickets:new", P.TICKETS_WRITE, f"{NEW} write тикет обращение написать"),
)
DEEDS: tuple[Verb, ...] = (
    Verb(
        N_("Refund"), "receipt-refund", "crm:sales:ask_refund", P.PURCHASES_REFUND, "refund return возврат вернуть",
        "purchases",
    ),
    Verb(
        N_("Grant access"), "gift", "crm:grants:new", P.PURCHASES_GRANT,
        "grant give gift access выдать доступ подарить", "students",
    ),
    Verb(
        N_("Send message"), "send", "crm:tickets:new", P.TICKETS_WRITE, "write message написать сообщение", "students",
    ),
)  # fmt: skip


@cache
def deeds() -> tuple[Verb, ...]:
    """What can be done to one record: what has a page of its own, and every verb of every list."""
    return DEEDS + tuple(
        Verb(action.label, action.icon, f"crm:{table.name}:ask", table.write, _first_words(action.label), kind.name,
             action.verb, action.fits, table.crud.verbs[action.verb].right)
        for kind in KINDS.values()
        if (table := TABLES.get(kind.table or kind.name)) and table.write
        for action in table.actions
    )  # fmt: skip


def _first_words(label: str) -> str:
    """Of a verb's label in each language: by them it is called."""
    return " ".join(name.split()[0] for name in _names(label))


@cache
def _names(label: str) -> tuple[str, ...]:
    return tuple(normalise(translations(language).gettext(label)) for language in LANGUAGES)


@dataclass(frozen=True)
class Wish:
    """A record that the text names by number or by its words. `verb`: what is to be done to it; else it is opened."""

    kind: Kind
    number: int | None = None
    text: str = ""
    verb: Verb | None = None


def wishes(q: str, me: Principal) -> list[Wish]:
    """What a text asks for by a number or by its first words, as far as the person may have it."""
    number = _number(q)
    numbered = [Wish(kind, number) for kind in KINDS.values() if kind.numbered] if number is not None else []
    return [wish for wish in (*_led(q), *numbered) if _may(me, wish)]


def _led(q: str) -> Iterator[Wish]:
    """First words that name a kind or a verb, and what is behind them."""
    first, _space, rest = normalise(q).partition(" ")
    if not rest or len(first) < SHORTEST:
        return
    for verb in deeds():
        if _stands_for(first, verb.words) and (left := _object(verb, rest)):
            yield Wish(KINDS[verb.takes], _number(left), left, verb)
    for kind in KINDS.values():
        if _stands_for(first, kind.words):
            yield Wish(kind, _number(rest), rest)


def _object(verb: Verb, rest: str) -> str:
    """What it is done to: "give access masha", "delete lesson light". "" if the words name another kind of record."""
    own = {word for name in _names(verb.label) for word in name.split()}
    left = " ".join(word for word in rest.split() if word not in own and not _stands_for(word, verb.words)) or rest
    named, _space, behind = left.partition(" ")
    kinds = [kind.name for kind in KINDS.values() if behind and _stands_for(named, kind.words)]
    if not kinds:
        return left
    return behind if verb.takes in kinds else ""


def _number(text: str) -> int | None:
    found = NUMBER.fullmatch(text.strip())
    return int(found[1]) if found and found[1].isascii() and int(found[1]) <= MAX_ID else None


def _may(me: Principal, wish: Wish) -> bool:
    return me.may(wish.kind.permission) and (wish.verb is None or wish.verb.is_for(me))


def _stands_for(typed: str, words: str) -> bool:
    """The beginning of one of the words, in the other layout too."""
    return len(typed) >= SHORTEST and any(
        word.startswith(meant) for meant in alternatives(typed) for word in words.split()
    )


def fitting(q: str, items: Iterable[T], me: Principal) -> list[T]:
    """Those that the person may open and whose name, in either language, has every word of the text."""
    typed = [alternatives(word) if len(word) >= SHORTEST else (word,) for word in normalise(q).split()]
    return [item for item in items if me.may(item.permission) and all(_is_named(item, words) for words in typed)]


def _is_named(item: Item | Verb, meant: tuple[str, ...]) -> bool:
    more = normalise(item.words) if isinstance(item, Verb) else ""
    words = " ".join([*_names(item.label), more]).split()
    return any(word.startswith(meant) for word in words)
