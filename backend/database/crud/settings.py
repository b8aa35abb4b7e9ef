"""Small values that all processes share, by name."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from backend.database.crud.base import BaseCRUD
from backend.database.models.system import Setting


class SettingCRUD(BaseCRUD[Setting]):
    model = Setting

    def find(self, key: str) -> dict[str, Any] | None:
        return self.session.scalars(select(Setting.value).where(Setting.key == key)).one_or_none()

    def put(self, key: str, value: dict[str, Any]) -> None:
        is_sqlite = self.session.get_bind().dialect.name == "sqlite"
        made = (sqlite if is_sqlite else postgresql).insert(Setting).values(key=key, value=value)
        self.session.execute(made.on_conflict_do_update(index_elements=["key"], set_={"value": made.excluded.value}))
