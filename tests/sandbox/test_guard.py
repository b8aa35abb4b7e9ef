"""The sandbox answers this machine only, and no other site acts for a student."""

import asyncio

import httpx2
import pytest
from starlette.requests import Request

from backend.sandbox.guard import cross_site, refusal
from backend.sandbox.student import SandboxClient
from tests.sandbox.bots import Scene


def request(method: str = "GET", client: str = "127.0.0.1", host: str = "127.0.0.1:8000", **headers: str) -> Request:
    given = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    return Request({"type": "http", "method": method, "client": (client, 1), "headers": raw})


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "127.0.0.1"])
def test_this_machine_is_welcome(host: str) -> None:
    assert refusal(request(host=host)) is None


@pytest.mark.parametrize(
    "bad",
    [
        request(client="10.0.0.7"),
        request(client="testclient"),
        request(host="school.example"),
        request(host="127.0.0.1.evil.example"),
        request(host=""),
        request(x_forwarded_for="127.0.0.1"),
        request(forwarded="for=127.0.0.1"),
    ],
)
def test_everyone_else_is_not(bad: Request) -> None:
    assert refusal(bad) is not None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (request("POST", sec_fetch_site="same-origin"), False),
        (request("POST", sec_fetch_site="none"), True),
        (request("POST", sec_fetch_site="same-site"), True),
        (request("POST", sec_fetch_site="cross-site", x_sandbox="1"), True),
        (request("GET", sec_fetch_site="none"), False),
        (request("GET", sec_fetch_site="cross-site"), True),
        (request("POST", origin="http://127.0.0.1:8000"), False),
        (request("POST", origin="http://127.0.0.1:9000"), True),
        (request("POST", origin="null"), True),
        (request("POST"), True),
        (request("POST", x_sandbox="1"), False),
        (request("GET"), False),
    ],
)
def test_other_sites_cannot_act(given: Request, expected: bool) -> None:
    assert cross_site(given) is expected


def test_every_route_is_guarded(box: SandboxClient, scene: Scene) -> None:
    foreign = {"Host": "evil.example", "X-Sandbox": "1"}
    for path in ("/api/bots", f"/bot{scene.account.token}/getMe", "/file/botx/y", "/nothing"):
        answer = httpx2.get(f"{box.api}{path}", headers=foreign)
        assert (answer.status_code, answer.json()["ok"]) == (403, False)


def test_a_page_of_another_site_cannot_write(box: SandboxClient) -> None:
    before = len(box.students())
    answer = httpx2.post(
        f"{box.api}/api/students",
        json={"first_name": "Eve"},
        headers={"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"},
    )
    assert answer.status_code == 403
    assert len(box.students()) == before


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"first_name": ""}',
        b'{"first_name": "x", "username": "a b"}',
        b'{"first_name": "x", "id": "y"}',
    ],
)
def test_nonsense_is_a_400(box: SandboxClient, body: bytes) -> None:
    answer = httpx2.post(f"{box.api}/api/students", content=body, headers={"X-Sandbox": "1"})
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"code", "message"}


def test_broken_calls_of_a_bot_are_400(box: SandboxClient, scene: Scene) -> None:
    url = f"{box.api}/bot{scene.account.token}/sendMessage"

    async def all_of_them() -> list[int]:
        async with httpx2.AsyncClient() as client:
            answers = [
                await client.post(url, content=body, headers={"Content-Type": kind})
                for body, kind in (
                    (b"{", "application/json"),
                    (b"[]", "application/json"),
                    (b"chat_id=1&text=%00%ff", "application/x-www-form-urlencoded"),
                    (b'{"chat_id": {}, "text": 5}', "application/json"),
                    (b"text=x", "application/x-www-form-urlencoded"),
                    (b"chat_id=1&text=x&reply_markup=%7B", "application/x-www-form-urlencoded"),
                    (b"--x\r\n", "multipart/form-data"),
                    (b"garbage", "multipart/form-data; boundary=x"),
                )
            ]
            return [answer.status_code for answer in answers]

    assert asyncio.run(all_of_them()) == [400] * 8
