"""Roles of the school's own: made, changed and dropped by whoever has the rights in them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import security
from backend.core.config import Settings
from backend.core.errors import AppError, ConflictError, ForbiddenError
from backend.core.permissions import ADMIN, AUTHOR, MANAGER, SUPPORT, SYSTEM_ROLES, Permission
from backend.database.crud.roles import RoleCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.crud.users import init_roles
from backend.database.models.audit import SecurityEvent
from backend.database.models.users import Role, User
from backend.database.schemas.staff import RoleForm
from backend.database.session import Database
from main import create_app
from tests.conftest import PASSWORD, SignIn
from tests.crm.pages import errors, one, words
from tests.crm.test_staff import hire, lead, role_id
from tests.doors import BASE, ask_tokens, bearer, program
from tests.factories import save

HERE = "/dashboard/settings/roles/"
BASIC = ["dashboard:read", "profile:write"]


def make(admin: TestClient, db: Session, name: str = "Куратор", *rights: str) -> Role:
    answer = admin.post(HERE, data={"name": name, "rights": [*BASIC, *rights]})
    assert answer.status_code == 303, answer.text
    return db.scalars(select(Role).where(Role.name == name)).one()


def test_an_own_role_is_made_changed_and_dropped(admin: TestClient, sign_in: SignIn, db: Session) -> None:
    role = make(admin, db, "Куратор", "tickets:read")
    assert role.permissions == [*BASIC, "tickets:read"]
    assert not role.is_system
    assert "Куратор" in admin.get("/dashboard/settings/staff/new").text
    hire(db, "Куратор", "vera")
    vera = sign_in("vera")
    assert (vera.get("/dashboard/tickets/").status_code, vera.get("/dashboard/users/").status_code) == (200, 403)

    page = admin.get(f"{HERE}{role.id}").text
    was = one(page, "[name=was]").attributes["value"]
    sent = {"name": "Старший куратор", "rights": [*BASIC, "users:read"], "was": was}
    assert admin.post(f"{HERE}{role.id}", data=sent).status_code == 303
    assert vera.get("/dashboard/users/").headers["location"].startswith("/login")
    vera = sign_in("vera")
    assert (vera.get("/dashboard/tickets/").status_code, vera.get("/dashboard/users/").status_code) == (403, 200)
    changed = SecurityEvent.kind == "authz_change"
    event = db.scalars(select(SecurityEvent).where(changed).order_by(SecurityEvent.id.desc())).first()
    assert event is not None
    assert event.actor_id == 1
    assert event.data == {"role": "Старший куратор", "given": ["users:read"], "taken": ["tickets:read"]}
    assert "View people" in admin.get(f"{HERE}{role.id}").text

    assert admin.post(f"{HERE}{role.id}", data=sent).status_code == 409  # it began with other rights
    assert admin.post(f"{HERE}{role.id}/delete").status_code == 409
    StaffCRUD(db).set_role(db.scalars(select(User.id).where(User.login == "vera")).one(), role_id(db, SUPPORT), 1)
    db.commit()
    assert admin.post(f"{HERE}{role.id}/delete").status_code == 303
    assert db.scalars(select(Role).where(Role.name == "Старший куратор")).all() == []


def test_taken_rights_are_gone_at_once_and_given_ones_need_a_new_session(
    admin: TestClient, sign_in: SignIn, db: Session, settings: Settings
) -> None:
    """In every process: the other app has connections and memory of its own."""
    role = make(admin, db, "Куратор", "tickets:read", "users:read")
    vera, boris = hire(db, "Куратор", "vera", security.hash_password(PASSWORD)), hire(db, SUPPORT, "boris")
    here, other = sign_in("vera"), create_app(settings)
    there = TestClient(other, base_url=BASE, cookies={"lyceum": here.cookies["lyceum"]}, follow_redirects=False)
    pair, support = ask_tokens(program(other), login="vera").json(), sign_in("boris")

    def seen(path: str) -> list[int]:
        by_api = program(other).get(f"/api/{path}/", headers=bearer(pair["access_token"]))
        return [
            here.get(f"/dashboard/{path}/").status_code,
            there.get(f"/dashboard/{path}/").status_code,
            by_api.status_code,
        ]

    def change(*rights: str) -> None:
        assert admin.post(f"{HERE}{role.id}", data={"name": "Куратор", "rights": [*BASIC, *rights]}).status_code == 303

    assert (seen("tickets"), seen("users")) == ([200] * 3, [200] * 3)
    change("tickets:read")
    assert (seen("tickets"), seen("users")) == ([200] * 3, [403] * 3)
    change("tickets:read", "users:read")
    assert (seen("tickets"), seen("users")) == ([303, 303, 401], [303, 303, 401])
    refreshed = program(other).post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert refreshed.status_code == 401
    assert sign_in("vera").get("/dashboard/users/").status_code == 200
    assert (support.get("/dashboard/tickets/").status_code, boris.token_version) == (200, 1)
    db.refresh(vera)
    assert vera.token_version == 2
    other.state.database.dispose()


def test_a_version_that_gives_a_role_more_does_the_same(sign_in: SignIn, database: Database, db: Session) -> None:
    hire(db, SUPPORT, "boris")
    role = db.scalars(select(Role).where(Role.name == SUPPORT)).one()
    role.permissions = [*role.permissions, "settings:write"]
    db.flush()
    boris = sign_in("boris")
    database.run(init_roles)
    assert boris.get("/dashboard/tickets/").status_code == 200
    role.permissions = [right for right in SYSTEM_ROLES[SUPPORT] if right != "tickets:read"]
    db.flush()
    database.run(init_roles)
    assert boris.get("/dashboard/tickets/").status_code == 303


def test_a_copy_begins_with_the_rights_of_another(admin: TestClient, db: Session) -> None:
    page = HTMLParser(admin.get(f"{HERE}new", params={"copy": role_id(db, AUTHOR)}).text)
    on = sorted(box.attributes["value"] or "" for box in page.css("[name=rights][checked]"))
    author = db.scalars(select(Role).where(Role.name == AUTHOR)).one()
    assert on == author.permissions
    name = page.css_first("#name")
    assert name is not None
    assert name.attributes["value"] == "Author, a copy"
    # What stands for Telegram's word is for tokens alone.
    assert {box.attributes["value"] for box in page.css("[name=rights]")} == {*Permission} - {"bot", "purchases:write"}


def test_a_new_role_begins_with_what_everyone_needs(admin: TestClient) -> None:
    page = HTMLParser(admin.get(f"{HERE}new").text)
    assert [box.attributes["value"] for box in page.css("[name=rights][checked]")] == BASIC
    sets = {words(each.css("legend")[0]): each.css("[name=rights]") for each in page.css("fieldset.ly-field")}
    assert [box.attributes["value"] for box in sets["All staff"]] == BASIC
    assert "Other" not in sets


def test_what_does_not_fit_stays_in_the_form(admin: TestClient) -> None:
    for name in ("Админ", "admin", "АДМИН", "Manager"):
        refused = admin.post(HERE, data={"name": name, "rights": [*BASIC, "users:read"]})
        assert errors(refused.text) == {"name": "A role with this name already exists."}
        assert len(HTMLParser(refused.text).css("[name=rights][checked]")) == 3
    assert list(errors(admin.post(HERE, data={"name": ""}).text)) == ["name"]
    twins = [
        "Aдмин",
        "Адмиn",
        "АДМИΝ",
        "Менеджёр",
        "А д м и н",
        "Ад\u200bмин",
        "ABTOP",
        "Adm1n",
        "ΑΒΤΟΡ",
        "Ａｄｍｉｎ ",
    ]
    told = [errors(admin.post(HERE, data={"name": name, "rights": BASIC}).text)["name"] for name in twins]
    mixed, alike = "Do not mix alphabets within a word.", "This name is too similar to another role's."
    assert told == [mixed] * 3 + [alike] * 7
    for right in ("bot", "purchases:write", "everything"):
        assert admin.post(HERE, data={"name": "X", "rights": right}).status_code == 422


def test_a_role_is_renamed_to_what_no_other_is_called(admin: TestClient, db: Session) -> None:
    role = make(admin, db, "Куратор")
    make(admin, db, "Наставник")
    taken, alike = "A role with this name already exists.", "This name is too similar to another role's."
    for name, told in (("Админ", taken), ("MANAGER", taken), ("наставник", taken), ("Менеджёр", alike)):
        refused = admin.post(f"{HERE}{role.id}", data={"name": name, "rights": BASIC})
        assert (refused.status_code, errors(refused.text)) == (422, {"name": told}), name
        db.expire_all()
        assert role.name == "Куратор"
    for name in ("КУРАТОР", "Куратор.", "Куратор"):  # what reads like its own name is nobody else's
        assert admin.post(f"{HERE}{role.id}", data={"name": name, "rights": BASIC}).status_code == 303, name
        db.expire_all()
        assert role.name == name


def test_the_roles_of_the_program_stay(admin: TestClient, db: Session) -> None:
    before = {role.name: role.permissions for role in db.scalars(select(Role))}
    for name in (ADMIN, MANAGER):
        page = admin.get(f"{HERE}{role_id(db, name)}").text
        assert "Make a copy to change them." in page
        assert "name=rights" not in page
        for address in (f"{HERE}{role_id(db, name)}", f"{HERE}{role_id(db, name)}/delete"):
            assert admin.post(address, data={"name": "X", "rights": BASIC}).status_code == 403
    init_roles(db)
    db.expire_all()
    assert {role.name: role.permissions for role in db.scalars(select(Role))} == before


def test_nobody_gives_or_takes_what_they_lack(sign_in: SignIn, db: Session) -> None:
    hire(db, lead(db), "head")
    head, mine = sign_in("head"), role_id(db, "Lead")
    mixed = Role(name="Mixed", permissions=[*BASIC, "settings:write", "tickets:read"])
    save(db, mixed)
    for rights in ([*BASIC, "settings:write"], [*BASIC, "lessons:write"]):
        assert head.post(HERE, data={"name": "X", "rights": rights}).status_code == 403
    # What the person lacks cannot be ticked, and stays as it is.
    page = HTMLParser(head.get(f"{HERE}{mixed.id}").text)
    fixed = [box.attributes["value"] for box in page.css("[name=rights][disabled][checked]")]
    assert fixed == ["settings:write"]
    assert head.post(f"{HERE}{mixed.id}", data={"name": "Mixed", "rights": BASIC}).status_code == 303
    db.expire_all()
    assert mixed.permissions == [*BASIC, "settings:write"]
    assert head.post(f"{HERE}{mixed.id}/delete").status_code == 403
    assert head.post(f"{HERE}{mine}", data={"name": "Lead", "rights": BASIC}).status_code == 403
    other = hire(db, "Mixed", "other")
    with pytest.raises(ForbiddenError):
        StaffCRUD(db).set_role(other.id, role_id(db, SUPPORT), role_of(db, "head"))


def role_of(db: Session, login: str) -> int:
    return db.scalars(select(User.id).where(User.login == login)).one()


def test_a_role_is_not_dropped_while_it_is_given(database: Database, db: Session) -> None:
    """Twenty people get the role, one by one, while it is dropped: it goes before the first or not at all."""
    role = Role(name="Gone", permissions=BASIC)
    save(db, role)
    people = [hire(db, SUPPORT, f"person{number}").id for number in range(8)]

    def act(at: int) -> bool:
        def work(session: Session) -> None:
            if at == 4:
                RoleCRUD(session).drop(role.id, 1)
            else:
                StaffCRUD(session).set_role(people[at], role.id, 1)

        try:
            database.run(work)
        except AppError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(act, range(8)))
    assert (done[4], sum(done)) in {(False, 7), (True, 1)}


def test_two_who_save_at_once_do_not_overwrite_each_other(database: Database, db: Session) -> None:
    role = Role(name="Shared", permissions=BASIC)
    save(db, role)
    was = ",".join(BASIC)

    def change(right: str) -> bool:
        form = RoleForm(name="Shared", rights=[*BASIC, right], was=was)  # type: ignore[list-item] # pydantic reads them
        try:
            database.run(lambda session: RoleCRUD(session).change(role.id, form, 1))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(change, ["users:read", "users:write", "lessons:read", "courses:read"] * 2))
    assert sum(saved) == 1


def test_the_page_tells_who_may_do_what(admin: TestClient, db: Session) -> None:
    make(admin, db, "Куратор", "tickets:read")
    page = HTMLParser(admin.get(HERE).text)
    heads = [words(cell) for cell in page.css(".ly-matrix thead th")]
    assert heads == ["Area", "Admin", "Manager", "Author", "Support", "Куратор"]
    rows = {words(row.css("th")[0]): [words(cell) for cell in row.css("td")] for row in page.css(".ly-matrix tbody tr")}
    assert rows["Tickets"] == ["everything", "sees all", "–nothing", "everything", "sees some"]
    assert rows["Lessons"] == ["everything", "sees all", "everything", "sees all", "–nothing"]
    assert rows["Roles"] == ["everything", *["–nothing"] * 4]
