"""Walls around every route: forged writes, reading that writes, fields that nobody may set, headers of every answer."""

import re
from typing import Any

import httpx2
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import csrf
from backend.core.config import Settings
from backend.database.base import Base
from backend.database.models.orders import Order, Payment
from backend.database.models.promo_codes import PromoCode
from backend.database.models.purchases import Purchase
from backend.database.models.tickets import SupportTicket
from backend.database.models.users import User
from tests.access import API, PAGES, digest, everything
from tests.conftest import Api, SignIn
from tests.doors import HEADERS

FORMS = [rule for rule in PAGES if rule.writes]
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8000"}


def forgeries(settings: Settings, own: str, foreign: str) -> dict[str, dict[str, str]]:
    mac, random = own.split(".")
    return {
        "no token": OURS,
        "made-up token": {**OURS, csrf.HEADER: "0" * 64 + ".x"},
        "token of another session": {**OURS, csrf.HEADER: foreign},
        "token of nobody": {**OURS, csrf.HEADER: csrf.make_token(settings, "")},
        "token cut": {**OURS, csrf.HEADER: mac},
        "token with another salt": {**OURS, csrf.HEADER: f"{mac}.{random}x"},
        "cross-site": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example", csrf.HEADER: own},
        "cross-site that names us": {**OURS, "Sec-Fetch-Site": "cross-site", csrf.HEADER: own},
        "foreign origin": {"Origin": "https://evil.example", csrf.HEADER: own},
        "null origin": {"Origin": "null", csrf.HEADER: own},
        "no headers": {csrf.HEADER: own},
        "only a referer": {"Referer": "http://127.0.0.1:8000/dashboard/", csrf.HEADER: own},
    }


def test_no_forged_form_is_taken_anywhere(settings: Settings, db: Session, admin: TestClient, sign_in: SignIn) -> None:
    ids, own = everything(db), admin.headers.pop("X-CSRF-Token")
    foreign = sign_in("admin").headers["X-CSRF-Token"]
    for name in ("Origin", "Sec-Fetch-Site"):
        del admin.headers[name]
    before = digest(db)
    for rule in FORMS:
        for kind, headers in forgeries(settings, own, foreign).items():
            answer = admin.post(rule.address(ids), headers=headers, data={"csrf": "x"})
            assert answer.status_code == 403, (rule.name, kind)
    assert digest(db) == before


def test_the_same_forms_from_our_own_page_are_taken(db: Session, sign_in: SignIn) -> None:
    ids = everything(db)
    for rule in FORMS:
        answer = sign_in("admin").post(rule.address(ids))
        assert answer.status_code != 403 or rule.path.endswith("/undo"), rule.name


def crawl(admin: TestClient, waiting: list[str]) -> dict[str, httpx2.Response]:
    """The answers of these addresses and of whatever they link to; of lists one order and one filter at a time."""
    found: dict[str, httpx2.Response] = {}
    while waiting:
        address = waiting.pop()
        shape = re.sub(r"=[^&]*", "=", address)
        if shape in found or shape.count("=") > 1:
            continue
        answer = found[shape] = admin.get(address)
        links = re.findall(r'(?:href|hx-get|src|action)="([^"]+)"', answer.text)
        waiting += [link.replace("&amp;", "&").partition("#")[0] for link in links if re.match("/[^/]", link)]
    return found


def test_reading_changes_nothing_and_every_answer_is_dressed(db: Session, admin: TestClient) -> None:
    ids = everything(db)
    before = digest(db)
    crawled = crawl(admin, [rule.address(ids) for rule in PAGES if not rule.writes])
    assert digest(db) == before
    assert len(crawled) > 80
    for address, answer in crawled.items():
        wanted = HEADERS | {"content-security-policy": answer.headers["content-security-policy"]}
        if address != "/redoc":  # two styles of its own, see tests/api/test_system.py
            wanted = HEADERS
        assert {name: answer.headers.get(name) for name in HEADERS} == wanted, address
        if not address.startswith("/static/"):
            assert answer.headers["cache-control"] == "no-store", address
            assert {"Cookie", "HX-Request"} <= set(answer.headers["vary"].split(", ")), address
    # No link is dead: these are addresses without their record.
    files = {f"/dashboard/{folder}/import/{ids['import_id']}" for folder in ("lessons", "courses", "promo-codes")}
    absent = {"/enter/x", "/dashboard/media/1", *files, *(f"{file}/problems.csv" for file in files)}
    strange = {address: answer.status_code for address, answer in crawled.items() if answer.status_code >= 400}
    gets = {address for address in strange if strange[address] not in (404, 405)}
    nowhere = {address for address in strange if strange[address] == 404}
    assert {address for address in nowhere if not address.endswith(("/pick/x", "/cell/x"))} == absent
    assert gets == {"/metrics"}  # for this machine alone


# -- what nobody may set by sending it

GUARDED: dict[type[Base], tuple[str, ...]] = {
    User: (
        "id",
        "role_id",
        "password_hash",
        "token_version",
        "telegram_id",
        "login",
        "created_at",
        "email_verified_at",
    ),
    PromoCode: ("id", "current_uses", "code_key", "created_at"),
    Order: ("id", "user_id", "total", "discount", "status", "payload"),
    Payment: ("id", "order_id", "amount", "status", "payer_telegram_id"),
    Purchase: ("id", "user_id", "payment_id", "amount", "is_test", "created_at"),
    SupportTicket: ("id", "user_id", "created_at", "first_reply_at"),
}
BODILESS = ("/logout", "/blocked", "/unblocked")  # they read no body at all
EVERYTHING = {
    **{column.name: "1" for table in Base.metadata.sorted_tables for column in table.columns},
    **dict.fromkeys(("role", "is_admin", "permissions", "is_superuser", "scopes", "__class__", "admin"), "1"),
}


def guarded(db: Session) -> dict[str, list[Any]]:
    return {
        model.__tablename__: [tuple(row) for row in db.execute(select(*(getattr(model, n) for n in names)))]
        for model, names in GUARDED.items()
    }


def test_no_form_sets_a_column_that_it_does_not_show(db: Session, sign_in: SignIn) -> None:
    ids = everything(db)
    before = guarded(db)
    for rule in FORMS:
        if "delete" in rule.path or "refund" in rule.path:  # they change what is guarded, rightly
            continue
        answer = sign_in("admin").post(rule.address(ids), data=EVERYTHING)
        assert answer.status_code < 500, rule.name
        assert guarded(db) == before, rule.name


def test_no_body_of_the_api_takes_a_field_that_it_does_not_name(db: Session, api: Api) -> None:
    ids = everything(db)
    client = api("bot", *(scope for rule in API for scope in rule.scopes if ":" in scope))
    before = digest(db)
    for rule in API:
        if not rule.writes or rule.roles == "*" or rule.method == "DELETE" or rule.path.endswith(BODILESS):
            continue
        answer = client.request(rule.method, rule.address(ids), json=EVERYTHING)
        assert answer.status_code == 422, rule.name
        assert answer.json()["error"]["fields"]["is_admin"] == "There is no such field.", rule.name
    assert digest(db) == before
