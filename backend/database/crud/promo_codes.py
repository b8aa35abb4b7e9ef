"""Promo codes: what a code does to a price, and its uses, which are counted exactly.

`current_uses` only ever changes by conditional updates, so it never passes `max_uses` whoever comes
at once; it equals the number of redemptions that are reserved or used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import BaseModel
from sqlalchemy import CursorResult, Update, func, or_, select, update

from backend.core import clock
from backend.core.errors import ConflictError, InvalidError
from backend.core.i18n import _, ngettext
from backend.database.crud.base import BaseCRUD, Filter, exact
from backend.database.crud.entitlements import EntitlementCRUD
from backend.database.models.courses import Course
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, OrderLine
from backend.database.models.promo_codes import PromoCode, PromoRedemption
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.database.schemas.promo_codes import PromoCheck, PromoCodeEnd, takes_something_off
from backend.database.verbs import DELETE, Verb, named, setting, switching

RESERVATION = timedelta(minutes=15)
SHOWN = 50


def price_after(price: int, percent: int, amount: int | None) -> int:
    """Stars to pay: the percent first, then the amount, down to whole Stars, never below 0."""
    return max(0, price * (100 - percent) // 100 - (amount or 0))


@dataclass(frozen=True)
class Quote:
    """What a thing costs with a code; the full price when there is a `reason` against the code."""

    price: int
    discount: int = 0
    reason: str | None = None
    reason_code: str | None = None
    promo: PromoCode | None = None

    @property
    def code(self) -> str | None:
        return self.promo.code if self.promo else None

    @property
    def valid(self) -> bool:
        return self.reason_code is None


def reason_text(code: str) -> str:
    return {
        "unknown": _("There is no such code."),
        "off": _("This code is turned off."),
        "expired": _("This code has expired."),
        "used_up": _("This code has been used up."),
        "already_owned": _("You already own this: open it in “My lessons”."),
        "not_on_sale": _("This is not available right now."),
        "does_nothing": _("This code does not reduce this price."),
    }[code]


class PromoCodeCRUD(BaseCRUD[PromoCode]):
    model = PromoCode
    sorts: ClassVar[Mapping[str, Any]] = {
        "created_at": PromoCode.created_at,
        "code": PromoCode.search_key,
        "current_uses": PromoCode.current_uses,
    }
    default_sort = "-created_at"
    called = (PromoCode.code,)
    filters: ClassVar[Mapping[str, Filter]] = {
        "is_active": exact(PromoCode.is_active),
        "percent_min": lambda percent: PromoCode.discount_percent >= percent,
        "percent_max": lambda percent: PromoCode.discount_percent <= percent,
        "used_min": lambda uses: PromoCode.current_uses >= uses,
        "used_max": lambda uses: PromoCode.current_uses <= uses,
        "expires": lambda value: (
            PromoCode.expires_at.is_not(None) if value == "yes" else PromoCode.expires_at.is_(None)
        ),
    }
    verbs: ClassVar[Mapping[str, Verb]] = named(
        switching("switch_on", on=True),
        switching("switch_off", on=False),
        setting("set_end", lambda code, given: _ending(code, given.expires_at), ("expires_at",), PromoCodeEnd),
        DELETE,
    )

    def missing(self, row_id: int) -> str:
        return _("Promo code %s no longer exists.") % row_id

    # -- what a code does

    def find_by_code(self, code: str) -> PromoCode | None:
        key = code.strip().casefold()
        return self.session.scalars(select(PromoCode).where(PromoCode.code_key == key)).one_or_none()

    def check(self, data: PromoCheck) -> Quote:
        """What this person would pay. Raises NotFoundError for an unknown person or thing."""
        entitlements = EntitlementCRUD(self.session)
        thing = entitlements.sellable(data.lesson_id, data.course_id)
        buyer, promo = entitlements.person(data.user_id), self.find_by_code(data.code)
        if not thing.is_active:
            quote = _refused(thing.asked_price, "not_on_sale")
        elif entitlements.owns(buyer.id, thing):
            quote = _refused(thing.asked_price, "already_owned")
        elif promo is None:
            quote = _refused(thing.asked_price, "unknown")
        else:
            quote = self.quote_for(promo, buyer.id, thing)
        return replace(quote, promo=promo)

    def quote(self, code: str, user_id: int, thing: Lesson | Course) -> Quote:
        promo = self.find_by_code(code)
        if promo is None:
            return _refused(thing.asked_price, "unknown")
        return self.quote_for(promo, user_id, thing)

    def quote_for(self, promo: PromoCode, user_id: int, thing: Lesson | Course) -> Quote:
        full = thing.asked_price
        price = price_after(full, promo.discount_percent, promo.discount_amount)
        if not promo.is_active:
            return _refused(full, "off")
        if promo.expires_at is not None and promo.expires_at <= clock.now():
            return _refused(full, "expired")
        if price == full:
            return _refused(full, "does_nothing")
        used_up = promo.max_uses is not None and promo.current_uses >= promo.max_uses
        if used_up and not self._holds_one(promo.id, user_id, thing):
            return _refused(full, "used_up")
        return Quote(price, full - price, promo=promo)

    def _holds_one(self, promo_id: int, user_id: int, thing: Lesson | Course) -> bool:
        """One of the uses is this person's own: reserved by their open order for the same thing."""
        same = OrderLine.lesson_id == thing.id if isinstance(thing, Lesson) else OrderLine.course_id == thing.id
        statement = (
            select(PromoRedemption.id)
            .join(Order, Order.id == PromoRedemption.order_id)
            .join(OrderLine, OrderLine.order_id == Order.id)
            .where(
                PromoRedemption.promo_id == promo_id,
                PromoRedemption.user_id == user_id,
                PromoRedemption.state == "reserved",
                Order.status == "awaiting_payment",
                same,
            )
            .limit(1)
        )
        return self.session.execute(statement).first() is not None

    # -- uses

    def take(self, promo_id: int, *, promised: bool = False) -> bool:
        """One more use, if there is one. `promised`: valid when the buyer was let through."""
        now = clock.now()
        statement = update(PromoCode).where(
            PromoCode.id == promo_id,
            or_(PromoCode.max_uses.is_(None), PromoCode.current_uses < PromoCode.max_uses),
        )
        if not promised:
            current = or_(PromoCode.expires_at.is_(None), PromoCode.expires_at > now)
            statement = statement.where(PromoCode.is_active, current)
        return self._count(statement, 1) == 1

    def give_back(self, promo_id: int, uses: int = 1) -> None:
        statement = update(PromoCode).where(PromoCode.id == promo_id)
        self._count(statement, -uses)

    def _count(self, statement: Update, more: int) -> int:
        self.session.flush()
        # The counter is no edit: `version` and `updated_at` stay, so that open forms remain good.
        values = {"current_uses": PromoCode.current_uses + more, "updated_at": PromoCode.updated_at}
        unsynchronised = {"synchronize_session": False}
        result = self.session.execute(statement.values(values), execution_options=unsynchronised)
        assert isinstance(result, CursorResult)
        return result.rowcount

    def redemption_of(self, order_id: int) -> PromoRedemption | None:
        """The order's use of its code, locked."""
        statement = select(PromoRedemption).where(PromoRedemption.order_id == order_id).with_for_update()
        return self.session.scalars(statement.execution_options(populate_existing=True)).one_or_none()

    def reserve(self, order: Order) -> bool:
        """Holds a use for an order for 15 minutes; again: longer. False when none is left."""
        assert order.promo_id is not None
        until = clock.now() + RESERVATION
        held = self.redemption_of(order.id)
        if held is not None and held.state == "reserved":
            held.reserved_until = until
        elif not self.take(order.promo_id):
            return False
        elif held is None:
            self._redeem(order, "reserved", until)
        else:
            held.state, held.reserved_until = "reserved", until
        self.flush()
        return True

    def use(self, order: Order) -> str:
        """The order's payment has come: "used".

        "none" when the code is used up and no use was ever reserved; "overdrawn" when the
        reservation ran out and the uses are gone: the paid price counts all the same.
        """
        assert order.promo_id is not None
        held = self.redemption_of(order.id)
        if held is None:
            if not self.take(order.promo_id):
                return "none"
            self._redeem(order, "used", clock.now())
        elif held.state == "reserved" or self.take(order.promo_id, promised=True):
            held.state = "used"
        else:
            return "overdrawn"
        self.flush()
        return "used"

    def _redeem(self, order: Order, state: str, until: datetime) -> None:
        self.session.add(
            PromoRedemption(
                promo_id=order.promo_id,
                user_id=order.user_id,
                order_id=order.id,
                state=state,
                reserved_until=until,
            )
        )

    def release(self, order: Order) -> None:
        """The order will not be paid: its reserved use is free again."""
        held = self.redemption_of(order.id) if order.promo_id is not None else None
        if held is not None and held.state == "reserved":
            held.state = "released"
            self.give_back(held.promo_id)

    def release_due(self, limit: int) -> int:
        """Frees the reservations whose time is over. Returns how many."""
        due = self.session.scalars(
            select(PromoRedemption)
            .where(PromoRedemption.state == "reserved", PromoRedemption.reserved_until <= clock.now())
            .order_by(PromoRedemption.id)
            .limit(limit)
            .with_for_update(skip_locked=True)  # one that is being paid for right now is left alone
            .execution_options(populate_existing=True)
        ).all()
        for held in due:
            held.state = "released"
        # In the order of ids, so that two of these never wait for each other.
        for promo_id in sorted({held.promo_id for held in due}):
            self.give_back(promo_id, sum(held.promo_id == promo_id for held in due))
        return len(due)

    # -- the staff's side

    def create(self, data: BaseModel) -> PromoCode:
        values = data.model_dump()
        self._free_code(values["code"])
        return self.add(PromoCode(**values))

    def update(self, row_id: int, data: BaseModel) -> PromoCode:
        """Replaces the fields sent. Raises ConflictError (`stale`, `code_taken`), InvalidError."""
        promo = self.get_by_id(row_id)
        values = data.model_dump(exclude_unset=True)
        self.check_version(promo, values.pop("version", None))
        if "code" in values:
            self._free_code(values["code"], but=promo.id)
        percent = values.get("discount_percent", promo.discount_percent)
        try:
            takes_something_off(percent, values.get("discount_amount", promo.discount_amount))
        except ValueError as error:
            raise InvalidError(fields={"discount_percent": str(error)}) from None
        self.room(promo, values.get("max_uses"))
        return self.assign(promo, values)

    def _free_code(self, code: str, but: int | None = None) -> None:
        found = self.find_by_code(code)
        if found is not None and found.id != but:
            words = _("This code already exists: %s.") % found.code
            raise ConflictError(words, code="code_taken", fields={"code": words})

    @staticmethod
    def room(promo: PromoCode, max_uses: int | None) -> None:
        if max_uses is not None and max_uses < promo.current_uses:
            raise InvalidError(fields={"max_uses": _("It has been used %s times already.") % promo.current_uses})

    def set_active(self, promo_id: int, active: bool) -> PromoCode:
        return self.assign(self.get_by_id(promo_id), {"is_active": active})

    def delete(self, row_id: int) -> PromoCode:
        """Raises ConflictError `redeemed` for a code that orders name."""
        promo = self.get_by_id(row_id)
        orders = self.session.scalar(select(func.count()).where(Order.promo_id == row_id)) or 0
        if orders:
            words = ngettext(
                "%(num)s order uses this code, so it cannot be deleted. Turn it off instead.",
                "%(num)s orders use this code, so it cannot be deleted. Turn it off instead.",
                orders,
            )
            raise ConflictError(words % {"num": orders}, code="redeemed")
        self.session.delete(promo)
        self.flush()
        return promo

    def worth(self, promo_id: int) -> tuple[int, int, int]:
        """(sales, Stars taken off, Stars paid) of paid orders with the code, without test sales."""
        statement = select(func.count(), func.sum(Order.discount), func.sum(Order.total)).where(
            Order.promo_id == promo_id, Order.status == "paid", Order.is_test.is_(False)
        )
        sales, discounts, paid = self.session.execute(statement).one()
        return sales, int(discounts or 0), int(paid or 0)

    def redemptions(self, promo_id: int, limit: int = SHOWN) -> Sequence[Any]:
        """The latest uses: who, in which order, what it took off."""
        statement = (
            select(
                PromoRedemption.id,
                PromoRedemption.state,
                PromoRedemption.reserved_until,
                PromoRedemption.created_at,
                Order.id.label("order_id"),
                Order.status.label("order_status"),
                Order.discount,
                Order.total,
                OrderLine.title,
                Purchase.id.label("purchase_id"),
                User.id.label("user_id"),
                User.first_name,
                User.last_name,
                User.username,
            )
            .join(Order, Order.id == PromoRedemption.order_id)
            .join(OrderLine, OrderLine.order_id == Order.id)
            .join(User, User.id == PromoRedemption.user_id)
            .outerjoin(Purchase, Purchase.order_line_id == OrderLine.id)
            .where(PromoRedemption.promo_id == promo_id)
            .order_by(PromoRedemption.id.desc())
            .limit(limit)
        )
        return self.session.execute(statement).all()


def _ending(promo: Any, moment: datetime | None) -> dict[str, Any]:
    return {} if promo.expires_at == moment else {"expires_at": moment}


def _refused(full: int, code: str) -> Quote:
    return Quote(full, 0, reason_text(code), code)
