"""Parameters of the history's pages."""

from datetime import tzinfo
from typing import Annotated, Literal

from pydantic import Field

from backend.database.schemas.base import Id, ListParams
from backend.database.schemas.sales import Day, begins, ends

Kind = Literal[
    "users",
    "lessons",
    "courses",
    "promo_codes",
    "support_tickets",
    "purchases",
    "orders",
    "payments",
    "refunds",
    "media",
    "settings",
    "api_tokens",
    "roles",
    "saved_views",
]


class HistoryFilters(ListParams):
    """`record` is the number of a record of the `kind`, without one of any kind."""

    actor_id: Id | None = None
    kind: Kind | None = None
    record: Annotated[Id | None, Field(description="Number of the record")] = None
    door: Literal["web", "api", "bot", "cli", "job", "demo"] | None = None
    since: Day | None = None
    until: Day | None = None

    def asked(self, zone: tzinfo) -> "HistoryFilters":
        """The same for the database: moments instead of days."""
        return self.model_copy(update={"since": begins(self.since, zone), "until": ends(self.until, zone)})


class ChangesPage(ListParams):
    """The changes of one set, in their order."""
