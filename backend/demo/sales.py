"""Sixty days of sales: who bought what, when, with which code, and who got the Stars back.

Everything agrees with `crud.ledger`, as if the bot had sold it.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from backend.database.crud.promo_codes import price_after
from backend.database.models.lessons import Lesson
from backend.database.models.orders import Order, OrderLine, Payment, Refund
from backend.database.models.promo_codes import PromoCode, PromoRedemption
from backend.database.models.purchases import Purchase
from backend.database.models.users import User
from backend.demo.catalogue import Catalogue, Item, price_then
from backend.demo.content import DAYS, WEEK, ZONE, days_before, dice, moment, read, token
from backend.demo.journal import Step

FIRST_DAY, LAST_DAY = 3.4, 10.5  # sales on an average day, sixty days ago and now
BUYERS, TAKERS = 0.68, 0.4  # of all students; of the newcomers, who take the free lesson
WITH_CODE, GIVEN_UP, EXPIRED = 0.24, 0.13, 0.7
OPEN_NOW, REFUNDS, GRANTS = 3, 7, 5
TTL, RESERVED = timedelta(hours=1), timedelta(minutes=15)


@dataclass
class Sale:
    """An order and all that came of it; a grant has no order."""

    at: datetime
    user: User
    item: Item
    order: Order | None = None
    payment: Payment | None = None
    purchase: Purchase | None = None
    redemption: PromoRedemption | None = None
    promo: PromoCode | None = None
    refund: Refund | None = None


@dataclass
class Shop:
    """The state of the world while time goes by."""

    now: datetime
    catalogue: Catalogue
    students: list[User]
    sales: list[Sale] = field(default_factory=list)
    owned: set[tuple[int, int]] = field(default_factory=set)  # id() of the student and of the item
    rng: random.Random = field(default_factory=lambda: dice("sales"))

    def __post_init__(self) -> None:
        self.appetite = {
            id(student): self.rng.expovariate(1) if self.rng.random() < BUYERS else 0.0 for student in self.students
        }

    # -- who, what, for how much

    def buyer(self, at: datetime) -> User:
        here = [student for student in self.students if student.created_at < at]
        weights = [
            self.appetite[id(person)] * (4 if at - person.created_at < timedelta(days=6) else 1) for person in here
        ]
        return self.rng.choices(here, weights)[0]

    def item(self, student: User, at: datetime) -> Item | None:
        """Something on sale then that the student does not own yet."""
        english = student.language_code == "en"
        open_to: list[tuple[Item, float]] = []
        for item, entry in self.catalogue.items:
            gone = "until" in entry and at > days_before(self.now, entry["until"])
            if gone or item.created_at > at or self.owns(student, item):
                continue
            spoken = 8.0 if entry["key"].endswith("-en") else 0.5
            open_to.append((item, entry["popularity"] * (spoken if english else 1)))
        weights = [weight for _item, weight in open_to]
        if not any(weights):
            return None
        return self.rng.choices([item for item, _weight in open_to], weights)[0]

    def owns(self, student: User, item: Item) -> bool:
        """A course counts as owned from its second lesson on: nobody pays for much of it twice."""
        if (id(student), id(item)) in self.owned:
            return True
        if isinstance(item, Lesson):
            return False
        held = [(id(student), id(place.lesson)) in self.owned for place in item.course_lessons]
        return sum(held) > 1

    def own(self, student: User, item: Item) -> None:
        lessons = [] if isinstance(item, Lesson) else [place.lesson for place in item.course_lessons]
        self.owned.update((id(student), id(thing)) for thing in (item, *lessons))

    def code(self, at: datetime, price: int) -> PromoCode | None:
        """A code that this buyer has at hand and that takes something off."""
        usable = [
            (promo, entry["weight"])
            for promo, entry in self.catalogue.promos
            if _usable(promo, entry, at, self.now) and _reduced(promo, price) > 0
        ]
        if not usable or self.rng.random() >= WITH_CODE:
            return None
        return self.rng.choices([promo for promo, _ in usable], [weight for _, weight in usable])[0]

    # -- what happens

    def sell(self, at: datetime) -> None:
        student = self.buyer(at)
        item = self.item(student, at)
        if item is None:
            return
        sale = self.place(student, item, at)
        assert sale.order is not None
        if self.rng.random() < GIVEN_UP:
            self.give_up(sale)
            return
        paid = at + timedelta(seconds=self.rng.randrange(15, 240))
        self.pay(sale, paid)
        self.own(student, item)

    def place(self, student: User, item: Item, at: datetime) -> Sale:
        entry = next(entry for thing, entry in self.catalogue.items if thing is item)
        price = price_then(item, entry, at, self.now)
        promo = self.code(at, price) if price else None
        total = _reduced(promo, price) if promo else price
        what = {"lesson": item} if isinstance(item, Lesson) else {"course": item}
        order = Order(
            payload=token(self.rng, 32),
            user=student,
            status="awaiting_payment",
            subtotal=price,
            discount=price - total,
            total=total,
            promo=promo,
            expires_at=at + TTL,
            created_at=at,
            updated_at=at,
            lines=[OrderLine(title=item.title, unit_price=price, qty=1, total=price, **what)],
        )
        sale = Sale(at, student, item, order, promo=promo)
        self.sales.append(sale)
        self.seen(student, at)
        if student.terms_accepted_at is None and total:
            student.terms_accepted_at = at - timedelta(seconds=40)
        if promo:
            sale.redemption = PromoRedemption(state="reserved", reserved_until=at + RESERVED, created_at=at)
            promo.current_uses += 1
        return sale

    def pay(self, sale: Sale, at: datetime) -> None:
        order = sale.order
        assert order is not None
        order.status, order.paid_at, order.updated_at = "paid", at, at
        charge = f"demo-{token(self.rng)}"
        if sale.redemption:
            sale.redemption.state = "used"
        if order.total:
            sale.payment = Payment(
                order=order,
                provider="demo",
                provider_charge_id=charge,
                amount=order.total,
                currency="XTR",
                status="settled",
                payer_telegram_id=sale.user.telegram_id,
                created_at=at,
                updated_at=at,
            )
        self.entitle(sale, at, charge, order.total, order.lines[0])
        self.seen(sale.user, at)

    def entitle(self, sale: Sale, at: datetime, payment_id: str, amount: int, line: OrderLine | None) -> None:
        lesson = isinstance(sale.item, Lesson)
        what = {"lesson": sale.item} if lesson else {"course": sale.item}
        sale.purchase = Purchase(
            user=sale.user,
            order_line=line,
            payment_id=payment_id,
            amount=amount,
            status="completed",
            created_at=at,
            updated_at=at,
            **what,
        )

    def give_up(self, sale: Sale) -> None:
        """Nobody paid: the invoice ran out or a newer one took its place."""
        order = sale.order
        assert order is not None
        order.status = "expired" if self.rng.random() < EXPIRED else "cancelled"
        order.updated_at = min(self.now, order.expires_at)
        if order.expires_at > self.now:
            order.status = "cancelled"
        if sale.redemption and sale.promo:
            sale.redemption.state = "released"
            sale.promo.current_uses -= 1

    def seen(self, student: User, at: datetime) -> None:
        assert student.last_seen_at is not None
        student.last_seen_at = max(student.last_seen_at, at)


def build(now: datetime, catalogue: Catalogue, students: list[User]) -> list[Sale]:
    """In the order of their orders. Nothing is in a session yet."""
    shop = Shop(now, catalogue, students)
    moments = [(at, False) for at in _sale_moments(shop.rng, now)]
    for at, is_free in sorted([*moments, *((at, True) for at in _free_moments(shop))]):
        if is_free:
            _take_free(shop, at)
        else:
            shop.sell(at)
    for number in range(OPEN_NOW):
        _leave_open(shop, now - timedelta(minutes=21 - 8 * number))
    _grant(shop)
    _refund(shop)
    for promo, entry in catalogue.promos:
        if "uses" in entry:
            promo.max_uses = max(promo.current_uses, 1)
    return sorted(shop.sales, key=lambda sale: sale.at)


def _usable(promo: PromoCode, entry: Mapping[str, Any], at: datetime, now: datetime) -> bool:
    since, until = days_before(now, entry["from"]), days_before(now, entry.get("until", 0))
    used_up = promo.max_uses is not None and promo.current_uses >= promo.max_uses
    return bool(entry["weight"]) and since <= at <= until and not used_up


def _reduced(promo: PromoCode, price: int) -> int:
    return price_after(price, promo.discount_percent, promo.discount_amount)


def _sale_moments(rng: random.Random, now: datetime) -> Iterator[datetime]:
    for day in range(DAYS - 1, -1, -1):
        grown = FIRST_DAY + (LAST_DAY - FIRST_DAY) * (1 - day / DAYS)
        weekday = (now.astimezone(ZONE) - timedelta(days=day)).weekday()
        number = round(grown * WEEK[weekday] * rng.uniform(0.75, 1.25))
        for at in (moment(rng, now, day) for _ in range(number)):
            if days_before(now, DAYS) < at < now - timedelta(minutes=25):
                yield at


def _free_moments(shop: Shop) -> Iterator[datetime]:
    """Some newcomers take the free lesson within the hour."""
    for student in shop.students:
        if student.created_at > days_before(shop.now, DAYS) and shop.rng.random() < TAKERS:
            at = student.created_at + timedelta(minutes=shop.rng.randrange(1, 50))
            if at < shop.now - timedelta(minutes=10):
                yield at


def _take_free(shop: Shop, at: datetime) -> None:
    student = max(
        (person for person in shop.students if person.created_at < at),
        key=lambda person: person.created_at,
    )
    key = "composition-en" if student.language_code == "en" else "first-steps"
    lesson = shop.catalogue.lessons[key]
    if not shop.owns(student, lesson):
        shop.pay(shop.place(student, lesson, at), at)
        shop.own(student, lesson)


def _leave_open(shop: Shop, at: datetime) -> None:
    student = shop.buyer(at)
    item = shop.item(student, at)
    if item is not None:
        sale = shop.place(student, item, at)
        if sale.redemption:
            sale.redemption.reserved_until = shop.now + RESERVED
        shop.own(student, item)  # no second open order for the same


def _grant(shop: Shop) -> None:
    window = shop.catalogue.lessons["window"]
    without = [
        student
        for student in shop.students
        if not shop.owns(student, window) and student.created_at < days_before(shop.now, 10)
    ]
    for student in shop.rng.sample(without, GRANTS):
        at = moment(shop.rng, shop.now, shop.rng.randrange(1, 9))
        sale = Sale(at, student, window)
        shop.entitle(sale, at, f"grant:{token(shop.rng, 16)}", 0, None)
        shop.own(student, window)
        shop.sales.append(sale)


def _refund(shop: Shop) -> None:
    old = [
        sale for sale in shop.sales if sale.payment and days_before(shop.now, 50) < sale.at < days_before(shop.now, 4)
    ]
    reasons = read("people")["refund_reasons"]
    for sale, reason in zip(shop.rng.sample(old, REFUNDS), reasons, strict=True):
        order, payment, purchase = sale.order, sale.payment, sale.purchase
        assert order is not None
        assert payment is not None
        assert purchase is not None
        at = sale.at + timedelta(hours=shop.rng.uniform(2, 70))
        order.status = payment.status = "refunded"
        order.updated_at = payment.updated_at = purchase.updated_at = at
        purchase.revoked_at = at
        sale.refund = Refund(
            payment=payment,
            amount=payment.amount,
            reason=reason,
            status="done",
            created_at=at,
            done_at=at,
        )


def steps(sales: list[Sale], support: User, manager: User) -> Iterator[Step]:
    """The history of the sales; their rows are flushed."""
    for sale in sales:
        if sale.order is None:
            assert sale.purchase is not None
            yield Step(sale.at, "grant", manager).make(sale.purchase)
            continue
        # What the history says of a row is what it was when it was made.
        yield Step(sale.at).make(sale.order, status="awaiting_payment", paid_at=None)
        if sale.purchase is not None:
            yield from _paid(sale, support)


def _paid(sale: Sale, support: User) -> Iterator[Step]:
    order, payment, purchase = sale.order, sale.payment, sale.purchase
    assert order is not None
    assert purchase is not None
    before = {"status": "awaiting_payment", "paid_at": None}
    step = Step(purchase.created_at, "sale" if payment else "")
    step.move(order, before, {"status": "paid", "paid_at": order.paid_at})
    if payment:
        step.make(payment, status="settled")
    yield step.make(purchase, revoked_at=None)
    if sale.refund and payment:
        back = Step(sale.refund.created_at, "refund", support).make(sale.refund)
        for row in (order, payment):
            was = "paid" if row is order else "settled"
            back.move(row, {"status": was}, {"status": "refunded"})
        yield back.move(purchase, {"revoked_at": None}, {"revoked_at": purchase.revoked_at})
