"""Small values that all processes share, by name."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from backend.database import history
from backend.database.crud.base import BaseCRUD
from backend.database.models.system import Setting

BOT = "bot"  # {"id", "username"}: what Telegram says of the bot that ran last


class SettingCRUD(BaseCRUD[Setting]):
    model = Setting

    def find(self, key: str) -> dict[str, Any] | None:
        return self.session.scalars(select(Setting.value).where(Setting.key == key)).one_or_none()

    def find_bot(self, bot_id: int | None = None) -> dict[str, Any] | None:
        """The bot as Telegram knows it; None before its first start, or when `bot_id` is another one's."""
        found = self.find(BOT)
        return found if found and bot_id in (None, found["id"]) else None

    def decide(self, key: str, value: dict[str, Any], default: dict[str, Any] | None = None) -> bool:
        """A person's decision about the school: put, and told in its history. Whether it changes anything.

        `default`: what held without one.
        """
        before = self.find(key) or default or dict.fromkeys(value)
        if before == value:
            return False
        self.put(key, value)
        history.note(self.session, history.SCHOOL, before, value)
        return True

    def put(self, key: str, value: dict[str, Any]) -> None:
        is_sqlite = self.session.get_bind().dialect.name == "sqlite"
        made = (sqlite if is_sqlite else postgresql).insert(Setting).values(key=key, value=value)
        self.session.execute(made.on_conflict_do_update(index_elements=["key"], set_={"value": made.excluded.value}))
