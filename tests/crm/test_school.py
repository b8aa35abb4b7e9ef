"""What an admin decides for the whole school: its name, and how the bot is switched on."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.database.crud.settings import SettingCRUD
from backend.database.models.users import User
from tests.conftest import SignIn
from tests.doors import browser

HERE = "/dashboard/settings/"
SWAP = {"HX-Request": "true", "HX-Request-Type": "partial"}
NEW = "tulip-kettle-orbit"


def person(db: Session, login: str = "admin") -> User:
    db.rollback()
    return db.scalars(select(User).where(User.login == login)).one()


def test_the_schools_name_is_everywhere_at_once(own: TestClient, app: FastAPI, db: Session) -> None:
    assert own.post(f"{HERE}school", data={"name": "  Свет из окна "}).status_code == 303
    assert SettingCRUD(db).find("school") == {"name": "Свет из окна"}
    assert "Свет из окна" in own.get(HERE).text
    assert "Свет из окна" in browser(app).get("/login").text


def test_other_processes_learn_the_name_by_looking(app: FastAPI, db: Session, database_url: str) -> None:
    SettingCRUD(db).put("school", {"name": "Свет из окна"})
    db.commit()
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:  # a process reads it when it starts
        assert "Свет из окна" in client.get("/login").text
    SettingCRUD(db).put("school", {"name": "Другое"})
    db.commit()
    app.state.school.read()
    assert app.state.school.name == "Другое"


def test_a_name_needs_letters(own: TestClient, app: FastAPI) -> None:
    answer = own.post(f"{HERE}school", data={"name": "  "})
    assert (answer.status_code, "Fill in this field." in answer.text) == (422, True)
    assert app.state.school.name == "Lyceum"


@pytest.mark.parametrize("role", ["Менеджер", "Автор", "Поддержка"])
def test_only_admins_decide_for_the_school(staff: SignIn, role: str) -> None:
    client = staff(role)
    for path, sent in (
        ("school", {"name": "x"}),
        ("tokens", {"name": "x", "scopes": "lessons:read"}),
        ("tokens/1/revoke", {}),
    ):
        assert client.post(f"{HERE}{path}", data=sent).status_code == 403


def test_the_bots_card_says_how_to_switch_it_on(own: TestClient) -> None:
    page = own.get(HERE).text
    assert "TELEGRAM_BOT_TOKEN=123456:ABC..." in page
    assert "SANDBOX=1" in page
