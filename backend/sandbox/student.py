"""The students' side of the sandbox, for tests and scripts: plain blocking Python over HTTP.

    box = SandboxClient("http://127.0.0.1:8000")       # the origin; /sandbox is added
    account = box.create_bot("School", "school_bot")   # an own bot per test keeps tests apart
    olga = box.student("Olga", username="olga", language_code="ru", bot=account)
    olga.start("lesson_7")                             # /start with a deep link
    screen = olga.wait("Buy")                          # the bot's next message (or edit) holding "Buy"
    olga.press("Buy")                                  # -> Answer(text, alert, url) or None: unanswered
    olga.wait(lambda message: message.invoice)
    paid = olga.pay()                                  # -> Payment(status="paid", charge_id="sbx_...")

SandboxClient(origin, timeout=30.0); a context manager; .close()
    .api                                  base for aiogram: TelegramAPIServer.from_base(box.api)
    .bots() -> list[BotAccount]           the first one is the sandbox's own
    .create_bot(name="School", username="school_bot", token=None) -> BotAccount
    .students() -> list[Json]
    .student(first_name="Olga", last_name="", username="", language_code="", *, hue=None, id=None,
             bot=None) -> Student         creates one and opens the chat with `bot` (default: the first)
    .known(student_id, bot=None) -> Student                   one that exists already
    .rules(bot=None, *, rate=None, strict=None)               switch rule 9, or the stricter checks, off
    .fault(kind, *, method=None, times=1, retry_after=1, seconds=1.0, bot=None)
        kind: "429" | "500" | "502" | "timeout" (never performed) | "lost" (performed, answer lost);
        method None = every method but getUpdates
    .clear_faults(bot=None)
    .repeat_update(update_id=None, bot=None) -> int           the last update again, same update_id
    .updates(bot=None) -> list[Json]      [{"update": {...}, "confirmed": bool}]
    .journal(after=0, bot=None) -> list[Json]   {"id", "direction": "in"|"out", "name", "ok", "note", ...}
    .calls(method, bot=None) -> list[Json]      the bot's calls of one method, from the journal
    .ledger(bot=None) -> list[Json]       getStarTransactions as the student's world sees it
    .balance(bot=None) -> int
    .wait_until(check, timeout=10.0) -> T       polls any zero-argument callable until it is truthy
BotAccount(id, token, name, username)

Student: .id .first_name .profile .account .seen (revision after which `wait` looks)
    .send(text, *, reply_to=None) -> ChatMessage              also a command: .send("/help")
    .start(payload="") -> ChatMessage     1-64 of [A-Za-z0-9_-], else StudentError; unblocks the bot
    .ask(text, match=None, timeout=10.0) -> ChatMessage       send, then wait
    .send_photo(data, caption="", name="photo.jpg") / .send_document(data, caption="", name="file.pdf")
    .press(button, message=None, *, wait=10.0) -> Answer | None
        button: its text (whole, else a part; newest message first) or a Button;
        None = the bot never answered the callback query within `wait` seconds
    .press_data(data, message=None, *, wait=10.0) -> Answer | None       a forged callback_data
    .pay(message=None, *, link=None, payer=None, amount=None, settle_amount=None, payload=None,
         delay=0.0, skip_pre_checkout=False, wait=None) -> Payment
        message None = the newest invoice. status: "paid" | "refused" (.error is the bot's sentence) |
        "expired" (no answer in 10 s) | "failed" | with wait=0 also "asked"/"accepted" (see .checkout).
        payer=another Student: a forwarded copy or a shared link. amount: altered at both steps;
        settle_amount: altered only in successful_payment; payload: altered. delay: seconds between
        the bot's ok and the money. Paying twice is calling it twice. PurseError when Stars are short.
    .checkout(checkout_id) -> Payment     how a payment stands now
    .charge_back(charge_id, *, tell=False) -> int             returns the bot's balance; tell: also
                                                              a refunded_payment message
    .block() / .unblock() / .clear() / .delete_account()      my_chat_member updates for the first two
    .rename(**profile)                    first_name, last_name, username, language_code
    .stars -> int; .set_stars(n)          the purse; 100000 at first
    .messages() -> list[ChatMessage]      the whole chat, oldest first
    .from_bot() -> list[ChatMessage]
    .last -> ChatMessage                  the newest message of the bot
    .wait(match=None, *, since=None, timeout=10.0) -> ChatMessage
        the first message of the bot, new or edited since the last action of this student, that
        matches: None = any, str = contained in text, callable = truthy. Raises NoAnswerError.
    .quiet(seconds=0.5) -> list[ChatMessage]                  what the bot did, once it is silent so long
    .keyboard -> list[list[str]]          reply keyboard, if any
    .init_data(auth_date=None) -> str     signed Mini App data (rule 12)
    .duties() -> dict[str, bool]          rule 6: does the bot answer /terms, /support, /paysupport
ChatMessage: .id .rev .text (text or caption) .by_bot .date .edited .protected .buttons .invoice .payment
    .refund .photo .video .document (file_id dicts or None) .entities .paid .body (the whole JSON)
    .button(text) -> Button;  .rows -> list[list[str]]
Button(text, row, column, message_id, data, url, pay)
Errors: StudentRefusedError(code, message) for what a client app would refuse; PurseError; NoAnswerError.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2

from backend.sandbox.errors import Json

T = TypeVar("T")
LONG_POLL = 5.0
Match = str | Callable[["ChatMessage"], object] | None


class StudentRefusedError(Exception):
    """What the student's own app, or the sandbox, would not do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class PurseError(StudentRefusedError):
    """Not enough Stars."""


class NoAnswerError(AssertionError):
    """The bot did not do what was waited for; the message shows what it did."""


@dataclass(frozen=True)
class BotAccount:
    id: int
    token: str
    name: str
    username: str


@dataclass(frozen=True)
class Answer:
    text: str
    alert: bool
    url: str | None


@dataclass(frozen=True)
class Payment:
    id: str
    status: str
    error: str | None = None
    charge_id: str | None = None


@dataclass(frozen=True)
class Button:
    text: str
    row: int
    column: int
    message_id: int
    data: str | None = None
    url: str | None = None
    pay: bool = False


class ChatMessage:
    def __init__(self, shown: Json) -> None:
        self.rev: int = shown["rev"]
        self.by_bot: bool = shown["by_bot"]
        self.paid: bool = shown["paid"]
        self.body: Json = shown["body"]
        self.id: int = self.body["message_id"]
        self.date: int = self.body["date"]
        self.edited: int | None = self.body.get("edit_date")
        self.text: str = self.body.get("text") or self.body.get("caption") or ""
        self.entities: list[Json] = (
            self.body.get("entities") or self.body.get("caption_entities") or []
        )
        self.protected = bool(self.body.get("has_protected_content"))
        self.invoice: Json | None = self.body.get("invoice")
        self.payment: Json | None = self.body.get("successful_payment")
        self.refund: Json | None = self.body.get("refunded_payment")
        self.video: Json | None = self.body.get("video")
        self.document: Json | None = self.body.get("document")
        self.photo: Json | None = (self.body.get("photo") or [None])[-1]

    def __repr__(self) -> str:
        return f"<{self.id} {'bot' if self.by_bot else 'student'}: {self.text!r} {self.rows}>"

    @property
    def buttons(self) -> list[Button]:
        keyboard = self.body.get("reply_markup", {}).get("inline_keyboard", [])
        return [
            Button(
                button["text"],
                row,
                column,
                self.id,
                button.get("callback_data"),
                button.get("url"),
                bool(button.get("pay")),
            )
            for row, buttons in enumerate(keyboard)
            for column, button in enumerate(buttons)
        ]

    @property
    def rows(self) -> list[list[str]]:
        keyboard = self.body.get("reply_markup", {}).get("inline_keyboard", [])
        return [[button["text"] for button in row] for row in keyboard]

    def find(self, text: str) -> Button | None:
        """The button with this text, else the first that contains it."""
        whole = [button for button in self.buttons if button.text == text]
        part = [button for button in self.buttons if text in button.text]
        return next(iter(whole + part), None)

    def button(self, text: str) -> Button:
        found = self.find(text)
        if found is None:
            raise NoAnswerError(f"no button {text!r} under {self!r}")
        return found

    def matches(self, match: Match) -> bool:
        if match is None:
            return True
        return match in self.text if isinstance(match, str) else bool(match(self))


class SandboxClient:
    def __init__(self, origin: str, timeout: float = 30.0) -> None:
        self.api = f"{origin.rstrip('/')}/sandbox"
        self._http = httpx2.Client(
            base_url=self.api, timeout=timeout, headers={"X-Sandbox": "1"}, trust_env=False
        )

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

    def create_bot(
        self, name: str = "School", username: str = "school_bot", token: str | None = None
    ) -> BotAccount:
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
    ) -> "Student":
        given = {
            "first_name": first_name,
            "last_name": last_name,
            "username": username,
            "language_code": language_code,
            "hue": hue,
            "id": id,
        }
        return Student(self, self._account(bot), self.call("POST", "/students", json=given))

    def known(self, student_id: int, bot: BotAccount | None = None) -> "Student":
        for profile in self.students():
            if profile["id"] == student_id:
                return Student(self, self._account(bot), profile)
        raise StudentRefusedError("no_student", "There is no such student.")

    def rules(
        self, bot: BotAccount | None = None, *, rate: bool | None = None, strict: bool | None = None
    ) -> None:
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
        return [
            line
            for line in self.journal(bot=bot)
            if line["name"] == method and line["direction"] == "out"
        ]

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


class Student:
    def __init__(self, client: SandboxClient, account: BotAccount, profile: Json) -> None:
        self.client = client
        self.account = account
        self.profile = profile
        self.id: int = profile["id"]
        self.seen = 0

    @property
    def first_name(self) -> str:
        name: str = self.profile["first_name"]
        return name

    # --- writing

    def send(self, text: str, *, reply_to: int | None = None) -> ChatMessage:
        return self._said(self._do("send", text=text, reply_to=reply_to))

    def start(self, payload: str = "") -> ChatMessage:
        return self._said(self._do("start", payload=payload))

    def ask(self, text: str, match: Match = None, timeout: float = 10.0) -> ChatMessage:
        self.send(text)
        return self.wait(match, timeout=timeout)

    def send_photo(self, data: bytes, caption: str = "", name: str = "photo.jpg") -> ChatMessage:
        return self._send_file("photo", data, caption, name)

    def send_document(self, data: bytes, caption: str = "", name: str = "file.pdf") -> ChatMessage:
        return self._send_file("document", data, caption, name)

    def _send_file(self, kind: str, data: bytes, caption: str, name: str) -> ChatMessage:
        form = {"kind": kind, "caption": caption}
        files = {"file": (name, data)}
        return self._said(self.client.call("POST", f"{self._path}/file", data=form, files=files))

    def _said(self, shown: Json) -> ChatMessage:
        message = ChatMessage(shown)
        self.seen = message.rev
        return message

    # --- pressing

    def press(
        self, button: str | Button, message: ChatMessage | None = None, *, wait: float = 10.0
    ) -> Answer | None:
        if isinstance(button, str):
            button = self.find_button(button, message)
        if button.data is None:
            raise StudentRefusedError("not_a_callback", f"{button} sends nothing to the bot")
        return self._press(
            {"message_id": button.message_id, "row": button.row, "column": button.column}, wait
        )

    def press_data(
        self, data: str, message: ChatMessage | None = None, *, wait: float = 10.0
    ) -> Answer | None:
        return self._press({"message_id": (message or self.last).id, "data": data}, wait)

    def _press(self, given: Json, wait: float) -> Answer | None:
        answered = self._do("press", **given, wait=wait)
        self.seen = answered["rev"]
        return Answer(**answered["answer"]) if answered["answer"] else None

    def find_button(self, text: str, message: ChatMessage | None = None) -> Button:
        """The newest button with this text; waits a little for a message that is on its way."""
        if message is not None:
            return message.button(text)
        candidates = reversed(self.from_bot())
        found = next((m for m in candidates if m.find(text)), None)
        if found is None:
            found = self.wait(lambda m: m.find(text), timeout=5.0)
        return found.button(text)

    # --- paying

    def pay(  # noqa: PLR0913 - every field is one way to be dishonest
        self,
        message: ChatMessage | None = None,
        *,
        link: str | None = None,
        payer: "Student | None" = None,
        amount: int | None = None,
        settle_amount: int | None = None,
        payload: str | None = None,
        delay: float = 0.0,
        skip_pre_checkout: bool = False,
        wait: float | None = None,
    ) -> Payment:
        given: Json = {
            "message_id": message.id if message else None,
            "link": link,
            "payer": payer.id if payer else None,
            "amount": amount,
            "settle_amount": settle_amount,
            "payload": payload,
            "delay": delay,
            "skip_pre_checkout": skip_pre_checkout,
        }
        if wait is not None:
            given["wait"] = wait
        outcome = self._do("pay", **given)
        self.seen = outcome.pop("rev")
        return Payment(**outcome)

    def checkout(self, checkout_id: str) -> Payment:
        return Payment(**self.client.call("GET", f"/checkouts/{checkout_id}"))

    def charge_back(self, charge_id: str, *, tell: bool = False) -> int:
        balance: int = self._do("chargeback", charge_id=charge_id, tell=tell)["balance"]
        return balance

    @property
    def stars(self) -> int:
        purse: int = self.client.known(self.id, self.account).profile["stars"]
        return purse

    def set_stars(self, amount: int) -> None:
        self._change(stars=amount)

    # --- belonging

    def block(self) -> None:
        self._do("block")

    def unblock(self) -> None:
        self._do("unblock")

    def clear(self) -> None:
        self._do("clear")

    def delete_account(self) -> None:
        self._change(deleted=True)

    def rename(self, **profile: str) -> None:
        self._change(**profile)

    def init_data(self, auth_date: int | None = None) -> str:
        given = {} if auth_date is None else {"auth_date": auth_date}
        signed: str = self._do("init_data", **given)["init_data"]
        return signed

    def duties(self) -> dict[str, bool]:
        """Rule 6: the commands that every seller's bot must answer."""
        kept = {}
        for command in ("/terms", "/support", "/paysupport"):
            try:
                kept[command] = bool(self.ask(command, timeout=5.0).text)
            except NoAnswerError:
                kept[command] = False
        return kept

    # --- reading

    def messages(self) -> list[ChatMessage]:
        return [ChatMessage(shown) for shown in self._chat()["messages"]]

    def from_bot(self) -> list[ChatMessage]:
        return [message for message in self.messages() if message.by_bot]

    @property
    def last(self) -> ChatMessage:
        found = self.from_bot()
        if not found:
            raise NoAnswerError("the bot has not written yet")
        return found[-1]

    @property
    def keyboard(self) -> list[list[str]]:
        shown = self._chat()["keyboard"] or {}
        return [[button["text"] for button in row] for row in shown.get("keyboard", [])]

    def wait(
        self, match: Match = None, *, since: int | None = None, timeout: float = 10.0
    ) -> ChatMessage:
        after = watched = self.seen if since is None else since
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            chat = self._chat(after=after, watched=watched, wait=max(0.0, min(left, LONG_POLL)))
            changed = [ChatMessage(shown) for shown in chat["messages"]]
            for message in changed:
                if message.by_bot and message.matches(match):
                    return message
            if left <= 0:
                raise NoAnswerError(f"waited {timeout} s for {match!r}; the chat has {changed}")
            watched = chat["rev"]

    def quiet(self, seconds: float = 0.5) -> list[ChatMessage]:
        """Every message that the bot sent or edited, when nothing has changed for so long."""
        watched, since = self.seen, self.seen
        while True:
            chat = self._chat(after=since, watched=watched, wait=seconds)
            if chat["rev"] == watched:
                break
            watched = chat["rev"]
        shown = [ChatMessage(shown) for shown in chat["messages"]]
        return [message for message in shown if message.by_bot]

    def _chat(self, after: int = 0, watched: int | None = None, wait: float = 0.0) -> Json:
        """Messages changed since `after`, once the chat has changed since `watched`."""
        params = {"after": after, "watched": after if watched is None else watched, "wait": wait}
        chat: Json = self.client.call("GET", f"{self._path}/chat", params=params)
        return chat

    def _do(self, verb: str, **given: object) -> Json:
        done: Json = self.client.call("POST", f"{self._path}/{verb}", json=given)
        return done

    def _change(self, **given: object) -> None:
        self.profile = self.client.call("POST", f"/students/{self.id}", json=given)

    @property
    def _path(self) -> str:
        return f"/bots/{self.account.id}/students/{self.id}"
