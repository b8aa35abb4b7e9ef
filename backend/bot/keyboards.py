"""Buttons. What a button carries is compact and versioned by the digit in its prefix."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal, Self

from aiogram import F
from aiogram.filters.callback_data import CallbackData, CallbackQueryFilter
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from pydantic import Field

from backend.bot.client import Item
from backend.core.i18n import _
from backend.database.schemas.base import Id

PER_PAGE = 8
MOST_PAGES = 9999
LABEL = 48  # characters of a button that a phone still shows whole

Page = Annotated[int, Field(ge=0, le=MOST_PAGES)]


class Place(StrEnum):
    """A screen that needs nothing but its name."""

    MENU = "menu"
    LESSONS = "lessons"
    COURSES = "courses"
    LIBRARY = "my"
    PROMO = "promo"
    SUPPORT = "support"
    TICKETS = "tickets"
    NEW_TICKET = "ask"
    DRAFT = "draft"
    PROFILE = "profile"
    LANGUAGE = "lang"
    HELP = "help"
    TERMS = "terms"
    AGREE = "agree"
    CANCEL = "cancel"


# Where a card was opened from, as short as it can be: page 3 of the lessons, courses or the student's own ("l3", "k3",
# "m3"), or page 2 of course 12 ("c12.2"); "" is what the card's kind suggests. With the longest ids it makes 63 bytes.
VIA = r"^([lkm][0-9]{1,4}|c[1-9][0-9]{0,18}\.[0-9]{1,4})?$"
LISTS = {"l": Place.LESSONS, "k": Place.COURSES, "m": Place.LIBRARY}
Via = Annotated[str, Field(pattern=VIA)]


def via_list(place: Place, page: int) -> str:
    return next(sign for sign, listed in LISTS.items() if listed == place) + str(page)


def via_course(course_id: int, page: int) -> str:
    return f"c{course_id}.{page}"


class Grown(CallbackData, prefix=""):
    """Has learnt one more field, its last, `via`: buttons that were sent before it still work."""

    def pack(self) -> str:
        return super().pack().removesuffix(":")

    @classmethod
    def unpack(cls, value: str) -> Self:
        known = value.count(":") == len(cls.model_fields)
        return super().unpack(value if known else f"{value}:")


class Go(CallbackData, prefix="g1"):
    place: Place
    page: Page = 0


class Show(Grown, prefix="s1"):
    """One lesson, course or ticket. `page` counts its lessons, or its messages from the newest."""

    kind: Literal["lesson", "course", "ticket"]
    id: Id
    page: Page = 0
    via: Via = ""


class Act(Grown, prefix="a1"):
    """Something done with what can be bought. `full`: no promo code counts."""

    verb: Literal["buy", "agree", "open", "promo", "drop"]
    kind: Literal["lesson", "course"]
    id: Id
    full: bool = False
    via: Via = ""

    @classmethod
    def on(cls, verb: str, item: Item, *, full: bool = False, via: str = "") -> "Act":
        return cls.model_validate({"verb": verb, "kind": item.kind, "id": item.id, "full": full, "via": via})

    @property
    def item(self) -> Item:
        return Item(self.kind, self.id)


class OpenLesson(CallbackData, prefix="lesson"):
    """`lesson:7`, `course:3`, `ticket:42` stand under what other parts of the school send."""

    id: Id


class OpenCourse(CallbackData, prefix="course"):
    id: Id


class OpenTicket(CallbackData, prefix="ticket"):
    id: Id


class Reply(CallbackData, prefix="r1"):
    """One more message into a ticket."""

    id: Id


class Speak(CallbackData, prefix="l1"):
    language: Literal["ru", "en", "auto"]


Rows = Sequence[Sequence[InlineKeyboardButton]]


def button(text: str, data: CallbackData) -> InlineKeyboardButton:
    return InlineKeyboardButton(text=text, callback_data=data.pack())


def go(text: str, place: Place, page: int = 0) -> InlineKeyboardButton:
    return button(text, Go(place=place, page=page))


def keyboard(*rows: Sequence[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[list(row) for row in rows if row])


def menu_row() -> list[InlineKeyboardButton]:
    return [go(_("‹ Menu"), Place.MENU)]


def back(via: str, place: Place) -> InlineKeyboardButton:
    """From a card to where it was opened; `place` is the list of its kind."""
    if via.startswith("c"):
        course, _dot, number = via[1:].partition(".")
        return button(_("‹ Course"), Show(kind="course", id=int(course), page=int(number)))
    if via:
        place = LISTS[via[0]]
    words = {Place.LESSONS: _("‹ Lessons"), Place.COURSES: _("‹ Courses"), Place.LIBRARY: _("‹ My lessons")}
    return go(words[place], place, int(via[1:] or 0))


def cancel_row() -> list[InlineKeyboardButton]:
    return [go(_("Cancel"), Place.CANCEL)]


def pages_row(data: Go | Show, pages: int) -> list[InlineKeyboardButton]:
    """‹ 2 / 5 › as far as there is something to turn to; the number leads to the first page."""
    if pages <= 1:
        return []
    here = min(data.page, pages - 1)
    at = {"‹": here - 1, f"{here + 1} / {pages}": 0, "›": here + 1}
    return [button(text, data.model_copy(update={"page": page})) for text, page in at.items() if 0 <= page < pages]


def at(place: Place) -> CallbackQueryFilter:
    """Lets the buttons through that lead to a place."""
    return Go.filter(F.place == place)
