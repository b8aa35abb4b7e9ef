"""Who exists and what was said: bots, students, their chats, messages, updates and the journal."""

import re
import secrets
import sqlite3
import time

from backend.sandbox.errors import Json, StudentError
from backend.sandbox.models import Bot, Chat, Message, Student
from backend.sandbox.signals import Signals
from backend.sandbox.store import Store, dump, load

DAY = 24 * 3600
JOURNAL_KEPT = 3000
FIRST_STUDENT = 7_000_000_001
PURSE = 100_000
# Telegram sends these only to bots that ask for them by name.
ON_REQUEST = frozenset({"chat_member", "message_reaction", "message_reaction_count"})


class World:
    def __init__(self, store: Store, signals: Signals) -> None:
        self.store = store
        self.signals = signals

    # --- bots

    def create_bot(self, name: str, username: str, token: str | None = None) -> Bot:
        """Stands for @BotFather. The number before the colon of the token is the bot's id."""
        if token is None:
            token = f"{self.store.next('bot', 4_200_000_001)}:sbx-{secrets.token_urlsafe(26)}"
        if not re.fullmatch(r"[1-9][0-9]{0,15}:[A-Za-z0-9_-]{3,}", token):
            raise StudentError("bad_token", "A bot token looks like 123456:ABC-def.")
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{3,31}", username):
            raise StudentError("bad_username", "A bot's username is 4-32 letters, digits and _.")
        bot_id = int(token.partition(":")[0])
        state: Json = {"name": name, "username": username, "created": time.time(), "rules": {}}
        with self.store.tx():
            self.store.run(
                "INSERT INTO bots VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET token = excluded.token",
                bot_id,
                token,
                dump(state),
            )
        return self.bot(bot_id)

    def bots(self) -> list[Bot]:
        rows = self.store.all("SELECT * FROM bots ORDER BY rowid")
        return [Bot(row["id"], row["token"], load(row["state"])) for row in rows]

    def bot(self, bot_id: int) -> Bot:
        row = self.store.one("SELECT * FROM bots WHERE id = ?", bot_id)
        if row is None:
            raise StudentError("no_bot", "There is no such bot.", 404)
        return Bot(row["id"], row["token"], load(row["state"]))

    def bot_by_token(self, token: str) -> Bot | None:
        row = self.store.one("SELECT * FROM bots WHERE token = ?", token)
        return None if row is None else Bot(row["id"], row["token"], load(row["state"]))

    def save_bot(self, bot: Bot) -> None:
        self.store.run("UPDATE bots SET state = ? WHERE id = ?", dump(bot.state), bot.id)

    # --- students

    def create_student(self, profile: Json, hue: int | None = None, student_id: int | None = None) -> Student:
        with self.store.tx():
            if student_id is None:
                student_id = self.store.next("student", FIRST_STUDENT)
            if self.find_student(student_id) is not None:
                raise StudentError("taken", "There is a student with this id already.", 409)
            self.store.run(
                "INSERT INTO students (id, profile, hue, stars) VALUES (?, ?, ?, ?)",
                student_id,
                dump(profile),
                hue if hue is not None else student_id % 6 + 1,
                PURSE,
            )
        self.signals.wake("page")
        return self.student(student_id)

    def find_student(self, student_id: int) -> Student | None:
        row = self.store.one("SELECT * FROM students WHERE id = ?", student_id)
        if row is None:
            return None
        return Student(row["id"], load(row["profile"]), row["hue"], row["stars"], bool(row["deleted"]))

    def student(self, student_id: int) -> Student:
        student = self.find_student(student_id)
        if student is None:
            raise StudentError("no_student", "There is no such student.", 404)
        return student

    def students(self) -> list[Student]:
        rows = self.store.all("SELECT id FROM students ORDER BY id")
        return [self.student(row["id"]) for row in rows]

    def save_student(self, student: Student) -> None:
        self.store.run(
            "UPDATE students SET profile = ?, hue = ?, deleted = ? WHERE id = ?",
            dump(student.profile),
            student.hue,
            student.deleted,
            student.id,
        )
        self.signals.wake("page")

    # --- chats

    def chat(self, bot_id: int, student_id: int) -> Chat:
        row = self.store.one("SELECT * FROM chats WHERE bot_id = ? AND student_id = ?", bot_id, student_id)
        if row is None:
            return Chat(bot_id, student_id, False, False, 0, {})
        return Chat(
            bot_id,
            student_id,
            bool(row["started"]),
            bool(row["blocked"]),
            row["rev"],
            load(row["state"]),
        )

    def save_chat(self, chat: Chat) -> None:
        """Also marks the chat as changed, for those who watch it."""
        chat.rev = self.store.next("rev")
        self.store.run(
            "INSERT INTO chats VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (bot_id, student_id) DO UPDATE"
            " SET started = excluded.started, blocked = excluded.blocked,"
            " rev = excluded.rev, state = excluded.state",
            chat.bot_id,
            chat.student_id,
            chat.started,
            chat.blocked,
            chat.rev,
            dump(chat.state),
        )
        self.signals.wake(f"chat:{chat.bot_id}:{chat.student_id}")
        self.signals.wake("page")

    # --- messages

    def add_message(self, bot_id: int, chat_id: int, body: Json, meta: Json | None = None) -> Message:
        """`body` without message_id, date and chat, which are filled in here."""
        with self.store.tx():
            chat = self.chat(bot_id, chat_id)
            self.save_chat(chat)
            message_id = self.store.next(f"message:{bot_id}")
            date = int(time.time())
            student = self.student(chat_id)
            whole = {"message_id": message_id, "date": date, "chat": student.chat, **body}
            self.store.run(
                "INSERT INTO messages (bot_id, message_id, chat_id, date, rev, body, meta)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                bot_id,
                message_id,
                chat_id,
                date,
                chat.rev,
                dump(whole),
                dump(meta or {}),
            )
        return Message(bot_id, message_id, chat_id, date, chat.rev, whole, meta or {})

    def save_message(self, message: Message) -> None:
        with self.store.tx():
            chat = self.chat(message.bot_id, message.chat_id)
            self.save_chat(chat)
            message.rev = chat.rev
            self.store.run(
                "UPDATE messages SET body = ?, meta = ?, rev = ? WHERE bot_id = ? AND message_id = ?",
                dump(message.body),
                dump(message.meta),
                message.rev,
                message.bot_id,
                message.message_id,
            )

    def delete_message(self, message: Message) -> None:
        with self.store.tx():
            self.save_chat(self.chat(message.bot_id, message.chat_id))
            self.store.run(
                "UPDATE messages SET deleted = 1 WHERE bot_id = ? AND message_id = ?",
                message.bot_id,
                message.message_id,
            )

    def find_message(self, bot_id: int, chat_id: int, message_id: int) -> Message | None:
        row = self.store.one(
            "SELECT * FROM messages WHERE bot_id = ? AND message_id = ? AND chat_id = ? AND deleted = 0",
            bot_id,
            message_id,
            chat_id,
        )
        return None if row is None else _message(row)

    def messages(self, bot_id: int, chat_id: int, limit: int = 200) -> list[Message]:
        """The last messages of a chat, oldest first."""
        rows = self.store.all(
            "SELECT * FROM messages WHERE bot_id = ? AND chat_id = ? AND deleted = 0 ORDER BY message_id DESC LIMIT ?",
            bot_id,
            chat_id,
            limit,
        )
        return [_message(row) for row in reversed(rows)]

    # --- updates

    def push(self, bot: Bot, kind: str, body: Json, student_id: int) -> int | None:
        """Queues an update; None when the bot did not ask for this kind."""
        allowed = bot.state.get("allowed_updates")
        if kind not in allowed if allowed else kind in ON_REQUEST:
            return None
        with self.store.tx():
            update_id = self.store.next(f"update:{bot.id}", 500_000_001)
            self.store.run(
                "INSERT INTO updates (bot_id, update_id, body, created) VALUES (?, ?, ?, ?)",
                bot.id,
                update_id,
                dump({"update_id": update_id, kind: body}),
                time.time(),
            )
            self.log(bot.id, student_id, "in", _name(kind, body), _note(kind, body))
        self._arrived(bot.id)
        return update_id

    def _arrived(self, bot_id: int) -> None:
        self.signals.wake(f"updates:{bot_id}")
        self.signals.wake("pulse")

    def pending(self, bot_id: int, offset: int, limit: int) -> list[Json]:
        """What waits at or after `offset`; a negative offset counts from the end."""
        self.store.run(
            "DELETE FROM updates WHERE bot_id = ? AND done = 0 AND created < ?",
            bot_id,
            time.time() - DAY,
        )
        if offset < 0:
            first = self.store.value(
                "SELECT min(update_id) FROM (SELECT update_id FROM updates WHERE bot_id = ?"
                " AND done = 0 ORDER BY update_id DESC LIMIT ?)",
                bot_id,
                -offset,
            )
            offset = first or 0
        self.confirm(bot_id, offset)
        rows = self.store.all(
            "SELECT update_id, body FROM updates WHERE bot_id = ? AND done IN (0, 2) ORDER BY update_id LIMIT ?",
            bot_id,
            limit,
        )
        if rows:
            # A repeated update (2) is shown once whatever the offset; now it is like any other.
            self.store.run(
                "UPDATE updates SET done = 0 WHERE bot_id = ? AND done = 2 AND update_id <= ?",
                bot_id,
                rows[-1]["update_id"],
            )
        return [load(row["body"]) for row in rows]

    def repeat(self, bot_id: int, update_id: int | None = None) -> int:
        """Delivers an update once more under the same id, as Telegram does after a lost answer."""
        update_id = update_id or self.store.value("SELECT max(update_id) FROM updates WHERE bot_id = ?", bot_id)
        touched = self.store.run(
            "UPDATE updates SET done = 2, created = ? WHERE bot_id = ? AND update_id = ?",
            time.time(),
            bot_id,
            update_id,
        )
        if not touched or update_id is None:
            raise StudentError("no_update", "There is no such update to repeat.", 404)
        self._arrived(bot_id)
        return update_id

    def confirm(self, bot_id: int, below: int) -> None:
        if below > 0:
            self.store.run(
                "UPDATE updates SET done = 1 WHERE bot_id = ? AND done = 0 AND update_id < ?",
                bot_id,
                below,
            )

    # --- journal

    def log(  # noqa: PLR0913 - a line has this many columns
        self,
        bot_id: int,
        student_id: int | None,
        direction: str,
        name: str,
        note: str = "",
        *,
        ok: bool = True,
        detail: Json | None = None,
    ) -> None:
        """`direction` is seen from the bot's server: "in" is an update, "out" a call of the bot."""
        self.store.run(
            "INSERT INTO journal (bot_id, student_id, at, direction, name, ok, note, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            bot_id,
            student_id,
            time.time(),
            direction,
            name,
            ok,
            note[:200],
            dump(detail or {}),
        )
        last: int = self.store.value("SELECT max(id) FROM journal")
        if last % 100 == 0:
            self.store.run("DELETE FROM journal WHERE id <= ?", last - JOURNAL_KEPT)
        self.signals.wake("page")


def _message(row: sqlite3.Row) -> Message:
    return Message(
        row["bot_id"],
        row["message_id"],
        row["chat_id"],
        row["date"],
        row["rev"],
        load(row["body"]),
        load(row["meta"]),
    )


def _name(kind: str, body: Json) -> str:
    for service in ("successful_payment", "refunded_payment"):
        if service in body:
            return service
    return kind


def _note(kind: str, body: Json) -> str:
    for service in ("successful_payment", "refunded_payment"):
        if service in body:
            paid = body[service]
            return f"{paid['total_amount']} XTR · {paid['telegram_payment_charge_id']}"
    if kind == "pre_checkout_query":
        return f"{body['total_amount']} XTR · {body['invoice_payload']}"
    if kind == "my_chat_member":
        return f"{body['old_chat_member']['status']} → {body['new_chat_member']['status']}"
    return str(body.get("data") or body.get("text") or body.get("caption") or "")
