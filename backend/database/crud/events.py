"""Security events as their page shows them."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import aliased

from backend.core.i18n import _
from backend.database.crud.base import BaseCRUD, Filter, exact
from backend.database.listing import AnyRow, AnySelect
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import ApiToken
from backend.database.models.history import ChangeSet
from backend.database.models.users import User
from backend.database.schemas.base import ListParams

PERSON, ACTOR = aliased(User), aliased(User)


class SecurityEventCRUD(BaseCRUD[SecurityEvent]):
    """Only reads: what was written stays (database.chain)."""

    model = SecurityEvent
    sorts: ClassVar[Mapping[str, Any]] = {"at": SecurityEvent.at}
    default_sort = "-at"
    filters: ClassVar[Mapping[str, Filter]] = {
        "kind": exact(SecurityEvent.kind),
        "door": exact(SecurityEvent.door),
        "user_id": lambda value: or_(SecurityEvent.user_id == value, SecurityEvent.actor_id == value),
        "since": SecurityEvent.at.__ge__,
        "until": SecurityEvent.at.__lt__,
    }

    def missing(self, row_id: int) -> str:
        return _("There is no event with number %s.") % row_id

    @classmethod
    def list_statement(cls) -> AnySelect:
        event = SecurityEvent
        return (
            select(
                *(event.id, event.at, event.kind, event.user_id, event.actor_id, event.impersonator_id),
                *(event.token_id, event.door, event.ip, event.user_agent, event.request_id, event.data),
                *(PERSON.first_name, PERSON.last_name),
                *(ACTOR.first_name.label("actor_first"), ACTOR.last_name.label("actor_last")),
                ApiToken.name.label("token"),
            )
            .outerjoin(PERSON, PERSON.id == event.user_id)
            .outerjoin(ACTOR, ACTOR.id == event.actor_id)
            .outerjoin(ApiToken, ApiToken.id == event.token_id)
        )

    def conditions(self, params: ListParams) -> list[ColumnElement[bool]]:
        found = super().conditions(params)
        if params.q:
            found.append(or_(SecurityEvent.ip == params.q, SecurityEvent.request_id == params.q))
        return found

    def about(self, user_id: int, at_most: int) -> Sequence[AnyRow]:
        """What happened to a person's account, the latest first; what they did to others is not among it."""
        mine = self.list_statement().where(SecurityEvent.user_id == user_id)
        return self.session.execute(
            mine.order_by(SecurityEvent.at.desc(), SecurityEvent.id.desc()).limit(at_most)
        ).all()

    def change_sets(self, request_id: str | None) -> list[int]:
        """What the same request changed."""
        if not request_id:
            return []
        asked = select(ChangeSet.id).where(ChangeSet.request_id == request_id).order_by(ChangeSet.id).limit(20)
        return list(self.session.scalars(asked))
