"""What students do: write, press, pay, block. The chat page and the tests act through this."""

import re
import secrets
import time
from typing import Any

from starlette.datastructures import UploadFile

from backend.sandbox import rules
from backend.sandbox.cashier import Invoice, Twist
from backend.sandbox.entities import detect, trim, units
from backend.sandbox.errors import Json, StudentError
from backend.sandbox.hub import Hub
from backend.sandbox.media import PHOTO_BYTES
from backend.sandbox.methods.messages import describe
from backend.sandbox.models import Bot, Chat, Message, Student
from backend.sandbox.store import load

PRESS_SECONDS = 10.0
RIGHTS = {"is_anonymous": False}


class Life:
    """One student in the chat with one bot."""

    def __init__(self, hub: Hub, bot: Bot, student: Student) -> None:
        if student.deleted:
            raise StudentError("deleted", "This account has been deleted.", 410)
        self.hub = hub
        self.world = hub.world
        self.bot = bot
        self.student = student

    @property
    def chat(self) -> Chat:
        return self.world.chat(self.bot.id, self.student.id)

    # --- writing

    def send(self, text: str, reply_to: int | None = None) -> Message:
        text, entities = trim(text, [])
        if not text:
            raise StudentError("empty", "Write something first.")
        if units(text) > rules.TEXT:
            raise StudentError("too_long", "A message holds at most 4096 characters.")
        body: Json = {"text": text}
        if found := detect(text, entities):
            body["entities"] = found
        return self._say(body, reply_to=reply_to)

    def start(self, payload: str = "") -> Message:
        """The Start button, or a deep link; also brings back a bot that was blocked."""
        if payload:
            rules.deep_link(payload)
        if self.chat.blocked:
            self.unblock()
        return self.send(f"/start {payload}".strip())

    async def send_file(self, kind: str, upload: UploadFile, caption: str = "") -> Message:
        if kind == "photo" and (upload.size or 0) > PHOTO_BYTES:
            kind = "document"
        stored = await self.hub.files.save(self.bot.id, kind, upload)
        text, _none = trim(caption, [])
        if units(text) > rules.CAPTION:
            raise StudentError("too_long", "A caption holds at most 1024 characters.")
        body: Json = {kind: describe(stored)}
        if text:
            body["caption"] = text
        return self._say(body, {"file_id": stored.file_id})

    def _say(self, body: Json, meta: Json | None = None, reply_to: int | None = None) -> Message:
        if self.chat.blocked:
            raise StudentError("blocked", "You have blocked this bot. Unblock it first.", 409)
        whole: Json = {"from": self.student.user, **body}
        if reply_to is not None:
            whole["reply_to_message"] = self.message(reply_to).body
        with self.world.store.tx():
            chat = self.chat
            chat.started = True
            if chat.state.get("keyboard", {}).get("one_time_keyboard"):
                chat.state.pop("keyboard")
            self.world.save_chat(chat)
            message = self.world.add_message(self.bot.id, self.student.id, whole, meta)
            self.world.push(self.bot, "message", message.body, self.student.id)
        return message

    def message(self, message_id: int) -> Message:
        message = self.world.find_message(self.bot.id, self.student.id, message_id)
        if message is None:
            raise StudentError("no_message", "There is no such message in this chat.", 404)
        return message

    # --- pressing

    def press(self, message_id: int, row: int, column: int) -> str:
        """Returns the id of the callback query, to wait for its answer with `pressed`."""
        message = self.message(message_id)
        button = button_at(message, row, column)
        if "callback_data" not in button:
            raise StudentError("not_a_callback", "This button sends nothing to the bot.")
        return self.press_data(message, button["callback_data"])

    def press_data(self, message: Message, data: str) -> str:
        """Also what a forged client can do: any data, pressed on any message."""
        if self.chat.blocked:
            raise StudentError("blocked", "You have blocked this bot. Unblock it first.", 409)
        query_id = str(secrets.randbits(62))
        query: Json = {
            "id": query_id,
            "from": self.student.user,
            "chat_instance": str(self.bot.id ^ self.student.id),
            "message": message.body,
            "data": data,
        }
        with self.world.store.tx():
            self.world.store.run(
                "INSERT INTO callbacks (id, bot_id, student_id, created) VALUES (?, ?, ?, ?)",
                query_id,
                self.bot.id,
                self.student.id,
                time.time(),
            )
            self.world.push(self.bot, "callback_query", query, self.student.id)
        return query_id

    async def pressed(self, query_id: str, seconds: float = PRESS_SECONDS) -> Json | None:
        """The bot's answer to a button; None when it left the button spinning."""

        def look() -> Json | None:
            answer = self.world.store.value("SELECT answer FROM callbacks WHERE id = ?", query_id)
            return None if answer is None else load(answer)

        found = await self.hub.signals.until(f"callback:{query_id}", look, seconds)
        if found is None:
            self.world.log(self.bot.id, self.student.id, "out", "answerCallbackQuery", "—", ok=False)
        return found

    # --- paying

    def invoice(self, message_id: int | None, link: str | None) -> Invoice:
        if link:
            return self.hub.cashier.of_link(self.bot, link)
        message = self.message(message_id) if message_id is not None else self._last_invoice()
        return self.hub.cashier.of_message(message)

    def _last_invoice(self) -> Message:
        for message in reversed(self.world.messages(self.bot.id, self.student.id)):
            if "for_sale" in message.meta and message.by_bot:
                return message
        raise StudentError("no_invoice", "There is no invoice in this chat.", 404)

    async def pay(self, invoice: Invoice, twist: Twist, payer: Student | None = None) -> Json:
        """Until the payment is settled, refused or has expired (10 s without an answer)."""
        query_id = self.hub.cashier.open(self.bot, payer or self.student, invoice, twist)
        return await self.paid(query_id, rules.CHECKOUT_SECONDS + twist.delay + 1)

    async def paid(self, query_id: str, seconds: float) -> Json:
        def look() -> Json | None:
            self.hub.cashier.settle_due()
            found = self.hub.cashier.outcome(query_id)
            return None if found is None or found["status"] == "accepted" else found

        found = await self.hub.signals.until(f"checkout:{query_id}", look, seconds)
        return found or self.hub.cashier.outcome(query_id) or {"id": query_id, "status": "asked"}

    # --- belonging

    def block(self) -> None:
        self._membership("member", "kicked")

    def unblock(self) -> None:
        self._membership("kicked", "member")

    def _membership(self, old: str, new: str) -> None:
        with self.world.store.tx():
            chat = self.chat
            if chat.blocked == (new == "kicked"):
                return
            chat.blocked = new == "kicked"
            self.world.save_chat(chat)
            change: Json = {
                "chat": self.student.chat,
                "from": self.student.user,
                "date": int(time.time()),
                "old_chat_member": _member(self.bot, old),
                "new_chat_member": _member(self.bot, new),
            }
            self.world.push(self.bot, "my_chat_member", change, self.student.id)

    def clear(self) -> None:
        """Empties the chat for the student; the bot is not told, as at Telegram."""
        with self.world.store.tx():
            self.world.store.run(
                "UPDATE messages SET deleted = 1 WHERE bot_id = ? AND chat_id = ?",
                self.bot.id,
                self.student.id,
            )
            chat = self.chat
            chat.state = {}
            self.world.save_chat(chat)


def _member(bot: Bot, status: str) -> Json:
    member: Json = {"status": status, "user": bot.user}
    if status == "kicked":
        member["until_date"] = 0
    return member


def button_at(message: Message, row: int, column: int) -> dict[str, Any]:
    rows = message.body.get("reply_markup", {}).get("inline_keyboard", [])
    if not (0 <= row < len(rows) and 0 <= column < len(rows[row])):
        raise StudentError("no_button", "There is no such button under this message.", 404)
    button: dict[str, Any] = rows[row][column]
    return button


def profile_of(given: Json) -> Json:
    """A Telegram profile: a first name, and what else the person shows."""
    first = str(given.get("first_name") or "").strip()
    if not 1 <= len(first) <= 64:
        raise StudentError("bad_name", "A first name has 1-64 characters.")
    profile: Json = {"first_name": first}
    for name in ("last_name", "username", "language_code"):
        value = str(given.get(name) or "").strip().removeprefix("@")
        if value:
            profile[name] = value
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{3,31}", profile.get("username", "good")):
        raise StudentError("bad_username", "A username has 4-32 letters, digits and underscores.")
    return profile
