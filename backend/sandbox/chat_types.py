"""What a student sees and gets, as `backend.sandbox.student` hands it out."""

from collections.abc import Callable
from dataclasses import dataclass

from backend.sandbox.errors import Json

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
        self.entities: list[Json] = self.body.get("entities") or self.body.get("caption_entities") or []
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
