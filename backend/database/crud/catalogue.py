"""What lessons and courses share: their sales and prices, who bought them, and why what was sold stays."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from backend.core.errors import InvalidError
from backend.core.i18n import _
from backend.database.crud.base import BaseCRUD
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.schemas.base import MAX_STARS
from backend.database.schemas.lessons import PricePercent
from backend.database.verbs import Verb, setting

LATEST = 10


def sold_words(*, sold: bool) -> str:
    """Why something that money points at stays. How often it was sold is for those alone who may see sales."""
    if not sold:
        return _("There are orders for this, so it cannot be deleted. Hide it instead.")
    return _("It was sold and cannot be deleted. Hide it instead: buyers keep their access.")


def by_percent(stars: int, percent: int) -> int:
    """A price changed by percent, in whole Stars: what costs something never becomes free. Raises InvalidError."""
    price = max(1, (stars * (100 + percent) + 50) // 100) if stars else 0
    if price > MAX_STARS:
        words = _("The price would be %(price)s Stars; the maximum is %(most)s.")
        raise InvalidError(words % {"price": price, "most": MAX_STARS})
    return price


def repriced(*columns: str) -> Verb:
    """The verb that changes these prices by percent."""

    def values(row: Any, given: PricePercent) -> dict[str, int]:
        prices = {name: getattr(row, name) for name in columns if getattr(row, name) is not None}
        new = {name: by_percent(price, given.percent) for name, price in prices.items()}
        return {name: price for name, price in new.items() if price != prices[name]}

    return setting("change_price", values, columns, PricePercent)


def buyers_by(crud: BaseCRUD[Any], column: Any, row_id: int) -> Sequence[Any]:
    """The latest purchases of one lesson or course (`column` of Purchase), with the person."""
    statement = (
        select(
            Purchase.id,
            Purchase.user_id,
            Purchase.amount,
            Purchase.status,
            Purchase.payment_id,
            Purchase.is_test,
            Purchase.revoked_at,
            Purchase.created_at,
            User.first_name,
            User.last_name,
            User.username,
        )
        .join(User, User.id == Purchase.user_id)
        .where(column == row_id)
        .order_by(Purchase.created_at.desc(), Purchase.id.desc())
        .limit(LATEST)
    )
    return crud.session.execute(statement).all()
