"""What is done to accounts is on record: who did it, from where; and whoever runs the school is told of it."""

from datetime import timedelta

import pytest
import time_machine
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.events import NEW_ADMIN, Event
from backend.core.permissions import ADMIN, MANAGER
from backend.crm.matrix import AREAS
from backend.database.crud.alerts import _topic
from backend.database.models.audit import SecurityEvent
from backend.database.models.history import ChangeSet
from tests.crm.pages import one
from tests.crm.test_audit import told
from tests.crm.test_forgotten import browser, letters
from tests.crm.test_staff import HERE, invited, role_id
from tests.factories import make_user
from tests.routes import routes_of

NEW = "seven wild geese over the lake"


# -- a new administrator


def test_an_invited_administrator_is_told_of_when_invited(admin: TestClient, db: Session) -> None:
    """Not only once they accept: other ways in would pass by that."""
    invited(admin, db, role_id=role_id(db, ADMIN), email="vera@school.example")
    invited(admin, db, first_name="Ольга")
    events = told(db, Event.USER_INVITED)
    assert [(event.data.get("role"), _topic(event)) for event in events] == [(ADMIN, NEW_ADMIN), (MANAGER, "")]


def test_no_link_lets_in_who_has_not_accepted(admin: TestClient, db: Session) -> None:
    person, _address = invited(admin, db, role_id=role_id(db, ADMIN))
    refused = admin.post(f"{HERE}{person.id}/link")
    assert (refused.status_code, "has not accepted the invitation" in refused.text) == (409, True)
    assert told(db, Event.LINK_CREATED) == []


@pytest.mark.parametrize("days", [0, 8, 40])  # it holds; it has expired; it is swept away
def test_a_forgotten_password_is_no_way_round_an_invitation(
    app: FastAPI, admin: TestClient, db: Session, days: int
) -> None:
    invited(admin, db, email="vera@school.example", role_id=role_id(db, ADMIN))
    student = make_user(db, email="s@school.example")  # who may set a first password this way
    db.commit()
    with time_machine.travel(clock.now() + timedelta(days=days)):
        visitor = browser(app)
        for name in ("vera@school.example", "s@school.example"):
            assert visitor.post("/forgot", data={"username": name}).status_code == 303
    assert [letter.user_id for letter in letters(db, "reset")] == [student.id]


# -- who did it, and from where


def test_who_accepts_an_invitation_is_on_record_with_the_address(app: FastAPI, admin: TestClient, db: Session) -> None:
    person, address = invited(admin, db)
    guest = browser(app, "203.0.113.77")
    answer = guest.post(address, data={"login": "vera", "password": NEW, "repeat": NEW})
    assert answer.status_code == 303
    [event] = told(db, Event.USER_CREATED)
    assert (event.user_id, event.door, event.ip) == (person.id, "web", "203.0.113.77")
    made = db.scalars(select(ChangeSet).order_by(ChangeSet.id.desc())).first()
    assert made is not None
    assert (made.door, made.ip, made.request_id) == ("web", "203.0.113.77", event.request_id)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/dashboard/confirm/", {"password": "not this one at all"}),
        ("/dashboard/settings/password", {"current": "not this one", "password": NEW, "repeat": NEW}),
    ],
)
def test_wrong_passwords_of_who_is_signed_in_are_events(
    admin: TestClient, db: Session, path: str, sent: dict[str, str]
) -> None:
    """Whoever sits at a stolen session and guesses is seen, and told of."""
    statuses = [admin.post(path, data=sent).status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]
    told = select(SecurityEvent).where(SecurityEvent.kind.like("authn_login_fail%")).order_by(SecurityEvent.id)
    failed = db.scalars(told).all()
    assert [event.kind for event in failed] == ["authn_login_fail"] * 4 + ["authn_login_fail_max"]
    assert {(event.user_id, event.actor_id, event.ip) for event in failed} == {(1, 1, "testclient")}
    assert failed[-1].data["limit"] == "account"


def test_a_form_that_another_site_sends_is_told(admin: TestClient, db: Session) -> None:
    answer = admin.post("/dashboard/lessons/", data={"title": "x"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    [event] = told(db, Event.REFUSED)
    assert (event.user_id, event.data["why"], event.data["route"]) == (1, "csrf", "crm:lessons:create")


def test_a_form_of_nobody_is_not(app: FastAPI, db: Session) -> None:
    answer = browser(app).post("/dashboard/lessons/", headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, told(db, Event.REFUSED)) == (403, [])


# -- what the page of roles says


def test_every_area_of_the_table_has_routes(app: FastAPI, admin: TestClient) -> None:
    paths = [route.path for route in routes_of(app)]
    assert [area for area in AREAS if area and not any(path.startswith(area) for path in paths)] == []
    page = one(admin.get("/dashboard/settings/roles/").text, "main").text()
    assert "Security events" in page
