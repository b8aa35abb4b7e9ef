"""What a browser that is known is worth to whoever once knew the password: less than before, and nothing afterwards."""

from collections import Counter
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import security
from backend.core.config import Settings
from backend.core.devices import Device
from backend.core.events import ALERTS
from backend.core.permissions import ADMIN, MANAGER, SUPPORT
from backend.database.crud.locks import LockCRUD, devices_factor_limits, devices_limit
from backend.database.crud.staff import StaffCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import Credential
from tests.codes import code, give_app, wrong_code
from tests.conftest import PASSWORD, SignIn
from tests.crm.test_doors_to_the_letter import shown
from tests.crm.test_staff import NEW, hire, role_id
from tests.doors import ask_tokens, browser, program, sign_in, token_of

SECURITY = "/dashboard/settings/security/"
ONE = "203.0.113.9"
CHANGE = {"current": PASSWORD, "password": NEW, "repeat": NEW}


def cookies(app: FastAPI, many: int, login: str = "admin") -> list[str]:
    """Of so many browsers in which somebody with the password has signed in."""
    collected = []
    for _ in range(many):
        visitor = browser(app, ONE)
        assert sign_in(visitor, login=login).headers["location"] == "/dashboard/"
        collected.append(visitor.cookies["lyceum_device"])
    return collected


def with_cookie(app: FastAPI, cookie: str, ip: str = ONE) -> TestClient:
    made = browser(app, ip)
    made.cookies.set("lyceum_device", cookie)
    return made


def lock(app: FastAPI, login: str = "admin") -> None:
    """Somebody else tries until the account is locked for whoever is not known."""
    for _ in range(5):
        ask_tokens(program(app, "192.0.2.1"), "a wrong guess", login)
    assert sign_in(browser(app, "192.0.2.2"), login=login).status_code == 429


Change = Callable[[FastAPI, Session, Settings, TestClient], None]


def another_password(_app: FastAPI, _db: Session, _settings: Settings, own: TestClient) -> None:
    assert own.post("/dashboard/settings/password", data=CHANGE).status_code == 303


def a_factor(_app: FastAPI, db: Session, settings: Settings, _own: TestClient) -> None:
    give_app(db, settings, "boris")


def another_role(_app: FastAPI, db: Session, _settings: Settings, _own: TestClient) -> None:
    boris = UserCRUD(db).find_by_login("boris")
    assert boris is not None
    StaffCRUD(db).set_role(boris.id, role_id(db, MANAGER), 1)
    db.commit()


def signed_out_everywhere(_app: FastAPI, db: Session, _settings: Settings, _own: TestClient) -> None:
    boris = UserCRUD(db).find_by_login("boris")
    assert boris is not None
    StaffCRUD(db).sign_out_everywhere(boris.id, 1)
    db.commit()


@pytest.mark.parametrize("change", [another_password, a_factor, another_role, signed_out_everywhere])
def test_a_cookie_of_before_knows_nobody(
    app: FastAPI, db: Session, settings: Settings, sign_in: SignIn, change: Change
) -> None:
    hire(db, SUPPORT, "boris", security.hash_password(PASSWORD))
    old, own = cookies(app, 1, "boris")[0], sign_in("boris")
    lock(app, "boris")
    assert enter(app, old, PASSWORD) != 429
    LockCRUD(db).lift(2)
    db.commit()
    change(app, db, settings, own)
    lock(app, "boris")
    assert {enter(app, old, password) for password in (PASSWORD, NEW)} == {429}


def enter(app: FastAPI, cookie: str, password: str) -> int:
    return sign_in(with_cookie(app, cookie, "203.0.113.77"), password, "boris").status_code


def test_who_sets_another_password_stays_known_where_they_did(app: FastAPI) -> None:
    own = browser(app)
    sign_in(own)
    own.headers["X-CSRF-Token"] = token_of(own.get("/dashboard/settings/"))
    assert own.post("/dashboard/settings/password", data=CHANGE).status_code == 303
    lock(app)
    assert sign_in(with_cookie(app, own.cookies["lyceum_device"]), NEW).status_code == 303


def test_who_changes_their_factors_stays_known_where_they_did(app: FastAPI, db: Session) -> None:
    own = browser(app)
    sign_in(own)
    before = own.cookies["lyceum_device"]
    own.headers["X-CSRF-Token"] = token_of(own.get("/dashboard/settings/"))
    draft, secret = shown(own.get(f"{SECURITY}app").text)
    assert own.post(f"{SECURITY}app", data={"draft": draft, "code": code(secret=secret)}).status_code == 200
    lock(app)
    added = own.cookies["lyceum_device"]
    assert [sign_in(with_cookie(app, each)).status_code for each in (before, added)] == [429, 303]
    app_id = db.scalars(select(Credential.id).where(Credential.kind == "totp")).one()
    assert own.post(f"{SECURITY}factors/{app_id}/remove").status_code == 303
    removed = own.cookies["lyceum_device"]
    lock(app)
    assert [sign_in(with_cookie(app, each)).status_code for each in (added, removed)] == [429, 303]


def test_an_app_that_takes_the_place_of_another_is_told_as_one_that_is_removed(app: FastAPI, db: Session) -> None:
    own = browser(app)
    sign_in(own)
    own.headers["X-CSRF-Token"] = token_of(own.get("/dashboard/settings/"))
    told = []
    for _ in range(2):
        draft, secret = shown(own.get(f"{SECURITY}app").text)
        assert own.post(f"{SECURITY}app", data={"draft": draft, "code": code(secret=secret)}).status_code in {200, 303}
        about = select(SecurityEvent.kind, SecurityEvent.data).where(SecurityEvent.kind.like("authn_factor_%"))
        told.append([(row.kind, row.data) for row in db.execute(about.order_by(SecurityEvent.id))])
        db.rollback()
    added, removed = (("authn_factor_added", {"factor": "totp"}), ("authn_factor_removed", {"factor": "totp"}))
    assert told == [[added], [added, removed, added]]
    assert "authn_factor_removed" in ALERTS


def test_all_known_devices_together_have_fifty_tries_an_hour(app: FastAPI, db: Session, admin: TestClient) -> None:
    collected = cookies(app, 8)
    seen: Counter[int] = Counter()
    for cookie in collected[:-1]:
        guest = with_cookie(app, cookie)
        seen.update(sign_in(guest, f"a wrong guess {number}").status_code for number in range(10))
    assert seen == {401: 50, 429: 20}
    assert LockCRUD(db).locked([1]) == {1}
    # The same count stands before the proof in a session: it is the same password.
    proof = with_cookie(app, collected[-1])
    proof.cookies.set("lyceum", admin.cookies["lyceum"])
    proof.headers["X-CSRF-Token"] = admin.headers["X-CSRF-Token"]
    sent = {"next": "/dashboard/", "password": PASSWORD}
    assert proof.post("/dashboard/confirm/", data=sent).status_code == 429
    LockCRUD(db).lift(1)
    db.commit()
    assert proof.post("/dashboard/confirm/", data=sent).status_code == 303


def test_a_right_password_gives_back_one_try_of_them_all(app: FastAPI, db: Session) -> None:
    collected = cookies(app, 2)
    for _ in range(4):
        sign_in(with_cookie(app, collected[0]), "a wrong guess")
    assert sign_in(with_cookie(app, collected[1])).status_code == 303
    db.rollback()
    count = LockCRUD(db).counted([devices_limit(1)])
    assert [tries for tries, _seconds in count.values()] == [4]


def test_strangers_cannot_use_up_what_known_devices_have(app: FastAPI, db: Session) -> None:
    own = cookies(app, 1)[0]
    hire(db, ADMIN, "boris", security.hash_password(PASSWORD))
    foreign = cookies(app, 1, "boris")[0]
    for number in range(60):
        sign_in(with_cookie(app, foreign, f"192.0.2.{number}"), "a wrong guess")
        ask_tokens(program(app, f"192.0.2.{number}"), "a wrong guess")
    assert LockCRUD(db).counted([devices_limit(1)]) == {}
    assert sign_in(with_cookie(app, own)).status_code == 303


def test_codes_of_all_known_devices_are_counted_together(app: FastAPI, db: Session, settings: Settings) -> None:
    """The app was there before: the cookies are those of a thief who had the phone as well for a while."""
    give_app(db, settings)
    made = [Device().with_person(db, 1).seal(settings) for _ in range(12)]
    seen: Counter[int] = Counter()
    for cookie in made:
        guest = with_cookie(app, cookie)
        assert sign_in(guest).headers["location"].startswith("/login/second")
        guest.headers["X-CSRF-Token"] = token_of(guest.get("/login/second"))
        sent = {"code": wrong_code()}
        seen.update(guest.post("/login/second", data=sent).status_code for _ in range(5))
    assert seen == {401: 50, 429: 10}
    assert LockCRUD(db).locked([1]) == {1}


def test_a_device_that_is_not_known_leaves_their_count_alone(app: FastAPI, db: Session, settings: Settings) -> None:
    give_app(db, settings)
    guest = browser(app)
    sign_in(guest)
    guest.headers["X-CSRF-Token"] = token_of(guest.get("/login/second"))
    assert guest.post("/login/second", data={"code": wrong_code()}).status_code == 401
    db.rollback()
    assert LockCRUD(db).counted(devices_factor_limits(1)) == {}
