"""What the pages of the staff say of a person, word for word."""

import csv
import io

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy.orm import Session

from backend.core.events import Event
from backend.core.permissions import ADMIN, MANAGER
from tests.crm.pages import words
from tests.crm.test_audit import told as events
from tests.crm.test_staff import HERE, hire, invited


def test_a_line_tells_the_login_or_else_the_email_or_nothing(admin: TestClient, db: Session) -> None:
    """What stands in the place of a login that is still to be chosen is shown to nobody."""
    boris = hire(db, MANAGER, "boris")
    boris.email = "boris@school.example"
    vera, _address = invited(admin, db, email="vera@school.example")
    olga, _address = invited(admin, db, first_name="Ольга")
    db.commit()
    page = HTMLParser(admin.get(HERE).text)
    told = {
        person.first_name: [words(note) for note in page.css(f"#person-{person.id} .ly-person small")]
        for person in (boris, vera, olga)
    }
    assert told == {"Boris": ["boris"], "Вера": ["vera@school.example"], "Ольга": []}


def listed(admin: TestClient, **params: str) -> list[str]:
    page = HTMLParser(admin.get(HERE, params=params).text)
    return [words(name) for name in page.css("[id^=person-] .ly-person a")]


def test_who_is_invited_does_not_work_here_yet(admin: TestClient, db: Session) -> None:
    hire(db, MANAGER, "boris", "hash")
    invited(admin, db)
    hire(db, MANAGER, "gone").is_active = False
    db.commit()
    shown = {state: listed(admin, state=state) for state in ("active", "invited", "off")}
    assert shown == {"active": ["Boris", "Анна"], "invited": ["Вера Орлова"], "off": ["Gone"]}


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("role", "Role"),
        ("state", "State"),
        ("factor", "Second factor"),
        ("seen_at", "Last seen"),
        ("created_at", "Joined"),
    ],
)
def test_a_column_is_chosen_by_the_name_that_bookmarks_keep(admin: TestClient, name: str, head: str) -> None:
    page = HTMLParser(admin.get(HERE, params={"cols": name}).text)
    assert [words(each) for each in page.css("thead th")] == ["Person", head]


def test_the_file_of_staff_says_who_may_what_and_is_on_record(admin: TestClient, db: Session) -> None:
    hire(db, MANAGER, "boris", "hash")
    invited(admin, db)
    hire(db, MANAGER, "gone").is_active = False
    db.commit()
    text = admin.get(f"{HERE}export.csv").text.lstrip("\ufeff")
    rows = {row["first_name"]: row for row in csv.DictReader(io.StringIO(text))}
    told = {name: (row["login"], row["role"], row["state"], row["factor"]) for name, row in rows.items()}
    assert told == {
        "Boris": ("boris", MANAGER, "active", "0"),
        "Анна": ("admin", ADMIN, "active", "0"),
        "Вера": ("", MANAGER, "invited", "0"),
        "Gone": ("gone", MANAGER, "off", "0"),
    }
    assert "invited " not in text  # what stands in the place of a login
    [event] = events(db, Event.EXPORTED)
    assert (event.data["what"], event.data["format"]) == ("staff", "csv")
