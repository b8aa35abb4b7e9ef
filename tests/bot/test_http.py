"""The way to /api: what is repeated, what is not, and how a failure is told."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from fastapi import FastAPI

from backend.bot.__main__ import main
from backend.bot.client import Api, Charge, Item
from backend.bot.http import (
    ENDLESS,
    ApiRefusedError,
    ApiUnavailableError,
    Ask,
    Http,
    Patience,
)
from backend.bot.run import make_api
from tests.bot.conftest import School
from tests.conftest import SECRET

T = TypeVar("T")
Answer = httpx2.Response | Exception


class Server:
    """Answers as told, one after the other; the last answer for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []
        self.slept: list[float] = []
        self.tokens: list[str] = []

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def token(self) -> str:
        self.tokens.append(f"token{len(self.tokens)}")
        return self.tokens[-1]

    @property
    def http(self) -> Http:
        return Http("http://school", self.token, httpx2.MockTransport(self.handle), sleep=self.sleep)


def error(status: int, code: str, headers: dict[str, str] | None = None) -> httpx2.Response:
    told = {"error": {"code": code, "message": "Words.", "fields": {"x": "More words."}}}
    return httpx2.Response(status, json=told, headers=headers)


def sent(server: Server, patience: Patience = ENDLESS, **ask: Any) -> httpx2.Response:
    asked = Ask(ask.pop("method", "GET"), "/api/x", **ask)
    return asyncio.run(_closing(server.http, lambda http: http.send(asked, patience)))


async def _closing(http: Http, work: Callable[[Http], Awaitable[T]]) -> T:
    try:
        return await work(http)
    finally:
        await http.aclose()


OK = httpx2.Response(200, json={"ok": True})


@pytest.mark.parametrize(
    "fault",
    [
        httpx2.Response(500, text="<html>"),
        httpx2.Response(502),
        httpx2.Response(503),
        httpx2.Response(429),
        error(409, "idempotency_running"),
        httpx2.ConnectError("no"),
        httpx2.ReadTimeout("late"),
    ],
)
def test_a_passing_fault_is_outwaited(fault: Answer) -> None:
    server = Server(fault, fault, OK)

    assert sent(server).json() == {"ok": True}
    assert len(server.requests) == 3
    assert 0.08 <= server.slept[0] <= 0.12
    assert 0.16 <= server.slept[1] <= 0.24


def test_the_servers_own_pause_is_kept() -> None:
    server = Server(error(503, "unavailable", {"Retry-After": "7"}), OK)

    sent(server)

    assert server.slept == [7.0]


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_a_refusal_is_final_and_carries_its_words(status: int) -> None:
    server = Server(error(status, "some_code"), OK)

    with pytest.raises(ApiRefusedError) as refused:
        sent(server)

    assert (
        refused.value.status,
        refused.value.code,
        refused.value.message,
        refused.value.told,
    ) == (
        status,
        "some_code",
        "Words.",
        "More words.",
    )
    assert len(server.requests) == 1


def test_a_refusal_without_our_words_has_some() -> None:
    server = Server(httpx2.Response(404, text="nginx"))

    with pytest.raises(ApiRefusedError) as refused:
        sent(server)

    assert refused.value.told == "The school could not do this."


def test_a_refused_token_is_asked_for_again() -> None:
    server = Server(error(401, "not_authenticated"), OK)

    sent(server)

    assert [request.headers["authorization"] for request in server.requests] == [
        "Bearer token0",
        "Bearer token1",
    ]


def test_patience_ends() -> None:
    server = Server(httpx2.Response(503))

    with pytest.raises(ApiUnavailableError) as away:
        sent(server, Patience(0.05))

    assert away.value.message == "The school is not answering. Try again in a minute."
    assert away.value.cause == "status_503"
    assert len(server.requests) == 1


def test_a_server_that_hangs_is_given_up() -> None:
    class Hanging(Server):
        async def handle(self, request: httpx2.Request) -> httpx2.Response:
            await asyncio.sleep(30)
            raise AssertionError

    with pytest.raises(ApiUnavailableError) as away:
        sent(Hanging(OK), Patience(0.3, try_seconds=0.1))

    assert away.value.cause == "timeout"


def test_a_token_that_cannot_be_made_is_a_passing_fault() -> None:
    server = Server(OK)
    failing = iter([RuntimeError("database is away")])

    def token() -> str:
        for failure in failing:
            raise failure
        return "late"

    http = Http("http://school", token, httpx2.MockTransport(server.handle), sleep=server.sleep)

    answer = asyncio.run(_closing(http, lambda http: http.send(Ask("GET", "/api/x"), ENDLESS)))

    assert answer.json() == {"ok": True}


def keys(*asks: Callable[[Api], Awaitable[object]], cause: str = "tg:1:2:a") -> list[str]:
    server = Server(httpx2.Response(503))

    async def work(http: Http) -> None:
        api = Api(http, cause=cause, patience=Patience(0.05))
        for ask in asks:
            with pytest.raises(ApiUnavailableError):
                await ask(api)

    asyncio.run(_closing(server.http, work))
    return [request.headers.get("idempotency-key", "") for request in server.requests]


def test_the_same_request_of_the_same_update_has_the_same_key() -> None:
    def order(api: Api) -> Awaitable[object]:
        return api.order(1, Item("lesson", 7), None)

    first, again, other = keys(order, order, lambda api: api.order(1, Item("lesson", 8), None))
    [another] = keys(order, cause="tg:1:2:b")

    assert first == again
    assert len({first, other, another}) == 3
    assert first.startswith("tg:1:2:")
    assert len(first) <= 128


def test_questions_carry_no_key() -> None:
    assert keys(lambda api: api.check_promo("X", 1, Item("lesson", 7))) == [""]
    assert keys(lambda api: api.user(1)) == [""]


def test_an_answer_that_means_nothing_counts_as_none() -> None:
    server = Server(httpx2.Response(200, text="<html>welcome to the hotel</html>"))

    with pytest.raises(ApiUnavailableError) as away:
        asyncio.run(_closing(server.http, lambda http: Api(http).user(1)))

    assert away.value.cause == "unreadable_answer"


def test_errors_come_in_the_students_language(school: School) -> None:
    async def words(language: str) -> str:
        api = make_api("http://127.0.0.1:8000", lambda: school.token, school.line)
        try:
            with pytest.raises(ApiRefusedError) as refused:
                await api.on_behalf(language=language).lesson(7)
        finally:
            await api.http.aclose()
        return refused.value.message

    assert asyncio.run(words("en")) == "Lesson 7 no longer exists."
    assert asyncio.run(words("ru")) == "Урока 7 здесь больше нет."


def test_a_wrong_token_is_unavailable_not_a_refusal(app: FastAPI) -> None:
    async def story() -> str:
        api = make_api("http://127.0.0.1:8000", lambda: "lyc_1_wrong", app)
        try:
            with pytest.raises(ApiUnavailableError) as away:
                await api.patient(Patience(1.9)).record_payment(Charge("p", 1, 1, "XTR", "c"))
        finally:
            await api.http.aclose()
        return away.value.cause

    assert asyncio.run(story()) == "not_authenticated"


def test_a_stream_says_what_went_wrong(school: School) -> None:
    async def story(media_id: int) -> None:
        api = make_api("http://127.0.0.1:8000", lambda: school.token, school.line)
        try:
            async for _chunk in api.media(media_id):
                raise AssertionError
        finally:
            await api.http.aclose()

    with pytest.raises(ApiRefusedError):
        asyncio.run(story(77))
    school.line.down = "/api/media"
    with pytest.raises(ApiUnavailableError):
        asyncio.run(story(77))


def test_the_school_is_asked_for_its_own_name() -> None:
    server = Server(OK)
    http = Http("http://web:8000", server.token, httpx2.MockTransport(server.handle), host="school.example")

    asyncio.run(_closing(http, lambda http: http.send(Ask("GET", "/api/x"))))

    assert str(server.requests[0].url) == "http://web:8000/api/x"
    assert server.requests[0].headers["host"] == "school.example"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "SECRET_KEY: Field required"),
        ({"SECRET_KEY": SECRET}, "BOT_API_TOKEN is empty."),
        ({"SECRET_KEY": SECRET, "BOT_API_TOKEN": "lyc_1_x"}, "TELEGRAM_BOT_TOKEN is empty:"),
    ],
)
def test_what_the_process_misses_is_said_in_a_sentence(
    given: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BOT_API_TOKEN", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert main() == 1

    assert capsys.readouterr().err.startswith(words)
