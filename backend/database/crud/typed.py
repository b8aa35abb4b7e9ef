"""What other people wrote about a person: asked before the person gets rights under the name that they wrote."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.models.history import Change, ChangeSet
from backend.database.models.users import User, full_name

NAMING = ("first_name", "last_name", "username", "email", "telegram_id")  # by what one takes a person for somebody


@dataclass(frozen=True)
class Typed:
    """What of a person somebody else wrote last. `name`: the column; "" when they made the account, with the columns
    in `after` that nobody has written since. `before`: what stood there before others began to write.
    """

    name: str
    before: Any
    after: Any
    who: str
    at: datetime


def typed_by_others(session: Session, user_ids: Collection[int]) -> dict[int, list[Typed]]:
    """By person; what they, or Telegram, told last is not in it, nor what was put back."""
    statement = (
        select(
            *(Change.entity_id, Change.op, Change.before, Change.after, ChangeSet.at, ChangeSet.actor_id),
            *(ChangeSet.impersonator_id, User.first_name, User.last_name),
        )
        .join(ChangeSet, ChangeSet.id == Change.change_set_id)
        .outerjoin(User, User.id == ChangeSet.actor_id)
        .where(Change.entity == "users", Change.entity_id.in_(user_ids), Change.op.in_(("create", "update")))
    )
    found: dict[int, dict[str, Typed]] = {user_id: {} for user_id in user_ids}
    told: dict[int, set[str]] = {user_id: set() for user_id in user_ids}  # by the person, after which nothing counts
    for row in session.execute(statement.order_by(Change.id.desc())):
        mine, over = found[row.entity_id], told[row.entity_id]
        others = row.actor_id not in (None, row.entity_id) or row.impersonator_id is not None
        who = full_name(row.first_name, row.last_name)
        left = [name for name in NAMING if row.after.get(name) != row.before.get(name) and name not in over]
        if row.op == "create":
            left = [name for name in left if name not in mine]
            if others and left:
                mine[""] = Typed("", None, left, who, row.at)
            continue
        for name in left:
            if not others:
                over.add(name)
            elif name in mine:
                mine[name] = replace(mine[name], before=row.before.get(name))
            else:
                mine[name] = Typed(name, row.before.get(name), row.after.get(name), who, row.at)
    kept = {user_id: [mine[name] for name in ("", *NAMING) if name in mine] for user_id, mine in found.items()}
    return {user_id: [one for one in all_ if not one.name or one.before != one.after] for user_id, all_ in kept.items()}
