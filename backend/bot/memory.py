"""What is remembered of a chat between updates: the dialogue, the living message, small data."""

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

from aiogram.fsm.state import State, StatesGroup

from backend.bot.client import Api, ChatState, Item

HEARD = 16  # texts whose repetition is known
DELETABLE_SECONDS = 48 * 3600 - 600  # Telegram's limit, less the time that clocks may differ


class Ask(StatesGroup):
    """What the next text of the student is."""

    promo = State()
    subject = State()
    message = State()
    reply = State()


@dataclass
class Living:
    """The one message of the chat that the bot edits."""

    message_id: int
    sent: float  # seconds since 1970
    editable: bool = True  # an invoice is not

    @property
    def deletable(self) -> bool:
        return time.time() - self.sent < DELETABLE_SECONDS


@dataclass
class Memory:
    """Loaded before an update is handled, saved after it when something has changed."""

    telegram_id: int
    state: str | None = None
    data: dict[str, Any] = field(default_factory=dict)
    _loaded: ChatState = field(default_factory=ChatState)

    @classmethod
    async def load(cls, api: Api, telegram_id: int) -> "Memory":
        loaded = await api.chat(telegram_id)
        return cls(telegram_id, loaded.state, dict(loaded.data), loaded)

    async def save(self, api: Api) -> None:
        now = ChatState(state=self.state, data=self.data)
        if now != self._loaded:
            await api.save_chat(self.telegram_id, now)
            self._loaded = ChatState(state=self.state, data=dict(self.data))

    # --- the dialogue

    def hears(self, cause: str) -> bool:
        """Whether this text comes for the first time.

        Telegram repeats one when we ended before we could say that it was handled: by then the dialogue expects
        another, and the same words would be taken for it.
        """
        found, mark = self.data.get("heard"), hashlib.sha256(cause.encode()).hexdigest()[:12]
        heard = found if isinstance(found, list) else []
        if mark in heard:
            return False
        self.data["heard"] = [*heard, mark][-HEARD:]
        return True

    def expect(self, state: State, **about: Any) -> None:
        self.state = state.state
        self.data["about"] = about

    def forget_dialogue(self) -> None:
        self.state = None
        self.data.pop("about", None)

    @property
    def about(self) -> dict[str, Any]:
        """What the dialogue is about, as given to `expect`."""
        about = self.data.get("about")
        return about if isinstance(about, dict) else {}

    @property
    def about_item(self) -> Item | None:
        kind, item_id = self.about.get("kind"), self.about.get("id")
        return Item(kind, item_id) if isinstance(kind, str) and isinstance(item_id, int) else None

    # --- small data

    @property
    def user_id(self) -> int | None:
        return self._number("user")

    @property
    def promo(self) -> str | None:
        """The code for the next checkout."""
        promo = self.data.get("promo")
        return promo if isinstance(promo, str) else None

    @promo.setter
    def promo(self, code: str | None) -> None:
        self._put("promo", code)

    @property
    def draft(self) -> str | None:
        """What was typed without a question, for support if the student wants."""
        draft = self.data.get("draft")
        return draft if isinstance(draft, str) else None

    @draft.setter
    def draft(self, text: str | None) -> None:
        self._put("draft", text)

    @property
    def living(self) -> Living | None:
        found = self.data.get("living")
        try:
            return Living(int(found["id"]), float(found["sent"]), bool(found["editable"])) if found else None
        except (KeyError, TypeError, ValueError):
            return None

    @living.setter
    def living(self, living: Living | None) -> None:
        kept = living and {
            "id": living.message_id,
            "sent": living.sent,
            "editable": living.editable,
        }
        self._put("living", kept)

    def _number(self, name: str) -> int | None:
        value = self.data.get(name)
        return value if isinstance(value, int) else None

    def _put(self, name: str, value: Any) -> None:
        if value is None:
            self.data.pop(name, None)
        else:
            self.data[name] = value
