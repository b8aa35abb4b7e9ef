"""One student's update in progress: who it is, what is remembered, and how to show something."""

import time
from dataclasses import dataclass

import structlog
from aiogram import Bot
from aiogram.exceptions import TelegramAPIError, TelegramBadRequest
from aiogram.types import CallbackQuery, LabeledPrice, Message

from backend.bot.client import Api
from backend.bot.markup import clip
from backend.bot.memory import Living, Memory
from backend.bot.screen import Screen
from backend.bot.texts.checkout import Invoice
from backend.database.schemas.users import UserResponse

log = structlog.get_logger()

TOAST = 200  # characters of an answer to a button
CURRENCY = "XTR"
# What no text of Telegram's holds, and no database of ours takes, becomes a space.
CONTROL = {number: " " for number in range(32) if chr(number) not in "\n\t"}


@dataclass
class Talk:
    bot: Bot
    api: Api
    memory: Memory
    student: UserResponse
    school: str
    event: Message | CallbackQuery
    answered: bool = False

    @property
    def chat_id(self) -> int:
        return self.memory.telegram_id

    @property
    def text(self) -> str:
        """What the student has written."""
        return (self.event.text or "").translate(CONTROL) if isinstance(self.event, Message) else ""

    # --- the living message

    async def show(self, screen: Screen) -> None:
        """Edits the living message if its button was pressed; else moves it to the chat's end."""
        living = self.memory.living
        pressed = living is not None and living.editable and living.message_id == self._pressed
        if living is not None and pressed and await self._edit(living.message_id, screen):
            return
        sent = await self.bot.send_message(self.chat_id, screen.text, reply_markup=screen.keyboard)
        await self._replace(Living(sent.message_id, time.time()))

    async def show_invoice(self, invoice: Invoice) -> None:
        sent = await self.bot.send_invoice(
            self.chat_id,
            title=invoice.title,
            description=invoice.description,
            payload=invoice.payload,
            provider_token="",
            currency=CURRENCY,
            prices=[LabeledPrice(label=invoice.title, amount=invoice.amount)],
            start_parameter=invoice.start_parameter,
            reply_markup=invoice.keyboard,
        )
        await self._replace(Living(sent.message_id, time.time(), editable=False))

    def leave_invoice(self) -> None:
        """A paid invoice stays in the chat: it is the student's receipt."""
        if self.memory.living is not None and not self.memory.living.editable:
            self.memory.living = None

    async def take_away(self) -> None:
        """Removes the living message; the next screen comes at the end of the chat."""
        await self._replace(None)

    async def _edit(self, message_id: int, screen: Screen) -> bool:
        try:
            await self.bot.edit_message_text(
                screen.text,
                chat_id=self.chat_id,
                message_id=message_id,
                reply_markup=screen.keyboard,
            )
        except TelegramBadRequest as error:
            # Pressed twice: what is to be shown is there already.
            return "message is not modified" in error.message
        return True

    async def _replace(self, new: Living | None) -> None:
        old, self.memory.living = self.memory.living, new
        if old is None or (new and new.message_id == old.message_id):
            return
        try:
            if old.deletable:
                await self.bot.delete_message(self.chat_id, old.message_id)
            elif old.editable:
                await self.bot.edit_message_reply_markup(chat_id=self.chat_id, message_id=old.message_id)
        except TelegramAPIError as error:
            log.info("old_screen_stays", chat=self.chat_id, why=error.message)

    @property
    def _pressed(self) -> int | None:
        """The message whose button was pressed."""
        message = self.event.message if isinstance(self.event, CallbackQuery) else None
        return message.message_id if message else None

    # --- answers to buttons

    async def toast(self, words: str, *, alert: bool = False) -> None:
        """A few words over the chat; does nothing when no button was pressed."""
        await self.answer(clip(words, TOAST), alert=alert)

    async def answer(self, words: str | None = None, *, alert: bool = False) -> None:
        """Stops the button's spinner. Only the first answer counts."""
        if self.answered or not isinstance(self.event, CallbackQuery):
            return
        self.answered = True
        try:
            await self.event.answer(words, show_alert=alert)
        except TelegramBadRequest as error:
            log.info("button_not_answered", chat=self.chat_id, why=error.message)
