"""What the bot remembers of a chat."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from backend.core import clock
from backend.database.crud.base import BaseCRUD
from backend.database.models.system import BotChat


class BotChatCRUD(BaseCRUD[BotChat]):
    model = BotChat

    def of_chat(self, telegram_id: int) -> BotChat:
        """The memory of a chat; a chat never heard of has an empty one, which is not stored."""
        statement = select(BotChat).where(BotChat.telegram_id == telegram_id)
        found = self.session.scalars(statement).one_or_none()
        return found or BotChat(telegram_id=telegram_id, state=None, data={})

    def remember(self, telegram_id: int, state: str | None, data: dict[str, Any]) -> BotChat:
        """Replaces the memory of a chat; of two writers at once the last one wins."""
        values = {"state": state, "data": data, "updated_at": clock.now()}
        is_sqlite = self.session.get_bind().dialect.name == "sqlite"
        made = (sqlite if is_sqlite else postgresql).insert(BotChat)
        made = made.values(telegram_id=telegram_id, **values)
        self.session.execute(made.on_conflict_do_update(index_elements=["telegram_id"], set_=values))
        self.session.expire_all()
        return self.of_chat(telegram_id)
