from aiogram import Router
from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.types import ChatMemberUpdated

from backend.bot.client import Api


async def changed(event: ChatMemberUpdated, api: Api) -> None:
    """A student has blocked the bot, or taken it back; what is owed to them leaves then."""
    if event.chat.type != ChatType.PRIVATE:
        return
    blocked = event.new_chat_member.status == ChatMemberStatus.KICKED
    await api.blocked(event.chat.id, blocked=blocked)


def make_router() -> Router:
    router = Router(name="membership")
    router.my_chat_member.register(changed)
    return router
