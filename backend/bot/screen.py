"""What the bot shows at once: a text in Telegram's HTML and the buttons under it."""

from dataclasses import dataclass

from aiogram.types import InlineKeyboardMarkup
from markupsafe import Markup


@dataclass(frozen=True)
class Screen:
    text: Markup
    keyboard: InlineKeyboardMarkup


def fill(message: str, **values: object) -> Markup:
    """A translated message, which may hold tags, with values, which are escaped."""
    return Markup(message) % values  # noqa: S704 - our own words


def page(*parts: Markup | str | None) -> Markup:
    """Paragraphs; what is empty is left out."""
    return Markup("\n\n").join(part for part in parts if part)
