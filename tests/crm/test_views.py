"""Saved views: kept, shared, pinned, opened first, changed, deleted and taken back; by whom, and of which lists."""

import pytest
from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.permissions import AUTHOR, MANAGER, SUPPORT
from backend.database.models.history import Change
from backend.database.models.users import User
from backend.database.models.views import SavedView, ViewMark
from tests.conftest import SignIn
from tests.crm.pages import PARTIAL, english_admin, errors, one, words
from tests.factories import make_lesson, make_user, make_view, save

URL = "/dashboard/views/"


@pytest.fixture
def english(sign_in: SignIn, db: Session) -> TestClient:
    return english_admin(sign_in, db)


def form(**changes: str) -> dict[str, str]:
    return {"list_name": "users", "name": "Debtors", "query": "bought=no&sort=name&cursor=x&limit=7"} | changes


def views(db: Session) -> list[tuple[str, str, bool]]:
    rows = select(SavedView).order_by(SavedView.id).execution_options(populate_existing=True)
    return [(view.name, view.query, view.is_shared) for view in db.scalars(rows)]


def pins(page: str) -> list[str]:
    return [pin.text().strip() for pin in HTMLParser(page).css(".ly-pin")]


def undo(client: TestClient, page: str) -> int:
    return client.post(str(one(page, "[data-undo] form").attributes["action"])).status_code


def test_a_view_keeps_the_address_without_its_page(english: TestClient, db: Session) -> None:
    made = english.post(URL, data=form(is_pinned="true"))

    assert views(db) == [("Debtors", "sort=name&bought=no", False)]
    view = db.scalars(select(SavedView)).one()
    assert (made.status_code, made.headers["Location"]) == (
        303,
        f"/dashboard/users/?sort=name&bought=no&view={view.id}",
    )
    page = english.get(made.headers["Location"]).text
    assert pins(page) == ["Debtors"]
    assert "View saved" in page
    assert english.get(f"{URL}{view.id}").headers["Location"] == made.headers["Location"]


def test_a_view_of_too_many_conditions_is_refused_in_words(english: TestClient, db: Session) -> None:
    view = make_view(db, list_name="users")
    many = {"query": "sort=name&" * 101}
    for url, data in ((URL, form(**many)), (f"{URL}{view.id}/query", many)):
        answer = english.post(url, data=data, headers=PARTIAL)
        assert (answer.status_code, "A view can have at most 100 conditions." in answer.text) == (422, True)
    assert views(db) == [(view.name, "is_active=true", False)]


def test_every_write_is_in_the_history_and_the_deletion_is_taken_back(english: TestClient, db: Session) -> None:
    english.post(URL, data=form(is_pinned="true", is_default="true"))
    view = db.scalars(select(SavedView)).one()
    english.post(f"{URL}{view.id}", data={"name": "Owing", "is_shared": "true", "is_pinned": "true"})
    english.post(f"{URL}{view.id}/query", data={"query": "bought=yes"})
    english.post(f"{URL}{view.id}/delete")
    assert (views(db), db.scalar(select(func.count()).select_from(ViewMark))) == ([], 0)

    page = english.get("/dashboard/users/").text
    assert "View deleted" in page
    assert undo(english, page) == 303

    assert views(db) == [("Owing", "bought=yes", True)]
    mark = db.scalars(select(ViewMark)).one()
    assert (mark.user_id, mark.is_pinned, mark.is_default) == (1, True, False)
    told = db.execute(select(Change.op, Change.entity).where(Change.root == "saved_views").order_by(Change.id)).all()
    assert [tuple(row) for row in told] == [
        ("create", "saved_views"),
        ("create", "view_marks"),
        ("update", "saved_views"),
        ("update", "view_marks"),
        ("update", "saved_views"),
        ("delete", "view_marks"),
        ("delete", "saved_views"),
        ("create", "saved_views"),
        ("create", "view_marks"),
    ]


def test_one_view_of_a_list_opens_first(english: TestClient, db: Session) -> None:
    for name in ("One", "Two"):
        english.post(URL, data=form(name=name, is_default="true"))
    english.post(URL, data=form(name="Lessons", list_name="lessons", query="", is_default="true"))

    defaults = select(SavedView.name).join(SavedView.marks).where(ViewMark.is_default).order_by(SavedView.id)
    assert list(db.scalars(defaults)) == ["Two", "Lessons"]


@pytest.mark.parametrize("name", ["", "x" * 61, "a\0b"])
def test_a_refused_name_keeps_what_was_typed(english: TestClient, db: Session, name: str) -> None:
    answer = english.post(URL, data=form(name=name, is_shared="true"), headers=PARTIAL)

    assert (answer.status_code, views(db)) == (422, [])
    assert answer.text.lstrip().startswith('<form class="ly-stack" id="view-new"')
    assert set(errors(answer.text)) == {"view-new"}
    assert one(answer.text, "[name=query]").attributes["value"] == form()["query"]
    assert "checked" in one(answer.text, "[name=is_shared]").attributes
    page = english.post(URL, data=form(name=name)).text
    assert one(page, "h1").text().strip() == "Saved view"


def test_a_name_is_ones_own_once_for_each_list(english: TestClient, db: Session, staff: SignIn) -> None:
    english.post(URL, data=form())
    again = english.post(URL, data=form(), headers=PARTIAL)
    assert errors(again.text) == {"view-new": "You already have a view with this name here."}
    assert english.post(URL, data=form(list_name="lessons")).status_code == 303
    assert staff(MANAGER).post(URL, data=form()).status_code == 303
    other = make_view(db, list_name="users", name="Other")
    refused = english.post(f"{URL}{other.id}", data={"name": "Debtors"}, headers=PARTIAL)
    assert errors(refused.text) == {"view-edit": "You already have a view with this name here."}


def test_a_stale_form_of_a_view_overwrites_nothing(english: TestClient, db: Session) -> None:
    view = make_view(db, name="Old")
    english.post(f"{URL}{view.id}", data={"name": "New", "version": "1"})
    assert english.post(f"{URL}{view.id}", data={"name": "Mine", "version": "1"}).status_code == 409
    assert english.post(f"{URL}{view.id}/query", data={"query": "", "version": "1"}).status_code == 409
    assert views(db) == [("New", "is_active=true", False)]


def test_what_a_view_asks_for_and_is_not_there_any_more_is_left_out_and_named(english: TestClient, db: Session) -> None:
    query = "is_active=true&mood=grumpy&waiting=perhaps&cursor=xyz&sort=charm&cols=spent,aura&joined_since=soon"
    view = make_view(db, list_name="users", name="Stale", query=query)

    moved = english.get(f"{URL}{view.id}")

    assert moved.headers["Location"] == f"/dashboard/users/?is_active=true&cols=spent&view={view.id}"
    page = english.get(moved.headers["Location"])
    told = "something that no longer exists or is closed to you: mood, Joined, Ticket, columns, sort order."
    assert (page.status_code, told in page.text) == (200, True)


def test_a_view_of_a_record_that_is_gone_opens_without_it(english: TestClient, db: Session) -> None:
    lesson = make_lesson(db)
    view = make_view(db, list_name="sales", name="Sold", query=f"lesson_id={lesson.id}&state=paid")
    assert (
        english.get(f"{URL}{view.id}")
        .headers["Location"]
        .startswith(f"/dashboard/sales/?state=paid&lesson_id={lesson.id}")
    )
    english.post(f"/dashboard/lessons/{lesson.id}/delete")

    moved = english.get(f"{URL}{view.id}")

    assert moved.headers["Location"] == f"/dashboard/sales/?state=paid&view={view.id}"
    assert "or is closed to you: Lesson. The rest is shown." in english.get(moved.headers["Location"]).text


def bar(page: str) -> tuple[str, list[str], bool]:
    """What the list's menu of views says: the chip, the views, whether the open one is changed."""
    chip = words(one(page, "[popovertarget=views]"))
    names = [words(item) for item in HTMLParser(page).css("#views > a")]
    return chip, names, "ly-changed" in page


def test_a_list_shows_its_views_and_which_is_open(english: TestClient, db: Session, staff: SignIn) -> None:
    assert bar(english.get("/dashboard/users/?bought=no").text) == ("Saved views", ["All"], False)
    assert "Save as a new view" in english.get("/dashboard/users/?bought=no").text
    staff(MANAGER).post(URL, data=form(name="Theirs", is_shared="true"))
    english.post(URL, data=form(name="Mine"))
    english.post(URL, data=form(list_name="lessons", name="Elsewhere"))
    view = db.scalars(select(SavedView).where(SavedView.name == "Mine")).one()
    url = f"/dashboard/users/?sort=name&bought=no&view={view.id}"

    assert bar(english.get(url).text) == ("Mine", ["All", "Mine", "Theirs"], False)
    changed = english.get(f"{url}&waiting=true", headers=PARTIAL)
    assert bar(changed.text) == ("Mine edited", ["All", "Mine", "Theirs", "Reset to saved"], True)
    assert changed.headers["HX-Push-Url"] == f"/dashboard/users/?sort=name&bought=no&waiting=true&view={view.id}"
    query = one(changed.text, "form[action$='/query'] [name=query]").attributes["value"] or ""
    kept = english.post(f"{URL}{view.id}/query", data={"query": query, "version": "1"})
    assert kept.headers["Location"] == f"/dashboard/users/?sort=name&bought=no&waiting=true&view={view.id}"
    assert bar(english.get(kept.headers["Location"]).text)[2] is False


def test_a_bare_address_opens_the_default_and_everything_stays_in_reach(english: TestClient, db: Session) -> None:
    make_user(db)
    english.post(URL, data=form(name="First", query="bought=yes", is_default="true"))
    view = db.scalars(select(SavedView)).one()
    opened = f"/dashboard/users/?bought=yes&view={view.id}"

    assert english.get("/dashboard/users/").headers["Location"] == opened
    assert english.get("/dashboard/users/", headers=PARTIAL).status_code == 200
    page = english.get(opened).text  # nobody has bought anything
    assert one(page, "#views > a").attributes["href"] == "/dashboard/users/?view=all"
    assert one(page, ".ly-state a.btn").attributes["href"] == f"/dashboard/users/?view={view.id}"
    for rest in ("view=all", f"view={view.id}", "q=мария"):
        assert "Ковалёва" in english.get(f"/dashboard/users/?{rest}").text
    assert english.get("/dashboard/lessons/").status_code == 200


def test_a_private_view_is_not_there_for_others(db: Session, staff: SignIn) -> None:
    view, manager = make_view(db, list_name="users"), staff(MANAGER)

    for path in ("", "/query", "/marks", "/delete"):
        assert manager.post(f"{URL}{view.id}{path}", data={"name": "x"}).status_code == 404
    answer = manager.get(f"{URL}{view.id}", headers={"Accept-Language": "en"})
    assert (answer.status_code, "has been deleted, or its owner keeps it private" in answer.text) == (404, True)


def test_a_shared_view_is_everyones_to_use_and_its_owners_to_change(db: Session, staff: SignIn) -> None:
    view, manager = make_view(db, list_name="users", name="Team", is_shared=True), staff(MANAGER)

    assert manager.get(f"{URL}{view.id}").status_code == 303
    for path in ("", "/query", "/delete"):
        assert manager.post(f"{URL}{view.id}{path}", data={"name": "x"}).status_code == 403
    assert manager.post(f"{URL}{view.id}/marks", data={"is_pinned": "true"}).status_code == 303
    assert pins(manager.get("/dashboard/").text) == ["Team"]
    assert pins(staff(SUPPORT).get("/dashboard/").text) == []


def test_the_administrator_deletes_what_others_share(english: TestClient, db: Session, staff: SignIn) -> None:
    manager = staff(MANAGER)
    manager.post(URL, data=form(is_shared="true"))
    view = db.scalars(select(SavedView)).one()
    assert english.post(f"{URL}{view.id}/delete").status_code == 303
    assert views(db) == []


def test_a_list_that_one_may_not_see_has_no_views(db: Session, staff: SignIn) -> None:
    view, author = make_view(db, list_name="users", name="Debtors", is_shared=True), staff(AUTHOR)
    person = db.scalar(select(func.max(User.id)))
    save(db, ViewMark(user_id=person, view_id=view.id, list_name="users", is_pinned=True))  # before a right was lost

    assert author.get(f"{URL}{view.id}").status_code == 404
    assert author.post(f"{URL}{view.id}/marks", data={"is_pinned": "true"}).status_code == 404
    assert author.post(URL, data=form()).status_code == 404
    assert author.post(URL, data=form(list_name="nothing")).status_code == 404
    assert "Debtors" not in author.get("/dashboard/").text


def test_only_ones_own_change_of_a_view_is_taken_back(db: Session, staff: SignIn, english: TestClient) -> None:
    owner, other = staff(MANAGER), staff(MANAGER)
    owner.post(URL, data=form(is_shared="true"))
    view = db.scalars(select(SavedView)).one()
    owner.post(f"{URL}{view.id}", data={"name": "Renamed", "is_shared": "true"})
    change_set = db.scalar(select(func.max(Change.change_set_id)))

    assert other.post(f"/dashboard/history/{change_set}/undo").status_code == 403
    assert owner.post(f"/dashboard/history/{change_set}/undo").status_code == 303
    assert views(db) == [("Debtors", "sort=name&bought=no", True)]
    owner.post(f"{URL}{view.id}/delete")
    deletion = db.scalar(select(func.max(Change.change_set_id)))
    assert other.post(f"/dashboard/history/{deletion}/undo").status_code == 403
    assert english.post(f"/dashboard/history/{deletion}/undo").status_code == 303


def test_a_page_asks_for_views_only_when_there_are_any(admin: TestClient, db: Session, queries: list[str]) -> None:
    admin.get("/dashboard/users/")
    queries.clear()
    admin.get("/dashboard/users/")
    assert len(queries) == 2  # the session; the page with its count

    for name in ("One", "Two", "Three"):
        admin.post(URL, data=form(name=name, is_pinned="true"))
    queries.clear()
    admin.get("/dashboard/users/?view=all")
    assert len(queries) == 3


def test_one_person_keeps_a_hundred_views(english: TestClient, db: Session) -> None:
    for number in range(100):
        make_view(db, name=str(number))
    answer = english.post(URL, data=form())
    assert (answer.status_code, "You have 100 saved views: delete one first." in answer.text) == (409, True)
