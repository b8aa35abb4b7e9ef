"""Walls around every route: forged writes, reading that writes, fields that nobody may set, headers of every answer."""

import re
from dataclasses import dataclass

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from backend.core import csrf
from backend.core.config import Settings
from backend.core.permissions import TOKEN_ONLY, Permission
from tests.access import API, PAGES, everything
from tests.conftest import Api, SignIn
from tests.contents import digest
from tests.doors import HEADERS
from tests.figures import Figure

FORMS = [rule for rule in PAGES if rule.writes]
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8000"}


def from_elsewhere(own: str) -> dict[str, dict[str, str]]:
    """The right token, and headers that only another site's page brings."""
    return {
        "cross-site": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example", csrf.HEADER: own},
        "cross-site that names us": {**OURS, "Sec-Fetch-Site": "cross-site", csrf.HEADER: own},
        "foreign origin": {"Origin": "https://evil.example", csrf.HEADER: own},
        "null origin": {"Origin": "null", csrf.HEADER: own},
        "no headers": {csrf.HEADER: own},
        "only a referer": {"Referer": "http://127.0.0.1:8000/dashboard/", csrf.HEADER: own},
    }


def from_our_page(settings: Settings, own: str, foreign: str) -> dict[str, dict[str, str]]:
    """Headers of our own page, and a token that is not this session's."""
    mac, random = own.split(".")
    return {
        "no token": OURS,
        "made-up token": {**OURS, csrf.HEADER: "0" * 64 + ".x"},
        "token of another session": {**OURS, csrf.HEADER: foreign},
        "token of nobody": {**OURS, csrf.HEADER: csrf.make_token(settings, "")},
        "token cut": {**OURS, csrf.HEADER: mac},
        "token with another salt": {**OURS, csrf.HEADER: f"{mac}.{random}x"},
    }


@dataclass
class Forger:
    """A signed-in browser that sends no header of its own, and what its forms were to hold."""

    client: TestClient
    own: str
    foreign: str


@pytest.fixture
def forger(admin: TestClient, sign_in: SignIn) -> Forger:
    own = admin.headers.pop(csrf.HEADER)
    for name in OURS:
        del admin.headers[name]
    return Forger(admin, own, sign_in("admin").headers[csrf.HEADER])


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_no_forged_form_is_taken_anywhere(
    settings: Settings, db: Session, forger: Forger, step: int, figure: Figure
) -> None:
    """Each form meets everything from elsewhere; in daily runs a third of the tokens, in turns: one wall reads them."""
    ids, before, tried = everything(db), digest(db), 0
    tokens = [*from_our_page(settings, forger.own, forger.foreign).items()]
    for number, rule in enumerate(FORMS):
        for kind, headers in [*from_elsewhere(forger.own).items(), *tokens[number % step :: step]]:
            tried += 1
            answer = forger.client.post(rule.address(ids), headers=headers, data={"csrf": "x"})
            assert answer.status_code == 403, (rule.name, kind)
    assert digest(db) == before
    figure("B3", "forged forms that are taken", 0, "0", tried)


@pytest.mark.parametrize("off", ["same_origin", "_token_fits"])
def test_every_forgery_would_be_taken_were_its_wall_away(
    settings: Settings, forger: Forger, monkeypatch: pytest.MonkeyPatch, off: str
) -> None:
    """So nothing else refuses them above: each of them is right in all but one thing."""
    monkeypatch.setattr(csrf, off, lambda *_: True)
    tokens = from_our_page(settings, forger.own, forger.foreign)
    for wall, forged in {"same_origin": from_elsewhere(forger.own), "_token_fits": tokens}.items():
        sent = [forger.client.post("/dashboard/settings/theme", headers=headers) for headers in forged.values()]
        assert [answer.status_code for answer in sent] == [303 if wall == off else 403] * 6


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


def test_reading_the_api_changes_nothing(db: Session, api: Api, figure: Figure) -> None:
    """As a program that holds every right of a person and the bot's."""
    ids, program = everything(db), api("bot", *(right for right in Permission if right not in TOKEN_ONLY))
    before = digest(db)
    answers = {rule.path: program.get(rule.address(ids)).status_code for rule in API if not rule.writes}
    assert digest(db) == before
    assert {path for path, status in answers.items() if status != 200} == {"/api/media/{media_id}"}  # no such file
    figure("B3", "addresses that change something when read", 0, "0", len(answers))


def test_reading_changes_nothing_and_every_answer_is_dressed(db: Session, admin: TestClient, figure: Figure) -> None:
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
    # No link is dead: what is nowhere is an address of ours, of a record that is none.
    strange = {address: answer.status_code for address, answer in crawled.items() if answer.status_code >= 400}
    gets = {address for address in strange if strange[address] not in (404, 405)}
    assert {address for address in strange if strange[address] == 404} <= {rule.address(ids) for rule in PAGES}
    assert gets == {"/metrics"}  # for this machine alone
    figure("B3", "addresses that change something when read", 0, "0", len(crawled))
    figure("B17", "pages and files without the right headers", 0, "0", len(crawled))
