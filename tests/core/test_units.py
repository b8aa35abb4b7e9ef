"""One request, one unit of work: rights first, commit before the answer, nothing left of a failure."""

from typing import Annotated

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core.deps import Caller, Reply, Routes, crud, detached, public, require
from backend.core.errors import ConflictError
from backend.core.permissions import Permission
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.history import Change, ChangeSet
from backend.database.models.lessons import Lesson
from backend.database.schemas.base import Input, Output, Title
from tests.conftest import ORIGIN, Api, SignIn

Users = Annotated[UserCRUD, crud(UserCRUD)]


class ThingCreate(Input):
    title: Title


class ThingResponse(Output):
    id: int
    title: str


@pytest.fixture
def things(app: FastAPI) -> None:
    """Routes on the real app, so that each rule can be seen alone."""
    api = Routes(prefix="/api/things")
    crm = Routes(prefix="/dashboard/things", dependencies=[require(Permission.LESSONS_READ)])

    @api.post("/", response_model=ThingResponse, status_code=201, dependencies=[require(Permission.LESSONS_WRITE)])
    def create(data: ThingCreate, users: Users) -> object:
        users.session.add(lesson := Lesson(title=data.title, price=1))
        users.session.flush()
        if data.title == "refused":
            raise ConflictError("no")
        return Reply(lesson, 200) if data.title == "known" else lesson

    @crm.post("/", dependencies=[require(Permission.LESSONS_WRITE)], response_model=int)
    def count(caller: Caller) -> object:
        return caller.me.user_id

    app.include_router(api)
    app.include_router(crm)


def lessons(db: Session) -> int:
    return db.scalar(select(func.count()).select_from(Lesson)) or 0


@pytest.mark.usefixtures("things")
def test_commits_before_the_answer_and_names_the_actor(api: Api, db: Session) -> None:
    answer = api("lessons:write").post("/api/things", json={"title": "Scales"})

    assert (answer.status_code, answer.json()) == (201, {"id": 1, "title": "Scales"})
    change = db.scalars(select(Change).where(Change.entity == "lessons")).one()
    assert (change.entity, change.entity_id, change.op, change.after["title"]) == ("lessons", 1, "create", "Scales")
    made = db.scalars(select(ChangeSet).where(ChangeSet.id == change.change_set_id)).one()
    assert (made.door, made.actor_id, made.request_id) == ("api", None, answer.headers["X-Request-ID"])


@pytest.mark.usefixtures("things")
def test_a_reply_may_name_its_status(api: Api) -> None:
    assert api("lessons:write").post("/api/things", json={"title": "known"}).status_code == 200


@pytest.mark.usefixtures("things")
def test_a_refusal_leaves_nothing(api: Api, db: Session) -> None:
    answer = api("lessons:write").post("/api/things", json={"title": "refused"})

    assert answer.json()["error"]["code"] == "conflict"
    assert lessons(db) == 0
    assert db.scalar(select(func.count()).where(Change.entity == "lessons")) == 0


@pytest.mark.usefixtures("things")
def test_an_outsider_learns_nothing_of_the_body(client: TestClient, api: Api) -> None:
    assert client.post("/api/things", json={}).json()["error"]["code"] == "not_authenticated"
    assert api("lessons:read").post("/api/things", json={}).json()["error"]["code"] == "forbidden"
    invalid = api("lessons:write").post("/api/things", json={"titel": "x"}).json()["error"]
    assert invalid["fields"] == {"title": "Fill in this field.", "titel": "There is no such field."}


@pytest.mark.usefixtures("things")
def test_an_idempotency_key_makes_one_row_and_one_answer(api: Api, db: Session) -> None:
    writer = api("lessons:write")
    key = {"Idempotency-Key": "order-7"}

    first = writer.post("/api/things", json={"title": "Scales"}, headers=key)
    again = writer.post("/api/things", json={"title": "Scales"}, headers=key)
    other = writer.post("/api/things", json={"title": "Chords"}, headers=key)

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert {one.headers["Content-Type"] for one in (first, again)} == {"application/json"}
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert lessons(db) == 1


@pytest.mark.usefixtures("things")
def test_cookies_count_only_on_pages_and_tokens_only_on_the_api(admin: TestClient, api: Api) -> None:
    assert admin.post("/api/things", json={"title": "Scales"}).status_code == 401
    assert api("lessons:read", "lessons:write").post("/dashboard/things", headers=ORIGIN).status_code == 303


@pytest.mark.usefixtures("things")
def test_a_page_takes_a_write_only_with_the_sessions_token(sign_in: SignIn) -> None:
    browser = sign_in("admin")
    assert browser.post("/dashboard/things").json() == 1

    token = browser.headers.pop("X-CSRF-Token")
    assert browser.post("/dashboard/things").status_code == 403
    assert browser.post("/dashboard/things", data={"csrf_token": token}).json() == 1
    assert browser.post("/dashboard/things", data={"csrf_token": token[:-1] + "~"}).status_code == 403
    assert (
        browser.post(
            "/dashboard/things", data={"csrf_token": token}, headers={"Sec-Fetch-Site": "cross-site"}
        ).status_code
        == 403
    )


@pytest.mark.usefixtures("things")
def test_a_refusal_is_an_event_with_its_reason(sign_in: SignIn, staff: SignIn, db: Session) -> None:
    browser = sign_in("admin")
    del browser.headers["X-CSRF-Token"]
    assert browser.post("/dashboard/things").status_code == 403
    forged = db.scalars(select(SecurityEvent)).one()
    assert (forged.kind, forged.data["why"]) == ("authz_fail", "csrf")
    refused = staff("Поддержка").post("/dashboard/things", headers={"Accept": "application/json"})
    assert refused.status_code == 403
    event = db.scalars(select(SecurityEvent).where(SecurityEvent.id > forged.id)).one()
    assert (event.kind, event.data["route"], "why" in event.data) == ("authz_fail", "count", False)


@pytest.mark.usefixtures("things")
def test_a_form_has_its_limits(sign_in: SignIn) -> None:
    browser = sign_in("admin")
    token = browser.headers.pop("X-CSRF-Token")

    def sent(**fields: str) -> int:
        parts = {name: (None, value) for name, value in {"csrf_token": token, **fields}.items()}
        return browser.post("/dashboard/things", files=parts).status_code

    assert sent(**{f"field{number}": "x" for number in range(199)}) == 200
    assert sent(**{f"field{number}": "x" for number in range(200)}) == 400


@pytest.mark.usefixtures("things")
def test_a_form_of_unknown_length_brings_its_token_in_the_body(sign_in: SignIn) -> None:
    """Whoever may not write is refused before the body is read; the token is looked for afterwards."""
    browser = sign_in("admin")
    token = browser.headers.pop("X-CSRF-Token")

    def sent(text: str) -> int:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return browser.post("/dashboard/things", content=iter([text.encode()]), headers=kind).status_code

    assert (sent(f"csrf_token={token}"), sent("csrf_token=other")) == (200, 403)


@pytest.mark.usefixtures("things")
def test_a_type_with_a_charset_is_json_as_well(api: Api) -> None:
    writer = api("lessons:write")

    def answer(kind: str) -> int:
        return writer.post("/api/things", content=b"{", headers={"Content-Type": kind}).status_code

    kinds = ("application/json", "Application/JSON; charset=utf-8", "application/vnd.school+json", "text/plain", "")
    assert [answer(kind) for kind in kinds] == [422, 422, 422, 415, 415]


def test_a_detached_route_has_no_session_to_misuse() -> None:
    router = Routes(prefix="/api/things", dependencies=[public, detached])

    def use(users: Users) -> None:
        del users

    with pytest.raises(TypeError, match="a detached route has no session"):
        router.post("/")(use)


def test_a_route_without_a_policy_cannot_be_made() -> None:
    router = Routes(prefix="/api/things")
    with pytest.raises(TypeError, match="declare require"):
        router.get("/")(lambda: None)
    router.get("/open", dependencies=[public])(lambda: None)
