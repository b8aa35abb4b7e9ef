"""Who writes: the student behind a Telegram account, registered at the first word."""

import hashlib
import re
from typing import Any

from aiogram.types import CallbackQuery, Message, User

from backend.bot.client import Api
from backend.bot.http import ApiRefusedError
from backend.bot.memory import Memory
from backend.core.i18n import negotiate
from backend.database.schemas.users import UserResponse

NOT_FOUND = 404
LANGUAGE = re.compile(r"[A-Za-z0-9-]{2,16}")
START = re.compile(r"/start(?:@\w+)? ([A-Za-z0-9_-]{1,64})")
NAMELESS = "Telegram"  # an account may show a name of nothing but white space


def language_of(student: UserResponse) -> str:
    """What the student chose, else what Telegram reports."""
    return student.ui_language or negotiate(student.language_code)


def profile_of(person: User) -> dict[str, Any]:
    """What Telegram tells of a person, as /api takes it."""
    language = person.language_code or ""
    return {
        "telegram_id": person.id,
        "first_name": person.first_name.strip()[:128] or NAMELESS,
        "last_name": (person.last_name or "").strip()[:128] or None,
        "username": (person.username or "")[:64] or None,
        "language_code": language if LANGUAGE.fullmatch(language) else "en",
    }


async def resolve(api: Api, memory: Memory, person: User, event: Message | CallbackQuery) -> UserResponse:
    """The school is told again at a /start, or when Telegram tells something new of the person.

    Staff may have corrected a name, and every press of a button would undo that.
    """
    profile = profile_of(person)
    seen = hashlib.sha256(repr(sorted(profile.items())).encode()).hexdigest()[:16]
    known = memory.user_id
    starts = isinstance(event, Message) and (event.text or "").startswith("/start")
    if known is not None and memory.data.get("seen") == seen and not starts:
        try:
            student = await api.user(known)
        except ApiRefusedError as error:
            if error.status != NOT_FOUND:
                raise
        else:
            if student.telegram_id == person.id:
                return student
    student = await api.register(profile | _source(event))
    memory.data |= {"user": student.id, "seen": seen}
    return student


def _source(event: Message | CallbackQuery) -> dict[str, str]:
    """The deep link of the very first start."""
    text = event.text or "" if isinstance(event, Message) else ""
    link = START.fullmatch(text)
    return {"source": link[1]} if link else {}
