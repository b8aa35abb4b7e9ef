"""What the bot does about each update: one router a domain, asked in order."""

from collections.abc import Callable

from aiogram import Dispatcher

from backend.bot.handlers import (
    account,
    catalogue,
    checkout,
    fallback,
    library,
    membership,
    menu,
    support,
)
from backend.bot.middleware import Conversation

ALLOWED_UPDATES = ["message", "callback_query", "pre_checkout_query", "my_chat_member"]


def make_dispatcher(school: Callable[[], str]) -> Dispatcher:
    """Expects `api` beside each update. aiogram's dialogue storage is off: Memory has its place."""
    dispatcher = Dispatcher(disable_fsm=True)
    conversation = Conversation(school)
    dispatcher.message.outer_middleware(conversation)
    dispatcher.callback_query.outer_middleware(conversation)
    # Commands before dialogues: /cancel, or any other, always gets a student out.
    for module in (menu, catalogue, account, checkout, library, support, membership, fallback):
        dispatcher.include_router(module.make_router())
    return dispatcher
