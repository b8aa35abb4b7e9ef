"""What the bot remembers of a chat."""

from typing import Any

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from backend.core import clock
from backend.database.crud.base import BaseCRUD
from backend.database.models.system import BotChat
from backend.database.models.users import User


class BotChatCRUD(BaseCRUD[BotChat]):
    model = BotChat

    def of_chat(self, telegram_id: int) -> BotChat:
        """The memory of a chat; a chat never heard of has an empty one, which is not stored."""
        statement = select(BotChat).where(BotChat.telegram_id == telegram_id)
        found = self.session.scalars(statement).one_or_none()
        return found or BotChat(telegram_id=telegram_id, state=None, data={})

    def remember(self, telegram_id: int, state: str | None, data: dict[str, Any]) -> BotChat:
        """Replaces the memory of a chat; of two writers at once the last one wins.

        Nothing is kept of a chat that is nobody's: the bot registers a student before it remembers, so this one was
        deleted or erased while it worked.
        """
        # Locked against an erasure, which locks the person before it looks for what to erase.
        owner = select(User.id).where(User.telegram_id == telegram_id).with_for_update(read=True)
        if self.session.scalar(owner) is None:
            return self.of_chat(telegram_id)
        values = {"state": state, "data": data, "updated_at": clock.now()}
        is_sqlite = self.session.get_bind().dialect.name == "sqlite"
        made = (sqlite if is_sqlite else postgresql).insert(BotChat)
        made = made.values(telegram_id=telegram_id, **values)
        self.session.execute(made.on_conflict_do_update(index_elements=["telegram_id"], set_=values))
        self.session.expire_all()
        return self.of_chat(telegram_id)

    def purge(self) -> None:
        """The memory of chats whose students were deleted."""
        self.session.execute(delete(BotChat).where(~exists().where(User.telegram_id == BotChat.telegram_id)))
