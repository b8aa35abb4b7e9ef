"""What a payer is told whose Stars come back: the true reason, in their language."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.crud.purchases import PurchaseCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.lessons import Lesson
from tests.factories import make_promo, make_user
from tests.money.till import Till, refusal

REASONS = {
    "unknown_order": (
        "We could not match your payment of 249 ★ to an order, so we are refunding it.",
        "Мы не нашли заказ для вашей оплаты 249 ★, поэтому возвращаем её.",
    ),
    "amount_mismatch": (
        "Your payment of 248 ★ is not the price of the order for “Свет из окна”, so we are refunding it.",
        "Вы заплатили 248 ★, а заказ «Свет из окна» стоит иначе, поэтому возвращаем оплату.",
    ),
    "currency_mismatch": (
        "The invoice for “Свет из окна” was in another currency, so we are refunding your payment.",
        "Счёт за «Свет из окна» был в другой валюте, поэтому возвращаем оплату.",
    ),
    "already_paid": (
        "The order for “Свет из окна” had already been paid, so we are refunding the second payment of 249 ★.",
        "Заказ «Свет из окна» уже был оплачен, поэтому возвращаем второй платёж: 249 ★.",
    ),
    "already_owned": (
        "You already own “Свет из окна”, so we are refunding your payment of 249 ★.",
        "«Свет из окна» у вас уже есть, поэтому возвращаем вашу оплату: 249 ★.",
    ),
    "promo_used_up": (
        "The promo code for “Свет из окна” had been used up before you paid, so we are refunding your 124 ★.",
        "Промокод на «Свет из окна» закончился до оплаты, поэтому возвращаем ваши 124 ★.",
    ),
    "foreign_payer": (
        "The invoice you paid was issued to someone else, so we are refunding your 249 ★.",
        "Счёт, который вы оплатили, выставлен другому человеку, поэтому возвращаем ваши 249 ★.",
    ),
}


@pytest.mark.parametrize("nth", [0, 1], ids=["en", "ru"])
@pytest.mark.parametrize("code", REASONS)
def test_the_payer_is_told_why_the_stars_come_back(
    till: Till, lesson: Lesson, db: Session, code: str, nth: int
) -> None:
    buyer, payer = (make_user(db, language_code=["en", "ru"][nth], first_name=name) for name in ("A", "B"))
    promo = make_promo(db, code="HALF", discount_percent=50, max_uses=1) if code == "promo_used_up" else None
    order, changes = till.order(buyer, lesson, "HALF" if promo else None).json(), {}
    if code == "unknown_order":
        changes["payload"] = "nothing-of-ours"
    elif code == "amount_mismatch":
        changes["amount"] = 248
    elif code == "currency_mismatch":
        changes["currency"] = "USD"
    elif code == "already_paid":
        till.pay(order, buyer, "stx-first")
    elif code == "already_owned":
        PurchaseCRUD(db).grant(buyer.id, lesson_id=lesson.id)
        db.commit()
    elif promo is not None:
        promo.current_uses = 1
        db.commit()
    payer = payer if code == "foreign_payer" else buyer

    assert refusal(till.pay(order, payer, "stx-A", **changes)) == (409, code)

    told = select(Dispatch.params).where(Dispatch.dedupe_key == "refund-notice:1", Dispatch.user_id == payer.id)
    assert db.scalars(told).one()["text"] == REASONS[code][nth]
