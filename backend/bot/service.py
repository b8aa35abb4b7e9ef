"""The bot at work: one update after another in each chat, many chats at once."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakValueDictionary

import structlog
from aiogram import Bot
from aiogram.types import CallbackQuery, ChatMemberUpdated, Message, PreCheckoutQuery, Update
from aiogram.types.update import UpdateTypeLookupError

from backend.bot.client import Api
from backend.bot.handlers import ALLOWED_UPDATES, make_dispatcher
from backend.bot.http import ENDLESS, Patience
from backend.bot.payments import Settlement, charge_of, settle
from backend.bot.telegram import described
from backend.core.i18n import current_language, negotiate

log = structlog.get_logger()

REMEMBERED = 2000  # update ids; Telegram repeats an update soon or not at all


class Service:
    """Handles updates, however they come. Repeated ones do nothing."""

    def __init__(self, bot: Bot, api: Api, school: Callable[[], str]) -> None:
        self.bot = bot
        self.api = api
        self.dispatcher = make_dispatcher(school)
        self._lanes: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._handled: OrderedDict[int, None] = OrderedDict()

    async def handle(self, update: Update, payment_patience: Patience = ENDLESS) -> None:
        """Raises ApiUnavailableError for a payment that must come again: it is not acknowledged."""
        event = _event_of(update)
        if event is None or update.update_id in self._handled:
            return
        person = event.from_user
        current_language.set(negotiate(person.language_code if person else None))
        api = self.api.on_behalf(language=current_language.get(), cause=self._cause(update, event))
        if isinstance(event, PreCheckoutQuery) or person is None:
            await self._dispatch(update, api, None)  # ten seconds for an answer: it waits for nothing
        else:
            lane = self._lanes.setdefault(person.id, asyncio.Lock())
            async with lane:
                await self._in_turn(update, event, api, payment_patience)
        self._remember(update.update_id)

    async def _in_turn(self, update: Update, event: object, api: Api, payment_patience: Patience) -> None:
        if update.update_id in self._handled:  # its twin was ahead of it
            return
        charge = charge_of(event) if isinstance(event, Message) else None
        settlement = await settle(api.patient(payment_patience), charge) if charge else None
        await self._dispatch(update, api, settlement)

    async def _dispatch(self, update: Update, api: Api, settlement: Settlement | None) -> None:
        try:
            await self.dispatcher.feed_update(self.bot, update, api=api, settlement=settlement)
        except Exception as error:  # noqa: BLE001 - the last wall
            # The conversation has said what there is to say; the next update must not suffer.
            log.error("update_failed", update=update.update_id, error=described(error, self.bot))

    def _cause(self, update: Update, event: object) -> str:
        """Tells this update from any other, even when a new server counts from the start again."""
        return f"tg:{self.bot.id}:{update.update_id}:{_identity(event)}"

    def _remember(self, update_id: int) -> None:
        self._handled[update_id] = None
        if len(self._handled) > REMEMBERED:
            self._handled.popitem(last=False)


Event = Message | CallbackQuery | PreCheckoutQuery | ChatMemberUpdated


def _event_of(update: Update) -> Event | None:
    """None for what is none of ours: Telegram may still send kinds that an earlier start asked for."""
    try:
        kind = update.event_type
    except UpdateTypeLookupError:
        return None
    event = getattr(update, kind) if kind in ALLOWED_UPDATES else None
    return event if isinstance(event, Event) else None


def _identity(event: object) -> str:
    if isinstance(event, CallbackQuery | PreCheckoutQuery):
        return event.id
    if isinstance(event, Message):
        return f"{event.message_id}@{event.date.timestamp()}"
    assert isinstance(event, ChatMemberUpdated)
    return f"{event.date.timestamp()}"
