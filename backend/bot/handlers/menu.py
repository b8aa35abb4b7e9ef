import re

from aiogram.filters import Command, CommandObject, CommandStart
from markupsafe import Markup

from backend.bot.client import Item
from backend.bot.handlers.catalogue import show_item
from backend.bot.keyboards import Place, at
from backend.bot.routes import TalkRouter
from backend.bot.screen import fill
from backend.bot.talk import Talk
from backend.bot.texts import checkout
from backend.bot.texts import menu as texts
from backend.core.i18n import _

THING = re.compile(r"(lesson|course)_([1-9][0-9]{0,17})")
CODE = re.compile(r"promo_(.+)")
SOME = 5  # lessons, of which the student may own a few
HOPELESS = {"unknown", "off", "expired", "used_up"}


async def start(talk: Talk, command: CommandObject) -> None:
    """/start, alone or with what a link carries: lesson_7, course_3, promo_SPRING."""
    link = command.args or ""
    if thing := THING.fullmatch(link):
        await show_item(talk, Item(thing[1], int(thing[2])))
        return
    code = CODE.fullmatch(link)
    refusal = code and await keep_promo(talk, code[1])
    await show_menu(talk, checkout.promo_refused(refusal) if refusal else None)


async def keep_promo(talk: Talk, code: str) -> str | None:
    """For the next purchase; why not, when it would count for none. It is asked about something on sale: what is wrong
    with a code itself is so for everything.
    """
    on_sale = await talk.api.lessons(is_free=False, limit=SOME)
    for lesson in on_sale.items:
        checked = await talk.api.check_promo(code, talk.student.id, Item("lesson", lesson.id))
        if checked.reason_code in HOPELESS:
            return checked.reason
        code = checked.code or code  # as the school writes it
        if checked.reason_code != "already_owned":
            break
    talk.memory.promo = code
    return None


async def show_menu(talk: Talk, note: Markup | None = None) -> None:
    free = await talk.api.lessons(is_free=True, limit=1)
    gift = next(iter(free.items), None)
    await talk.show(texts.menu(talk.student, talk.school, gift, promo=talk.memory.promo, note=note))


async def cancel(talk: Talk) -> None:
    await show_menu(talk, fill(_("Cancelled.")))


async def show_help(talk: Talk) -> None:
    await talk.show(texts.help_(talk.school))


async def show_terms(talk: Talk) -> None:
    await talk.show(checkout.terms(talk.school, accepted=talk.student.terms_accepted_at is not None))


async def agree(talk: Talk) -> None:
    talk.student = await talk.api.accept_terms(talk.student.id)
    await show_terms(talk)


def make_router() -> TalkRouter:
    router = TalkRouter(name="menu")
    router.said(start, CommandStart())
    router.said(show_menu, Command("menu"))
    router.said(cancel, Command("cancel"))
    router.said(show_help, Command("help"))
    router.said(show_terms, Command("terms"))
    router.pressed(show_menu, at(Place.MENU))
    router.pressed(cancel, at(Place.CANCEL))
    router.pressed(show_help, at(Place.HELP))
    router.pressed(show_terms, at(Place.TERMS))
    router.pressed(agree, at(Place.AGREE))
    return router
