"""Parameters of the page of security events."""

from datetime import tzinfo
from typing import Literal

from backend.core.events import Event
from backend.database.schemas.base import Id, ListParams
from backend.database.schemas.sales import Day, begins, ends


class EventFilters(ListParams):
    """`q`: an address or the number of a request, as a whole. `user_id`: whom it is about, or who did it."""

    kind: Event | None = None
    user_id: Id | None = None
    door: Literal["web", "api", "bot", "cli", "job", "demo"] | None = None
    since: Day | None = None
    until: Day | None = None

    def asked(self, zone: tzinfo) -> "EventFilters":
        """The same for the database: moments instead of days."""
        return self.model_copy(update={"since": begins(self.since, zone), "until": ends(self.until, zone)})
