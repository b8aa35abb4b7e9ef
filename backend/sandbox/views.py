"""What the chat page shows, ready for its templates."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from markupsafe import Markup

from backend.core import text as words
from backend.sandbox.errors import Json
from backend.sandbox.hub import Hub
from backend.sandbox.models import Bot, Chat, Message, Student
from backend.sandbox.render import Inside, paragraphs, safe, to_page
from backend.sandbox.store import load

CONTACTS = 100
BUBBLES = 150
LINES = 60


@dataclass
class Key:
    """A button under a message. `href` for links and payments; the others press row:column."""

    text: str
    row: int
    column: int
    href: str = ""
    outside: bool = False
    pay: bool = False


@dataclass
class Bubble:
    id: int
    rev: int
    out: bool
    at: datetime
    day: date | None  # set on the first message of a day
    text: Markup
    edited: bool
    protected: bool
    paid: bool
    quote: str
    invoice: Json | None
    payment: Json | None
    refund: Json | None
    title: str
    media: dict[str, str] = field(default_factory=dict)
    keys: list[list[Key]] = field(default_factory=list)

    @property
    def service(self) -> bool:
        return bool(self.payment or self.refund)

    @property
    def wide(self) -> bool:
        return bool(self.keys or self.media or self.invoice)


@dataclass
class Contact:
    student: Student
    blocked: bool
    at: datetime | None
    last: Json


@dataclass
class Line:
    """One line of what the server sees."""

    out: bool
    ok: bool
    name: str
    note: str
    at: datetime
    detail: dict[str, Any]

    @property
    def clock(self) -> str:
        return f"{words.local(self.at):%H:%M:%S}"


def moment(stamp: float) -> datetime:
    return datetime.fromtimestamp(stamp, UTC)


class Views:
    def __init__(self, hub: Hub, bot: Bot) -> None:
        self.hub = hub
        self.world = hub.world
        self.bot = bot

    def contacts(self) -> list[Contact]:
        rows = self.hub.store.all(
            "SELECT s.id, coalesce(c.blocked, 0) AS blocked,"
            " (SELECT body FROM messages m WHERE m.bot_id = ? AND m.chat_id = s.id"
            "  AND m.deleted = 0 ORDER BY m.message_id DESC LIMIT 1) AS last"
            " FROM students s LEFT JOIN chats c ON c.bot_id = ? AND c.student_id = s.id"
            " WHERE s.deleted = 0 ORDER BY coalesce(c.rev, 0) DESC, s.id LIMIT ?",
            self.bot.id,
            self.bot.id,
            CONTACTS,
        )
        return [self._contact(dict(row)) for row in rows]

    def _contact(self, row: Json) -> Contact:
        last = load(row["last"]) if row["last"] else {}
        at = moment(last["date"]) if last else None
        return Contact(self.world.student(row["id"]), bool(row["blocked"]), at, last)

    def bubbles(self, student: Student) -> list[Bubble]:
        place: dict[str, object] = {"bot": self.bot.id, "student": student.id}
        inside = to_page(self.bot.state["username"], place)
        shown, day = [], None
        for message in self.world.messages(self.bot.id, student.id, BUBBLES):
            bubble = self._bubble(message, inside, place)
            today = words.local(bubble.at).date()
            bubble.day = today if today != day else None
            day = today
            shown.append(bubble)
        return shown

    def _bubble(self, message: Message, inside: Inside, place: dict[str, object]) -> Bubble:
        body = message.body
        text = body.get("text") or body.get("caption") or ""
        entities = body.get("entities") or body.get("caption_entities") or []
        quoted = body.get("reply_to_message", {})
        return Bubble(
            id=message.message_id,
            rev=message.rev,
            out=not message.by_bot,
            at=moment(message.date),
            day=None,
            text=paragraphs(text, entities, inside),
            edited="edit_date" in body,
            protected=bool(body.get("has_protected_content")),
            paid=bool(message.meta.get("paid")),
            quote=str(quoted.get("text") or quoted.get("caption") or ""),
            invoice=body.get("invoice"),
            payment=body.get("successful_payment"),
            refund=body.get("refunded_payment"),
            title=str(message.meta.get("title", "")),
            media=self._media(body),
            keys=_keys(message, inside, place),
        )

    def _media(self, body: Json) -> dict[str, str]:
        for kind in ("photo", "video", "document"):
            if kind in body:
                shown = body[kind][-1] if kind == "photo" else body[kind]
                url = f"/sandbox/media/{self.bot.id}/{shown['file_id']}"
                return {"kind": kind, "url": url, "name": str(shown.get("file_name", ""))}
        return {}

    def lines(self) -> list[Line]:
        rows = self.hub.store.all("SELECT * FROM journal WHERE bot_id = ? ORDER BY id DESC LIMIT ?", self.bot.id, LINES)
        return [
            Line(
                row["direction"] == "out",
                bool(row["ok"]),
                row["name"],
                row["note"],
                moment(row["at"]),
                load(row["detail"]),
            )
            for row in rows
        ]

    def commands(self, student: Student) -> list[dict[str, str]]:
        """As Telegram chooses them: the chat's own, then by the student's language, else the default ones."""
        kept = self.bot.state.get("commands", {})
        default = '{"type": "default"}'
        private = '{"type": "all_private_chats"}'
        language = student.profile.get("language_code", "")
        chat = f'{{"chat_id": {student.id}, "type": "chat"}}'
        for key in (f"{scope}|{code}" for scope in (chat, private, default) for code in (language, "")):
            if kept.get(key):
                found: list[dict[str, str]] = kept[key]
                return found
        return []

    def last_charge(self, student: Student) -> Json | None:
        """The newest payment that has not been returned."""
        row = self.hub.store.one(
            "SELECT id, amount FROM ledger p WHERE bot_id = ? AND student_id = ?"
            " AND direction = 'in' AND NOT EXISTS (SELECT 1 FROM ledger r WHERE r.bot_id = p.bot_id"
            "  AND r.id = p.id AND r.direction = 'out') ORDER BY seq DESC LIMIT 1",
            self.bot.id,
            student.id,
        )
        return None if row is None else dict(row)

    def faults(self) -> int:
        """How many planned faults still wait for a call."""
        waiting: int = self.hub.store.value(
            "SELECT coalesce(sum(times), 0) FROM faults WHERE bot_id = ? AND times > 0", self.bot.id
        )
        return waiting

    def chat(self, student: Student) -> Chat:
        return self.world.chat(self.bot.id, student.id)


def _keys(message: Message, inside: Inside, place: dict[str, object]) -> list[list[Key]]:
    rows = message.body.get("reply_markup", {}).get("inline_keyboard", [])
    return [[_key(button, message, r, c, inside, place) for c, button in enumerate(row)] for r, row in enumerate(rows)]


def _key(button: Json, message: Message, row: int, column: int, inside: Inside, place: dict[str, object]) -> Key:
    key = Key(str(button["text"]), row, column)
    if button.get("pay"):
        key.pay = True
        key.href = f"?bot={place['bot']}&student={place['student']}&pay={message.message_id}"
    elif button.get("url"):
        own = inside(button["url"])
        key.href = own or (button["url"] if safe(button["url"]) else "#")
        key.outside = own is None
    return key
