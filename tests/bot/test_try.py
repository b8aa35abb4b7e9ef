import pytest
from tests.factories import make_lesson, make_promo
def test_story(olga, db):
    make_lesson(db, title="Window light", price=199, text_content="**Turn** sideways")
    make_promo(db, code="SPRING", discount_percent=50)
    olga.start("promo_spring")
    print(olga.wait())
    olga.press("Lessons"); print(olga.wait())
    olga.press("Window"); print(olga.wait())
    olga.press("Buy"); print(olga.wait())
    olga.press("I accept"); inv=olga.wait(); print(inv, inv.invoice)
    p=olga.pay(); print(p)
    import time; time.sleep(1)
    for m in olga.messages(): print(m, m.protected)
    print(olga.client.journal(bot=olga.account)[-12:])
