"""The link that opens the bot on a thing of the school, to be copied into posts and messages."""

from dataclasses import dataclass

from fastapi import Request

from backend.core.config import Settings
from backend.database.crud.settings import SettingCRUD


@dataclass(frozen=True)
class DeepLink:
    """`kind`: "telegram" or "sandbox" for an address, "command" while the bot has not said its name."""

    kind: str
    text: str


def deep_link(request: Request, stored: SettingCRUD, start: str) -> DeepLink:
    settings: Settings = request.app.state.settings
    if settings.sandbox_on:
        # The sandbox's bot has a name that at Telegram belongs to somebody else.
        return DeepLink("sandbox", f"{settings.url}/sandbox/?start={start}")
    bot = stored.find_bot(settings.bot_id)
    if bot is None:
        return DeepLink("command", f"/start {start}")
    return DeepLink("telegram", f"https://t.me/{bot['username']}?start={start}")
