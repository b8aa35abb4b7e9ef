"""What became of an account, of the school's settings and its tokens stands on the settings page, without secrets."""

import re
from pathlib import Path

from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.core import wording
from backend.core.config import ROOT
from backend.core.events import ALERTS
from backend.core.permissions import SUPPORT
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.history import Change, ChangeSet
from backend.database.models.users import User
from main import create_app
from tests.conftest import PASSWORD, SignIn, make_settings
from tests.doors import ORIGIN

HERE = "/dashboard/settings/"


def told(page: str) -> list[str]:
    """The timeline's lines without their moments."""
    lines = re.findall(r"<p><b class=\"ly-strong\">(.*?)</p>", page.partition('id="record-history"')[2], re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", "", line).split()) for line in lines]


def test_what_is_changed_here_stands_in_the_history_without_secrets(own: TestClient, db: Session) -> None:
    own.post(f"{HERE}school", data={"name": "Window Light"})
    own.post(f"{HERE}tokens", data={"name": "shop", "scopes": "lessons:read"})
    sent = {"current": PASSWORD, "password": "tulip-kettle-orbit-9", "repeat": "tulip-kettle-orbit-9"}
    assert own.post(f"{HERE}password", data=sent).status_code == 303
    own.post(f"{HERE}sessions/revoke")
    page = own.get(HERE, headers={"Accept-Language": "en"}).text
    assert told(page)[:4] == [
        "Changed person, other devices signed out · Анна, in the dashboard",
        "Changed person, password changed · Анна, in the dashboard",
        "Created API access token, shown once · Анна, in the dashboard",
        "Changed setting · Анна, in the dashboard",
    ]
    assert "Window Light" in page.partition('id="record-history"')[2]
    assert "/undo" not in page
    assert "All changes" not in page  # of two records at once
    stored = str([(c.before, c.after) for c in db.scalars(select(Change))])
    assert "tulip" not in stored
    assert "argon2" not in stored
    sets = db.scalars(select(ChangeSet).where(ChangeSet.door == "web")).all()
    assert {(found.actor_id, bool(found.ip), bool(found.request_id)) for found in sets} == {(1, True, True)}


def test_alerts_are_chosen_with_a_history(own: TestClient, db: Session) -> None:
    boxes = [box.attributes["value"] for box in HTMLParser(own.get(HERE).text).css("[name=alerts][checked]")]
    assert boxes == list(ALERTS)
    sent = {"alerts": ["sys_audit_broken", "new_admin"], "alert_way": "email"}
    for _ in range(2):
        assert own.post(f"{HERE}alerts", data=sent).status_code == 303
    page = own.get(HERE, headers={"Accept-Language": "en"}).text
    assert [box.attributes["value"] for box in HTMLParser(page).css("[name=alerts][checked]")] == [
        "new_admin", "sys_audit_broken",
    ]  # fmt: skip
    assert told(page)[0] == "Changed setting · Анна, in the dashboard"
    timeline = page.partition('id="record-history"')[2]
    assert "<ins>A new administrator, The history chain is broken</ins>" in timeline
    assert "<ins>By email only</ins>" in timeline
    assert len(db.scalars(select(SecurityEvent).where(SecurityEvent.kind == "sys_alerts_changed")).all()) == 1
    for bad in ({"alerts": "authn_login_success", "alert_way": "email"}, {"alert_way": "pigeon"}, {}):
        assert own.post(f"{HERE}alerts", data=bad).status_code == 422
    assert own.post(f"{HERE}alerts", data={"alert_way": "chat"}).status_code == 303
    assert HTMLParser(own.get(HERE).text).css("[name=alerts][checked]") == []


def test_whom_no_alert_reaches_stands_beside_the_choice(
    own: TestClient, db: Session, database_url: str, tmp_path: Path
) -> None:
    db.execute(update(User).values(ui_language="en"))
    db.commit()
    assert "Alerts currently reach no one" in own.get(HERE).text  # no mail server, no bot
    mail = {"smtp_url": "smtps://school:pass@mail.example", "mail_from": "school@school.example"}
    app = create_app(make_settings(database_url, tmp_path, **mail))
    there = TestClient(app, base_url="http://127.0.0.1:8000", headers=ORIGIN, cookies={"lyceum": own.cookies["lyceum"]})
    assert "Alerts currently reach no one" in there.get(HERE).text
    UserCRUD(db).create_staff(login="boris", password_hash="x", role="Админ", first_name="Boris")
    db.execute(update(User).where(User.id == 1).values(email="anna@school.example"))
    db.commit()
    note = HTMLParser(there.get(HERE).text).css_first("#deaf")
    assert note is not None
    assert note.text() == "Not reached: Boris"
    db.execute(update(User).where(User.login == "boris").values(email="boris@school.example"))
    db.commit()
    assert HTMLParser(there.get(HERE).text).css_first("#deaf") is None
    app.state.database.dispose()


def test_an_unchanged_school_is_no_change(own: TestClient, db: Session) -> None:
    for _ in range(2):
        own.post(f"{HERE}school", data={"name": "Window Light"})
    assert len(db.scalars(select(Change).where(Change.entity == "settings")).all()) == 1


def test_the_schools_history_is_for_those_who_run_it(own: TestClient, staff: SignIn) -> None:
    own.post(f"{HERE}school", data={"name": "Window Light"})
    support = staff(SUPPORT).get(HERE, headers={"Accept-Language": "en"}).text
    assert told(support) == ["Created person · automatically"]


def test_every_verb_has_words() -> None:
    """What code calls a change is what people read."""
    sources = "".join(path.read_text() for path in (ROOT / "backend").rglob("*.py"))
    named = set(re.findall(r'(?:describe|label|note)\((?:\w+\.)?\w+, "(\w+)"\)', sources))
    assert {"refund", "password", "create_token"} <= named
    assert (named | {"undo", "redo"}) - set(wording.LABELS) == set()
