"""Lessons and courses on sale."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiogram.types import InlineKeyboardButton
from markupsafe import Markup

from backend.bot.client import Item
from backend.bot.keyboards import (
    LABEL,
    PER_PAGE,
    Act,
    Go,
    Place,
    Show,
    back,
    button,
    go,
    keyboard,
    menu_row,
    pages_row,
    via_course,
    via_list,
)
from backend.bot.markup import clip
from backend.bot.screen import Screen, fill, page
from backend.core.i18n import _, ngettext
from backend.core.text import money_text
from backend.database.schemas.courses import CourseLessonResponse, CourseResponse
from backend.database.schemas.lessons import LessonResponse

DESCRIPTION = 3000
CODE = 24  # characters of a promo code that a button still shows


@dataclass(frozen=True)
class Offer:
    """What a thing costs this student now, in Stars; `refusal`: why the saved code counts not."""

    full: int
    price: int
    code: str | None = None
    refusal: str | None = None


def asked_of_lesson(lesson: LessonResponse | CourseLessonResponse) -> int:
    return 0 if lesson.is_free else lesson.price


def asked_of_course(course: CourseResponse) -> int:
    return course.total_price if course.discount_price is None else course.discount_price


def price_label(stars: int) -> str:
    return money_text(stars) if stars else _("free")


def row_label(title: str, stars: int, *, owned: bool) -> str:
    """ "✓ Title", or "Title · 199 ★" with the price whole however long the title is."""
    if owned:
        return f"✓ {clip(title, LABEL)}"
    price = price_label(stars)
    return f"{clip(title, LABEL - len(price))} · {price}"


@dataclass(frozen=True)
class Shown:
    """One page of a longer list."""

    number: int  # from 0
    pages: int


def lessons(rows: Sequence[LessonResponse], shown: Shown, owned: frozenset[int]) -> Screen:
    if not rows:
        return Screen(fill(_("No lessons available yet. Check back later.")), keyboard(menu_row()))
    buttons = [
        [
            button(
                row_label(row.title, asked_of_lesson(row), owned=row.id in owned),
                Show(kind="lesson", id=row.id, via=via_list(Place.LESSONS, shown.number)),
            )
        ]
        for row in rows
    ]
    return Screen(
        page(fill(_("<b>Lessons</b>")), fill(_("Tap one to learn more. ✓ marks what you own."))),
        keyboard(
            *buttons,
            pages_row(Go(place=Place.LESSONS, page=shown.number), shown.pages),
            [go(_("Courses"), Place.COURSES), *menu_row()],
        ),
    )


def courses(rows: Sequence[CourseResponse], shown: Shown, owned: frozenset[int]) -> Screen:
    if not rows:
        words = fill(_("No courses available yet. Take a look at the lessons."))
        return Screen(words, keyboard([go(_("Lessons"), Place.LESSONS), *menu_row()]))
    buttons = [
        [
            button(
                row_label(row.title, asked_of_course(row), owned=row.id in owned),
                Show(kind="course", id=row.id, via=via_list(Place.COURSES, shown.number)),
            )
        ]
        for row in rows
    ]
    return Screen(
        page(fill(_("<b>Courses</b>")), fill(_("A course is several lessons, cheaper together."))),
        keyboard(
            *buttons,
            pages_row(Go(place=Place.COURSES, page=shown.number), shown.pages),
            [go(_("Lessons"), Place.LESSONS), *menu_row()],
        ),
    )


def lesson(row: LessonResponse, offer: Offer, *, owned: bool, note: Markup | None = None, via: str = "") -> Screen:
    item = Item("lesson", row.id)
    may_open = owned or row.is_free
    buttons = [_open_row(item, via)] if may_open else _buy_rows(item, offer, via)
    return Screen(
        page(
            note,
            fill("<b>%(title)s</b>", title=row.title),
            _about(row.description),
            _inside(row),
            _price(offer, owned=owned),
        ),
        keyboard(*buttons, [back(via, Place.LESSONS), *menu_row()]),
    )


def course(  # noqa: PLR0913 - what a card is made of
    row: CourseResponse,
    offer: Offer,
    *,
    owned: bool,
    lessons_owned: frozenset[int] = frozenset(),
    number: int = 0,
    note: Markup | None = None,
    via: str = "",
) -> Screen:
    """`number`: which page of its lessons; `lessons_owned`: those that the student has anyway."""
    item = Item("course", row.id)
    pages = max(1, -(-len(row.lessons) // PER_PAGE))
    number = min(number, pages - 1)
    some = row.lessons[number * PER_PAGE : (number + 1) * PER_PAGE]
    buttons = [
        [
            button(
                _in_course(each, owned=owned or each.lesson_id in lessons_owned),
                Show(kind="lesson", id=each.lesson_id, via=via_course(row.id, number)),
            )
        ]
        for each in some
    ]
    count = ngettext("Includes %(num)s lesson.", "Includes %(num)s lessons.", len(row.lessons))
    return Screen(
        page(
            note,
            fill("<b>%(title)s</b>", title=row.title),
            _about(row.description),
            fill(count, num=len(row.lessons)),
            _price(offer, owned=owned),
        ),
        keyboard(
            *buttons,
            pages_row(Show(kind="course", id=row.id, page=number, via=via), pages),
            *([] if owned else _buy_rows(item, offer, via)),
            [back(via, Place.COURSES), *menu_row()],
        ),
    )


def _in_course(row: CourseLessonResponse, *, owned: bool) -> str:
    mark = "✓ " if owned else "🎁 " if row.is_free else ""
    return f"{mark}{row.position}. {clip(row.title, LABEL)}"


def _about(description: str) -> Markup | None:
    return fill("%(text)s", text=clip(description, DESCRIPTION)) if description.strip() else None


def _inside(row: LessonResponse) -> Markup | None:
    if row.has_video and row.has_text:
        return fill(_("Includes a video and text."))
    if row.has_video:
        return fill(_("Includes a video."))
    return fill(_("Includes text.")) if row.has_text else None


def _price(offer: Offer, *, owned: bool) -> Markup:
    if owned:
        return fill(_("✓ You own this."))
    if not offer.full:
        return fill(_("Free."))
    if offer.refusal:
        refused = fill(_("Promo code %(code)s: %(reason)s"), code=offer.code, reason=offer.refusal)
        return Markup("\n").join([_asked(offer.full), refused])
    if offer.code:
        return fill(
            _("Price: <s>%(full)s</s> <b>%(price)s</b> with promo code %(code)s"),
            full=money_text(offer.full),
            price=price_label(offer.price),
            code=offer.code,
        )
    return _asked(offer.full)


def _asked(stars: int) -> Markup:
    return fill(_("Price: <b>%(price)s</b>"), price=money_text(stars))


def _open_row(item: Item, via: str) -> list[InlineKeyboardButton]:
    return [button(_("▶ Open the lesson"), Act.on("open", item, via=via))]


def _buy_rows(item: Item, offer: Offer, via: str) -> list[list[InlineKeyboardButton]]:
    counts = offer.code is not None and offer.refusal is None
    price = offer.price if counts else offer.full
    buy = _("Buy for %(price)s") % {"price": money_text(price)} if price else _("Get it free")
    rows = [[button(buy, Act.on("buy", item, full=not counts, via=via))]]
    if offer.code:
        drop = _("Remove code %(code)s") % {"code": clip(offer.code, CODE)}
        rows.append([button(drop, Act.on("drop", item, via=via))])
    elif offer.full:
        rows.append([button(_("I have a promo code"), Act.on("promo", item, via=via))])
    return rows
