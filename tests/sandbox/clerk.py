"""A small but real bot for the page's tests: it greets, sells one thing and echoes."""

import contextlib
import threading

from aiogram.exceptions import TelegramAPIError
from aiogram.methods import (
    AnswerCallbackQuery,
    AnswerPreCheckoutQuery,
    EditMessageText,
    GetUpdates,
    SendInvoice,
    SendMessage,
    SetMyCommands,
)
from aiogram.types import (
    BotCommand,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    KeyboardButton,
    LabeledPrice,
    Message,
    ReplyKeyboardMarkup,
    Update,
)

from tests.sandbox.bots import Blocking

MENU = InlineKeyboardMarkup(
    inline_keyboard=[
        [InlineKeyboardButton(text="Buy", callback_data="buy")],
        [
            InlineKeyboardButton(text="Toast", callback_data="toast"),
            InlineKeyboardButton(text="Alert", callback_data="alert"),
            InlineKeyboardButton(text="Edit", callback_data="edit"),
        ],
        [InlineKeyboardButton(text="Site", url="https://school.example/")],
        [InlineKeyboardButton(text="Deep", url="https://t.me/lyceum_school_bot?start=deep")],
    ]
)


class Clerk:
    def __init__(self, api: str, token: str) -> None:
        self.bot = Blocking(api, token)
        self.bot(SetMyCommands(commands=[BotCommand(command="help", description="Помощь")]))
        self.stopping = False
        self.accepts = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.stopping = True
        self._thread.join(10)
        self.bot.close()

    def _run(self) -> None:
        while not self.stopping:
            for update in self.bot(GetUpdates(offset=self.bot.offset, timeout=1)):
                self.bot.offset = update.update_id + 1
                with contextlib.suppress(TelegramAPIError):  # a planned failure
                    self._handle(update)

    def _handle(self, update: Update) -> None:
        if update.message:
            self._message(update.message)
        elif update.callback_query:
            self._pressed(update.callback_query)
        elif update.pre_checkout_query:
            said = None if self.accepts else "Sold out, <sorry>."
            query_id = update.pre_checkout_query.id
            self.bot(AnswerPreCheckoutQuery(pre_checkout_query_id=query_id, ok=self.accepts, error_message=said))

    def _message(self, message: Message) -> None:
        chat, text = message.chat.id, message.text or message.caption or ""
        if message.successful_payment:
            self.bot(SendMessage(chat_id=chat, text="Open now", protect_content=True))
        elif message.refunded_payment:
            self.bot(SendMessage(chat_id=chat, text="Closed again"))
        elif text.startswith("/start"):
            self.bot(
                SendMessage(
                    chat_id=chat,
                    text=f"Hello <b>you</b> &lt;script&gt;{text[7:]}",
                    parse_mode="HTML",
                    reply_markup=MENU,
                )
            )
        else:
            menu = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="Menu")]])
            self.bot(SendMessage(chat_id=chat, text=f"You said {text}", reply_markup=menu))

    def _pressed(self, query: CallbackQuery) -> None:
        said = {"toast": "Saved", "alert": "Look <here>"}.get(query.data or "", "")
        self.bot(AnswerCallbackQuery(callback_query_id=query.id, text=said, show_alert=query.data == "alert"))
        chat = query.from_user.id
        if query.data == "buy":
            self.bot(
                SendInvoice(
                    chat_id=chat,
                    title="Light",
                    description="One lesson",
                    payload="token",
                    currency="XTR",
                    prices=[LabeledPrice(label="Light", amount=199)],
                    start_parameter="light",
                )
            )
        elif query.data == "edit" and query.message:
            self.bot(
                EditMessageText(
                    chat_id=chat,
                    message_id=query.message.message_id,
                    text="Edited",
                    reply_markup=MENU,
                )
            )
