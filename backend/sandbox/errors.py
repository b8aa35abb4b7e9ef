"""Telegram's refusals: code and text as the Bot API words them, since bots match on both."""

from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly"
    " the same as a current content and reply markup of the message"
)
QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"


class TelegramError(Exception):
    """An answer {"ok": false}; `parameters` carries retry_after where Telegram sends it."""

    def __init__(self, code: int, description: str, parameters: Json | None = None) -> None:
        super().__init__(f"{code} {description}")
        self.code = code
        self.description = description
        self.parameters = parameters

    def body(self) -> Json:
        body: Json = {"ok": False, "error_code": self.code, "description": self.description}
        if self.parameters:
            body["parameters"] = self.parameters
        return body


def bad_request(text: str) -> TelegramError:
    return TelegramError(400, f"Bad Request: {text}")


def forbidden(text: str) -> TelegramError:
    return TelegramError(403, f"Forbidden: {text}")


def conflict(text: str) -> TelegramError:
    return TelegramError(409, f"Conflict: {text}")


def too_many(retry_after: int) -> TelegramError:
    return TelegramError(429, f"Too Many Requests: retry after {retry_after}", {"retry_after": retry_after})


class StudentError(Exception):
    """What a student's own app would not let them do: an invalid deep link, a missing button."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
