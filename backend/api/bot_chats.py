"""What only the bot asks for: its memory of a chat, the right to poll, who blocked it, its name."""

from typing import Annotated

from fastapi import Path

from backend.core.deps import Routes, crud, require
from backend.core.permissions import Permission
from backend.database.crud.bot_chats import BotChatCRUD
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.leases import LeaseCRUD
from backend.database.crud.settings import BOT, SettingCRUD
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.bot_chats import (
    BotChatResponse,
    BotChatWrite,
    BotProfile,
    LeaseRequest,
    LeaseResponse,
    LeavingResponse,
    ResentResponse,
)

POLLER = "telegram-poller"

router = Routes(prefix="/api/bot", tags=["bot"], dependencies=[require(Permission.BOT)])
Chats = Annotated[BotChatCRUD, crud(BotChatCRUD)]
Dispatches = Annotated[DispatchCRUD, crud(DispatchCRUD)]
Leases = Annotated[LeaseCRUD, crud(LeaseCRUD)]
# Groups have negative ids.
TelegramId = Annotated[int, Path(ge=-MAX_ID, le=MAX_ID, examples=[123456789])]


@router.get("/chats/{telegram_id}", response_model=BotChatResponse, summary="The memory of a chat")
def get_chat(chats: Chats, telegram_id: TelegramId) -> object:
    """A chat never heard of has an empty memory."""
    return chats.of_chat(telegram_id)


@router.put("/chats/{telegram_id}", response_model=BotChatResponse, summary="Remember a chat")
def put_chat(chats: Chats, telegram_id: TelegramId, data: BotChatWrite) -> object:
    """Replaces the whole memory. `data` holds at most 8 KB of JSON. Of a chat without a student nothing is kept."""
    return chats.remember(telegram_id, data.state, data.data)


@router.get(
    "/chats/{telegram_id}/leaving",
    response_model=LeavingResponse,
    summary="Whether the school is about to write",
)
def leaving(dispatches: Dispatches, telegram_id: TelegramId) -> object:
    """A receipt stands before what was paid for: the bot waits for it."""
    return LeavingResponse(leaving=dispatches.leaving(telegram_id))


@router.post("/chats/{telegram_id}/blocked", status_code=204, summary="The student blocked the bot")
def blocked(dispatches: Dispatches, telegram_id: TelegramId) -> None:
    dispatches.mark_blocked(telegram_id)


@router.post(
    "/chats/{telegram_id}/unblocked",
    response_model=ResentResponse,
    summary="The student unblocked the bot",
)
def unblocked(dispatches: Dispatches, telegram_id: TelegramId) -> object:
    """What could not be delivered meanwhile leaves now."""
    return ResentResponse(resent=dispatches.mark_unblocked(telegram_id))


@router.post("/lease", response_model=LeaseResponse, summary="Take or renew the right to poll")
def lease(leases: Leases, data: LeaseRequest) -> object:
    """Of several processes exactly one polls Telegram: the one that is told `held: true`."""
    if data.seconds == 0:
        leases.release(POLLER, data.holder)
        return LeaseResponse(held=False)
    return LeaseResponse(held=leases.hold(POLLER, data.holder, data.seconds))


@router.put("/me", status_code=204, summary="Say who the bot is")
def put_me(settings: Annotated[SettingCRUD, crud(SettingCRUD)], data: BotProfile) -> None:
    """The dashboard makes the links to lessons, courses and promo codes of its `username`."""
    settings.put(BOT, data.model_dump())
