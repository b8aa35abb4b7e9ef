"""What somebody with a few rights, or with a stolen session, tries in order to get an account that is not theirs."""

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.permissions import SUPPORT
from backend.database.models.auth import AuthSession, RateBucket
from tests.conftest import SignIn
from tests.crm.test_confirm import asks
from tests.crm.test_staff import HERE, hire, lead
from tests.factories import save


def tries(client: TestClient, field: str, value: str, times: int) -> list[int]:
    return [client.post("/dashboard/confirm/", data={field: value}).status_code for _ in range(times)]


# -- the throttle before a proof


def stale(db: Session, user_id: int) -> None:
    long_ago = clock.now() - timedelta(hours=1)
    db.execute(update(AuthSession).where(AuthSession.user_id == user_id).values(confirmed_at=long_ago))


@pytest.mark.parametrize("field", ["code", "password"])
def test_nobody_takes_the_throttle_off_their_own_proof(own: TestClient, db: Session, field: str) -> None:
    stale(db, 1)
    limit = 6 if field == "password" else 5
    assert tries(own, field, "000000", limit)[-1] == (429 if field == "password" else 422)
    assert asks(own.post(f"{HERE}1/unlock"))
    assert tries(own, field, "000000", 1) == [429]
    db.execute(update(AuthSession).values(confirmed_at=clock.now()))
    assert own.post(f"{HERE}1/unlock").status_code == 403
    assert tries(own, field, "000000", 1) == [429]


def test_a_lock_is_lifted_by_whoever_may_do_as_much(admin: TestClient, sign_in: SignIn, db: Session) -> None:
    hire(db, lead(db), "head")
    head, boris = sign_in("head"), hire(db, SUPPORT, "boris")
    head.headers["Accept-Language"] = "en"
    for user_id in (1, boris.id):
        save(db, RateBucket(key=f"login:{user_id}:", count=5, expires_at=clock.now() + timedelta(minutes=9)))
    assert "Too many attempts" in head.get(f"{HERE}1").text
    assert "Lift the lock" not in head.get(f"{HERE}1").text
    assert head.post(f"{HERE}1/unlock").status_code == 403
    assert "Lift the lock" in head.get(f"{HERE}{boris.id}").text
    assert head.post(f"{HERE}{boris.id}/unlock").status_code == 303
    assert db.scalars(select(RateBucket.key).where(RateBucket.key.startswith("login:"))).all() == ["login:1:"]
    stale(db, 1)
    assert asks(admin.post(f"{HERE}{boris.id}/unlock"))
