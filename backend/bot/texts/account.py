"""The student's profile and language."""

from markupsafe import Markup

from backend.bot.keyboards import Place, Speak, button, go, keyboard, menu_row
from backend.bot.markup import clip
from backend.bot.screen import Screen, fill, page
from backend.core.i18n import _
from backend.core.text import date_text
from backend.database.schemas.users import UserResponse

NAME = 128


def profile(student: UserResponse, *, purchases: int) -> Screen:
    names = " ".join(filter(None, (student.first_name, student.last_name)))
    lines = [
        fill("<b>%(name)s</b>", name=clip(names, NAME)),
        fill("@%(username)s", username=student.username) if student.username else None,
        fill(_("Language: %(language)s"), language=_language(student.ui_language)),
        fill(_("With us since %(date)s"), date=date_text(student.created_at)),
        fill(_("My lessons and courses: %(num)s"), num=purchases),
    ]
    return Screen(
        Markup("\n").join(line for line in lines if line),
        keyboard(
            [go(_("My lessons"), Place.LIBRARY), go(_("My questions"), Place.TICKETS)],
            [go(_("Promo code"), Place.PROMO), go(_("Language"), Place.LANGUAGE)],
            [go(_("Terms of sale"), Place.TERMS), *menu_row()],
        ),
    )


def _language(chosen: str | None) -> str:
    return {"ru": "Русский", "en": "English"}.get(chosen or "", _("same as Telegram"))


def language(chosen: str | None, *, note: Markup | None = None) -> Screen:
    def choice(code: str | None, title: str) -> str:
        return f"✓ {title}" if code == chosen else title

    return Screen(
        page(note, fill(_("Which language should I use?"))),
        keyboard(
            [
                button(choice("ru", "Русский"), Speak(language="ru")),
                button(choice("en", "English"), Speak(language="en")),
            ],
            [button(choice(None, _("Same as Telegram")), Speak(language="auto"))],
            menu_row(),
        ),
    )


def language_chosen() -> Markup:
    return fill(_("Done. I'll use this language from now on."))


def suspended() -> Screen:
    words = _("Your account is closed. Contact support if you think this is a mistake.")
    return Screen(page(words), keyboard([go(_("Support"), Place.SUPPORT)]))
