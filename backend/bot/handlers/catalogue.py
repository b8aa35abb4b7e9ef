from aiogram import F
from aiogram.filters import Command
from markupsafe import Markup

from backend.bot.client import Item
from backend.bot.http import ApiRefusedError
from backend.bot.keyboards import Act, Go, OpenCourse, Place, Show, at
from backend.bot.routes import TalkRouter
from backend.bot.shelf import Shelf, shelf_of, turn
from backend.bot.talk import Talk
from backend.bot.texts import catalogue as texts
from backend.bot.texts import checkout, menu
from backend.bot.texts.catalogue import Offer
from backend.core.i18n import _


async def lessons(talk: Talk, callback_data: Go | None = None) -> None:
    number = callback_data.page if callback_data else 0
    rows, shown = await turn(talk.api.lessons, number)
    shelf = await shelf_of(talk.api, talk.student.id)
    await talk.show(texts.lessons(rows, shown, shelf.lessons))


async def courses(talk: Talk, callback_data: Go | None = None) -> None:
    number = callback_data.page if callback_data else 0
    rows, shown = await turn(talk.api.courses, number)
    shelf = await shelf_of(talk.api, talk.student.id)
    await talk.show(texts.courses(rows, shown, shelf.courses))


async def card(talk: Talk, callback_data: Show) -> None:
    item = Item(callback_data.kind, callback_data.id)
    await show_item(talk, item, number=callback_data.page, via=callback_data.via)


async def course_from_receipt(talk: Talk, callback_data: OpenCourse) -> None:
    await show_item(talk, Item("course", callback_data.id))


async def drop_promo(talk: Talk, callback_data: Act) -> None:
    talk.memory.promo = None
    await show_item(talk, callback_data.item, note=checkout.promo_removed(), via=callback_data.via)


async def show_item(talk: Talk, item: Item, *, number: int = 0, note: Markup | None = None, via: str = "") -> None:
    """A lesson's or a course's card, as this student may see it; `via` is where it was opened from."""
    try:
        if item.kind == "lesson":
            await _show_lesson(talk, item, note, via)
        else:
            await _show_course(talk, item, number, note, via)
    except ApiRefusedError as error:
        await talk.show(menu.gone(error.told, item.kind))


async def _show_lesson(talk: Talk, item: Item, note: Markup | None, via: str) -> None:
    lesson = await talk.api.lesson(item.id)
    shelf = await shelf_of(talk.api, talk.student.id)
    owned = shelf.holds(item)
    if not (lesson.is_active or owned):
        await talk.show(menu.gone(_("This is not available right now."), item.kind))
        return
    offer = await _offer(talk, item, texts.asked_of_lesson(lesson), owned=owned)
    await talk.show(texts.lesson(lesson, offer, owned=owned, note=note, via=via))


async def _show_course(talk: Talk, item: Item, number: int, note: Markup | None, via: str) -> None:
    course = await talk.api.course(item.id)
    shelf: Shelf = await shelf_of(talk.api, talk.student.id)
    owned = shelf.holds(item)
    if not (course.is_active or owned):
        await talk.show(menu.gone(_("This is not available right now."), item.kind))
        return
    offer = await _offer(talk, item, texts.asked_of_course(course), owned=owned)
    inside = shelf.lessons
    await talk.show(texts.course(course, offer, owned=owned, lessons_owned=inside, number=number, note=note, via=via))


async def _offer(talk: Talk, item: Item, full: int, *, owned: bool) -> Offer:
    code = talk.memory.promo
    if code is None or owned or not full:
        return Offer(full, full)
    checked = await talk.api.check_promo(code, talk.student.id, item)
    return Offer(full, checked.price, code, None if checked.valid else checked.reason or _("it is not valid"))


def make_router() -> TalkRouter:
    router = TalkRouter(name="catalogue")
    router.said(lessons, Command("lessons"))
    router.said(courses, Command("courses"))
    router.pressed(lessons, at(Place.LESSONS))
    router.pressed(courses, at(Place.COURSES))
    router.pressed(card, Show.filter(F.kind.in_({"lesson", "course"})))
    router.pressed(course_from_receipt, OpenCourse.filter())
    router.pressed(drop_promo, Act.filter(F.verb == "drop"))
    return router
