from typing import Literal

from backend.database.schemas.base import Id, ListParams


class JobFilters(ListParams):
    state: Literal["queued", "running", "paused", "done", "cancelled", "failed"] | None = None
    owner_id: Id | None = None
