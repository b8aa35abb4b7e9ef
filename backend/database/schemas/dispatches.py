from typing import Literal

from pydantic import field_validator

from backend.database.schemas.base import Id, ListParams


class OutboxFilters(ListParams):
    """`unsent`: what waits or has failed."""

    state: Literal["unsent", "waiting", "failed", "sent", "cancelled", "all"] = "unsent"
    channel: Literal["", "telegram", "email"] = ""
    user_id: Id | None = None

    @field_validator("state", mode="before")
    @classmethod
    def _default_state(cls, value: object) -> object:
        return value or "unsent"
