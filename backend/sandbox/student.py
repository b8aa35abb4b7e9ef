"""The students' side of the sandbox, for tests and scripts: plain blocking Python over HTTP.

    box = SandboxClient("http://127.0.0.1:8000")       # the origin; /sandbox is added
    account = box.create_bot("School", "school_bot")   # an own bot per test keeps tests apart
    olga = box.student("Olga", username="olga", language_code="ru", bot=account)
    olga.start("lesson_7")                        # /start with a deep link
    screen = olga.wait("Buy")                     # the bot's next message (or edit) with "Buy"
    olga.press("Buy")                             # -> Answer(text, alert, url); None: unanswered
    olga.wait(lambda message: message.invoice)
    paid = olga.pay()                             # -> Payment(status="paid", charge_id="sbx_...")

SandboxClient(origin, timeout=30.0); a context manager; .close()
    .api                                  base for aiogram: TelegramAPIServer.from_base(box.api)
    .bots() -> list[BotAccount]           the first one is the sandbox's own
    .create_bot(name="School", username="school_bot", token=None) -> BotAccount
    .students() -> list[Json]
    .student(first_name="Olga", last_name="", username="", language_code="", *, hue=None, id=None,
             bot=None) -> Student         a new one, in the chat with `bot` (default: the first)
    .known(student_id, bot=None) -> Student                   one that exists already
    .rules(bot=None, *, rate=None, strict=None)   switch rule 9 or the stricter checks off
    .fault(kind, *, method=None, times=1, retry_after=1, seconds=1.0, bot=None)
        kind: "429" | "500" | "502" | "timeout" (never performed) | "lost" (performed, answer lost);
        method None = every method but getUpdates
    .clear_faults(bot=None)
    .repeat_update(update_id=None, bot=None) -> int           the last update again, same update_id
    .updates(bot=None) -> list[Json]      [{"update": {...}, "confirmed": bool}]
    .journal(after=0, bot=None) -> list[Json]  {"id", "direction": "in"|"out", "name", "ok", "note"}
    .calls(method, bot=None) -> list[Json]      the bot's calls of one method, from the journal
    .ledger(bot=None) -> list[Json]       getStarTransactions as the student's world sees it
    .balance(bot=None) -> int
    .wait_until(check, timeout=10.0) -> T       polls any zero-argument callable until it is truthy
BotAccount(id, token, name, username)

`from backend.sandbox.testing import running_sandbox, served` starts one in a thread.

Student: .id .first_name .profile .account .seen (revision after which `wait` looks)
    .send(text, *, reply_to=None) -> ChatMessage              also a command: .send("/help")
    .start(payload="") -> ChatMessage     1-64 of [A-Za-z0-9_-], else refused; unblocks the bot
    .ask(text, match=None, timeout=10.0) -> ChatMessage       send, then wait
    .send_photo(data, caption="", name="photo.jpg")
    .send_document(data, caption="", name="file.pdf")
    .press(button, message=None, *, wait=10.0) -> Answer | None
        button: its text (whole, else a part; newest message first) or a Button;
        None = the bot never answered the callback query within `wait` seconds
    .press_data(data, message=None, *, wait=10.0) -> Answer | None       a forged callback_data
    .pay(message=None, *, link=None, payer=None, amount=None, settle_amount=None, payload=None,
         delay=0.0, skip_pre_checkout=False, wait=None) -> Payment
        message None = the newest invoice. status: "paid" | "refused" (.error: the bot's sentence) |
        "expired" (no answer in 10 s) | "failed" | with wait=0 also "asked", "accepted" (.checkout).
        payer=another Student: a forwarded copy or a shared link. amount: altered at both steps;
        settle_amount: altered only in successful_payment; payload: altered. delay: seconds between
        the bot's ok and the money. To pay twice, call it twice. PurseError: too few Stars.
    .checkout(checkout_id) -> Payment     how a payment stands now
    .charge_back(charge_id, *, tell=False) -> int             returns the bot's balance; tell: also
                                                              a refunded_payment message
    .block() / .unblock()                 the bot gets my_chat_member
    .clear() / .delete_account()
    .rename(**profile)                    first_name, last_name, username, language_code
    .stars -> int; .set_stars(n)          the purse; 100000 at first
    .messages() -> list[ChatMessage]      the whole chat, oldest first
    .from_bot() -> list[ChatMessage]
    .last -> ChatMessage                  the newest message of the bot
    .wait(match=None, *, since=None, timeout=10.0) -> ChatMessage
        the first message of the bot, new or edited since the last action of this student, that
        matches: None = any, str = contained in text, callable = truthy. Raises NoAnswerError.
    .quiet(seconds=0.5) -> list[ChatMessage]      what the bot did, once it is silent so long
    .keyboard -> list[list[str]]          reply keyboard, if any
    .init_data(auth_date=None) -> str     signed Mini App data (rule 12)
    .duties() -> dict[str, bool]          rule 6: does the bot answer /terms, /support, /paysupport
ChatMessage: .id .rev .text (text or caption) .by_bot .date .edited .protected .buttons .invoice
    .payment .refund .photo .video .document (dicts or None) .entities .paid .body (the whole JSON)
    .button(text) -> Button;  .rows -> list[list[str]]
Button(text, row, column, message_id, data, url, pay)
Errors: StudentRefusedError(code, message): what the client app would refuse; PurseError is one;
    NoAnswerError (an AssertionError): the bot did not do what was waited for.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2

from backend.sandbox.chat_types import (
    Answer,
    BotAccount,
    Button,
    ChatMessage,
    Match,
    NoAnswerError,
    Payment,
    PurseError,
    StudentRefusedError,
)
from backend.sandbox.chatting import Student
from backend.sandbox.errors import Json

__all__ = [
    "Answer",
    "BotAccount",
    "Button",
    "ChatMessage",
    "Match",
    "NoAnswerError",
    "Payment",
    "PurseError",
    "SandboxClient",
    "Student",
    "StudentRefusedError",
]

T = TypeVar("T")


class SandboxClient:
    def __init__(self, origin: str, timeout: float = 30.0) -> None:
        self.api = f"{origin.rstrip('/')}/sandbox"
        self._http = httpx2.Client(base_url=self.api, timeout=timeout, headers={"X-Sandbox": "1"}, trust_env=False)

    def __enter__(self) -> "SandboxClient":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        answer = self._http.request(method, f"/api{path}", **options)
        body = answer.json()
        if answer.is_success:
            return body
        error = body.get("error") or {"code": "error", "message": body.get("description", "")}
        kind = PurseError if error["code"] == "no_stars" else StudentRefusedError
        raise kind(error["code"], error["message"])

    def bots(self) -> list[BotAccount]:
        return [BotAccount(**bot) for bot in self.call("GET", "/bots")]

    def create_bot(self, name: str = "School", username: str = "school_bot", token: str | None = None) -> BotAccount:
        given = {"name": name, "username": username, "token": token}
        return BotAccount(**self.call("POST", "/bots", json=given))

    def students(self) -> list[Json]:
        found: list[Json] = self.call("GET", "/students")
        return found

    def student(  # noqa: PLR0913 - a person has this many names
        self,
        first_name: str = "Olga",
        last_name: str = "",
        username: str = "",
        language_code: str = "",
        *,
        hue: int | None = None,
        id: int | None = None,  # noqa: A002 - Telegram's word
        bot: BotAccount | None = None,
    ) -> Student:
        given = {
            "first_name": first_name,
            "last_name": last_name,
            "username": username,
            "language_code": language_code,
            "hue": hue,
            "id": id,
        }
        return Student(self, self._account(bot), self.call("POST", "/students", json=given))

    def known(self, student_id: int, bot: BotAccount | None = None) -> Student:
        for profile in self.students():
            if profile["id"] == student_id:
                return Student(self, self._account(bot), profile)
        raise StudentRefusedError("no_student", "There is no such student.")

    def rules(self, bot: BotAccount | None = None, *, rate: bool | None = None, strict: bool | None = None) -> None:
        given = {"rate": rate, "strict": strict}
        changed = {name: value for name, value in given.items() if value is not None}
        self.call("POST", f"{self._path(bot)}/rules", json=changed)

    def fault(
        self,
        kind: str,
        *,
        method: str | None = None,
        times: int = 1,
        retry_after: int = 1,
        seconds: float = 1.0,
        bot: BotAccount | None = None,
    ) -> None:
        given = {
            "kind": kind,
            "method": method,
            "times": times,
            "retry_after": retry_after,
            "seconds": seconds,
        }
        self.call("POST", f"{self._path(bot)}/faults", json=given)

    def clear_faults(self, bot: BotAccount | None = None) -> None:
        self.call("DELETE", f"{self._path(bot)}/faults")

    def repeat_update(self, update_id: int | None = None, bot: BotAccount | None = None) -> int:
        path = f"{self._path(bot)}/repeat"
        repeated: int = self.call("POST", path, json={"update_id": update_id})["update_id"]
        return repeated

    def updates(self, bot: BotAccount | None = None) -> list[Json]:
        found: list[Json] = self.call("GET", f"{self._path(bot)}/updates")
        return found

    def journal(self, after: int = 0, bot: BotAccount | None = None) -> list[Json]:
        found: list[Json] = self.call("GET", f"{self._path(bot)}/journal", params={"after": after})
        return found

    def calls(self, method: str, bot: BotAccount | None = None) -> list[Json]:
        return [line for line in self.journal(bot=bot) if line["name"] == method and line["direction"] == "out"]

    def ledger(self, bot: BotAccount | None = None) -> list[Json]:
        found: list[Json] = self.call("GET", f"{self._path(bot)}/ledger")["transactions"]
        return found

    def balance(self, bot: BotAccount | None = None) -> int:
        amount: int = self.call("GET", f"{self._path(bot)}/ledger")["balance"]
        return amount

    @staticmethod
    def wait_until(check: Callable[[], T], timeout: float = 10.0) -> T:
        deadline = time.monotonic() + timeout
        while not (found := check()):
            if time.monotonic() > deadline:
                raise NoAnswerError(f"not within {timeout} s: {check}")
            time.sleep(0.02)
        return found

    def _account(self, bot: BotAccount | None) -> BotAccount:
        return bot or self.bots()[0]

    def _path(self, bot: BotAccount | None) -> str:
        return f"/bots/{self._account(bot).id}"
