"""One student in the chat with one bot, over HTTP. Described in `backend.sandbox.student`."""

import time
from typing import Any, Protocol

from backend.sandbox.chat_types import (
    Answer,
    BotAccount,
    Button,
    ChatMessage,
    Match,
    NoAnswerError,
    Payment,
    StudentRefusedError,
)
from backend.sandbox.errors import Json

LONG_POLL = 5.0


class Caller(Protocol):
    """The part of SandboxClient that a student needs."""

    def call(self, method: str, path: str, **options: Any) -> Any: ...

    def students(self) -> list[Json]: ...


class Student:
    def __init__(self, client: Caller, account: BotAccount, profile: Json) -> None:
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

    def press(self, button: str | Button, message: ChatMessage | None = None, *, wait: float = 10.0) -> Answer | None:
        if isinstance(button, str):
            button = self.find_button(button, message)
        if button.data is None:
            raise StudentRefusedError("not_a_callback", f"{button} sends nothing to the bot")
        return self._press({"message_id": button.message_id, "row": button.row, "column": button.column}, wait)

    def press_data(self, data: str, message: ChatMessage | None = None, *, wait: float = 10.0) -> Answer | None:
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
        purse: int = next(p["stars"] for p in self.client.students() if p["id"] == self.id)
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

    def wait(self, match: Match = None, *, since: int | None = None, timeout: float = 10.0) -> ChatMessage:
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
