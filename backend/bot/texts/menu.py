"""The menu, help, and what is said when something is not understood or does not work."""

from collections.abc import Sequence

from aiogram.types import BotCommand
from markupsafe import Markup

from backend.bot.keyboards import Place, Show, button, go, keyboard, menu_row
from backend.bot.markup import clip
from backend.bot.screen import Screen, fill, page
from backend.core.i18n import _
from backend.database.schemas.lessons import LessonResponse
from backend.database.schemas.users import UserResponse

NAME = 64
WORDS = 1000


def menu(
    student: UserResponse,
    school: str,
    free: LessonResponse | None,
    *,
    promo: str | None = None,
    note: Markup | None = None,
) -> Screen:
    hello = fill(
        _("%(name)s, welcome to <b>%(school)s</b>."),
        name=clip(student.first_name, NAME),
        school=school,
    )
    about = _(
        "The lessons live right here in the chat: choose one, pay with Telegram Stars, learn whenever it suits you."
    )
    saved = promo and fill(_("Promo code <b>%(code)s</b> is saved for your next purchase."), code=promo)
    gift = [button(_("🎁 Free lesson"), Show(kind="lesson", id=free.id))] if free else []
    return Screen(
        page(note, hello, fill(about), saved, _("What shall we open?")),
        keyboard(
            gift,
            [go(_("Lessons"), Place.LESSONS), go(_("Courses"), Place.COURSES)],
            [go(_("My lessons"), Place.LIBRARY), go(_("Support"), Place.SUPPORT)],
            [go(_("Profile"), Place.PROFILE), go(_("Help"), Place.HELP)],
        ),
    )


def help_(school: str) -> Screen:
    lines = (
        ("start", _("the menu")),
        ("lessons", _("all lessons")),
        ("courses", _("all courses")),
        ("my", _("what you have bought")),
        ("promo", _("enter a promo code")),
        ("support", _("write to us")),
        ("paysupport", _("questions about a payment")),
        ("profile", _("your profile")),
        ("language", _("choose the language")),
        ("terms", _("terms of sale")),
        ("cancel", _("cancel the current action")),
    )
    listed = [fill("/%(command)s — %(words)s", command=command, words=words) for command, words in lines]
    return Screen(
        page(
            fill(_("<b>%(school)s</b>: what I can do"), school=school),
            Markup("\n").join(listed),
            fill(_("A person answers in support, not a robot.")),
        ),
        keyboard([go(_("Support"), Place.SUPPORT), *menu_row()]),
    )


def commands() -> Sequence[tuple[str, str]]:
    """What Telegram lists beside the field for typing."""
    return (
        ("start", _("Menu")),
        ("lessons", _("Lessons")),
        ("courses", _("Courses")),
        ("my", _("My lessons")),
        ("promo", _("Promo code")),
        ("support", _("Support")),
        ("paysupport", _("Questions about a payment")),
        ("profile", _("Profile")),
        ("language", _("Language")),
        ("terms", _("Terms of sale")),
        ("help", _("Help")),
        ("cancel", _("Cancel")),
    )


def command_list() -> list[BotCommand]:
    return [BotCommand(command=name, description=words) for name, words in commands()]


def not_understood(*, draft: bool) -> Screen:
    """`draft`: the words are kept and can be handed to support."""
    words = _("I am a bot and understand buttons best. Choose one, or ask a person: support reads everything.")
    hand_over = [go(_("Send this to support"), Place.DRAFT)] if draft else []
    return Screen(
        fill(words),
        keyboard(
            hand_over,
            [go(_("Lessons"), Place.LESSONS), go(_("My lessons"), Place.LIBRARY)],
            [go(_("Support"), Place.SUPPORT), *menu_row()],
        ),
    )


def trouble(words: str) -> Screen:
    """Something failed; `words` say what, in the student's language."""
    return Screen(
        page(fill("⚠️ %(words)s", words=clip(words, WORDS))),
        keyboard([go(_("Support"), Place.SUPPORT), *menu_row()]),
    )


def gone(words: str, kind: str = "lesson") -> Screen:
    """A lesson, a course or a ticket that is not there (any more); others of its kind may be."""
    others = {
        "course": go(_("Courses"), Place.COURSES),
        "ticket": go(_("My questions"), Place.TICKETS),
    }.get(kind, go(_("Lessons"), Place.LESSONS))
    return Screen(page(fill("%(words)s", words=clip(words, WORDS))), keyboard([others, *menu_row()]))


def stale_button() -> str:
    return _("This button is out of date. Here is the menu.")


def broken() -> str:
    return _("Something went wrong on our side. Try again, and contact support if it happens again.")


def private_only() -> str:
    return _("Write to me in a private chat.")
