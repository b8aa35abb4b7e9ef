"""The school as the bot sees it: a typed client of /api."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from backend.bot.http import SCREEN, ApiUnavailableError, Ask, Http, Patience
from backend.database.schemas.base import ListResponse
from backend.database.schemas.courses import CourseResponse
from backend.database.schemas.lessons import LessonContent, LessonResponse
from backend.database.schemas.orders import OrderResponse, PreCheckoutResponse
from backend.database.schemas.promo_codes import PromoCheckResponse
from backend.database.schemas.purchases import PurchaseResponse
from backend.database.schemas.users import UserResponse

M = TypeVar("M", bound=BaseModel)

MOST = 100  # rows of one answer


class ChatState(BaseModel):
    """What the school keeps of a chat for the bot."""

    state: str | None = None
    data: dict[str, Any] = {}


class Held(BaseModel):
    held: bool


class Leaving(BaseModel):
    leaving: bool


class Returned(BaseModel):
    outcome: str  # "returned" | "chargeback"


class TicketMessage(BaseModel):
    """The server's own schema reads rows and writes JSON; this one reads the JSON."""

    side: str = Field(alias="from")  # "student" | "staff"
    text: str
    created_at: datetime


class Ticket(BaseModel):
    id: int
    subject: str
    status: str  # "open" | "in_progress" | "closed"
    waiting_since: datetime | None = None
    created_at: datetime
    messages: list[TicketMessage] = []


@dataclass(frozen=True)
class Item:
    """What can be bought."""

    kind: str  # "lesson" | "course"
    id: int

    @property
    def named(self) -> dict[str, int]:
        return {f"{self.kind}_id": self.id}


@dataclass(frozen=True)
class Charge:
    """Telegram's successful_payment, or its announcement at pre-checkout (`payment_id` empty)."""

    payload: str
    telegram_id: int
    amount: int
    currency: str
    payment_id: str = ""


@dataclass(frozen=True)
class Api:
    """`language` decides in which words errors come; `cause` tells what the repeats have in common.

    Every method raises ApiRefusedError or ApiUnavailableError.
    """

    http: Http
    language: str = "en"
    cause: str = ""
    patience: Patience = SCREEN

    def on_behalf(self, *, language: str | None = None, cause: str | None = None) -> "Api":
        return replace(
            self,
            language=self.language if language is None else language,
            cause=self.cause if cause is None else cause,
        )

    def patient(self, patience: Patience) -> "Api":
        return replace(self, patience=patience)

    # --- people

    async def register(self, profile: Mapping[str, Any]) -> UserResponse:
        return await self._post("/api/users/", profile, UserResponse)

    async def user(self, user_id: int) -> UserResponse:
        return await self._get(f"/api/users/{user_id}", UserResponse)

    async def accept_terms(self, user_id: int) -> UserResponse:
        return await self._put(f"/api/users/{user_id}", {"terms_accepted": True}, UserResponse)

    async def choose_language(self, user_id: int, language: str | None) -> UserResponse:
        return await self._put(f"/api/users/{user_id}", {"ui_language": language}, UserResponse)

    # --- catalogue

    async def lessons(self, cursor: str | None = None, **filters: Any) -> ListResponse[LessonResponse]:
        params = {"is_active": True, "sort": "created_at", **filters}
        return await self._list("/api/lessons/", LessonResponse, params, cursor)

    async def lesson(self, lesson_id: int) -> LessonResponse:
        return await self._get(f"/api/lessons/{lesson_id}", LessonResponse)

    async def courses(self, cursor: str | None = None, **filters: Any) -> ListResponse[CourseResponse]:
        params = {"is_active": True, "sort": "created_at", **filters}
        return await self._list("/api/courses/", CourseResponse, params, cursor)

    async def course(self, course_id: int) -> CourseResponse:
        return await self._get(f"/api/courses/{course_id}", CourseResponse)

    async def content(self, user_id: int, lesson_id: int, bot_id: int) -> LessonContent:
        """Refused with `not_entitled` unless the lesson is free, granted or bought."""
        path = f"/api/users/{user_id}/lessons/{lesson_id}/content"
        return await self._get(path, LessonContent, {"bot_id": bot_id})

    def media(self, media_id: int) -> AsyncIterator[bytes]:
        return self.http.stream(Ask("GET", f"/api/media/{media_id}", headers=self._headers))

    async def remember_file(self, media_id: int, bot_id: int, file_id: str) -> None:
        body = {"bot_id": bot_id, "file_id": file_id}
        await self._send(Ask("PUT", f"/api/media/{media_id}/telegram-file", body=body))

    # --- money

    async def purchases(self, user_id: int, cursor: str | None = None) -> ListResponse[PurchaseResponse]:
        """What the student has now, newest first."""
        params = {"user_id": user_id, "status": "completed", "revoked": False}
        return await self._list("/api/purchases/", PurchaseResponse, params, cursor)

    async def check_promo(self, code: str, user_id: int, item: Item) -> PromoCheckResponse:
        body = {"code": code, "user_id": user_id, **item.named}
        # A question, whose answer may be another one the next time.
        return await self._post("/api/promo-codes/check", body, PromoCheckResponse, keyed=False)

    async def order(self, user_id: int, item: Item, promo_code: str | None) -> OrderResponse:
        body = {"user_id": user_id, "promo_code": promo_code, **item.named}
        return await self._post("/api/orders/", body, OrderResponse)

    async def pre_checkout(self, charge: Charge) -> PreCheckoutResponse:
        body = {
            "payload": charge.payload,
            "telegram_id": charge.telegram_id,
            "total_amount": charge.amount,
            "currency": charge.currency,
        }
        return await self._post("/api/orders/pre-checkout", body, PreCheckoutResponse)

    async def record_payment(self, charge: Charge) -> PurchaseResponse:
        body = {
            "payload": charge.payload,
            "telegram_id": charge.telegram_id,
            "payment_id": charge.payment_id,
            "amount": charge.amount,
            "currency": charge.currency,
        }
        # The charge id is its key, and a repeat is to learn of a refund made since.
        return await self._post("/api/purchases/create", body, PurchaseResponse, keyed=False)

    async def record_return(self, telegram_id: int, payment_id: str) -> str:
        """ "returned" as the school had asked, or "chargeback"."""
        body = {"telegram_id": telegram_id, "payment_id": payment_id}
        return (await self._post("/api/purchases/returned", body, Returned, keyed=False)).outcome

    # --- support

    async def tickets(self, user_id: int, cursor: str | None = None) -> ListResponse[Ticket]:
        params = {"user_id": user_id, "sort": "-last_message_at"}
        return await self._list("/api/tickets/", Ticket, params, cursor)

    async def ticket(self, user_id: int, ticket_id: int) -> Ticket:
        """Another student's ticket is not found."""
        return await self._get(f"/api/tickets/{ticket_id}", Ticket, {"user_id": user_id})

    async def open_ticket(self, user_id: int, subject: str, message: str) -> Ticket:
        body = {"user_id": user_id, "subject": subject, "message": message}
        return await self._post("/api/tickets/", body, Ticket)

    async def write_to_ticket(self, user_id: int, ticket_id: int, text: str) -> None:
        body = {"text": text, "from": "student", "user_id": user_id}
        await self._posted(f"/api/tickets/{ticket_id}/messages", body)

    # --- the bot itself

    async def chat(self, telegram_id: int) -> ChatState:
        return await self._get(f"/api/bot/chats/{telegram_id}", ChatState)

    async def save_chat(self, telegram_id: int, chat: ChatState) -> None:
        await self._send(Ask("PUT", f"/api/bot/chats/{telegram_id}", body=chat.model_dump()))

    async def leaving(self, telegram_id: int) -> bool:
        """Whether the school itself is about to write to the chat."""
        return (await self._get(f"/api/bot/chats/{telegram_id}/leaving", Leaving)).leaving

    async def blocked(self, telegram_id: int, *, blocked: bool) -> None:
        verb = "blocked" if blocked else "unblocked"
        await self._posted(f"/api/bot/chats/{telegram_id}/{verb}", {})

    async def introduce(self, bot_id: int, username: str) -> None:
        await self._send(Ask("PUT", "/api/bot/me", body={"id": bot_id, "username": username}))

    async def lease(self, holder: str, seconds: int) -> bool:
        """Whether `holder` is the one process that polls Telegram for so long."""
        answer = await self._send(Ask("POST", "/api/bot/lease", body={"holder": holder, "seconds": seconds}))
        return _read(Held, answer).held

    # --- how

    @property
    def _headers(self) -> dict[str, str]:
        return {"Accept-Language": self.language}

    async def _send(self, ask: Ask) -> bytes:
        headers = {**self._headers, **ask.headers}
        response = await self.http.send(replace(ask, headers=headers), self.patience)
        return response.content

    async def _get(self, path: str, model: type[M], params: Mapping[str, Any] | None = None) -> M:
        return _read(model, await self._send(Ask("GET", path, params)))

    async def _put(self, path: str, body: Mapping[str, Any], model: type[M]) -> M:
        return _read(model, await self._send(Ask("PUT", path, body=body)))

    async def _post(self, path: str, body: Mapping[str, Any], model: type[M], *, keyed: bool = True) -> M:
        return _read(model, await self._posted(path, body, keyed=keyed))

    async def _posted(self, path: str, body: Mapping[str, Any], *, keyed: bool = True) -> bytes:
        headers = {"Idempotency-Key": self._key(path, body)} if self.cause and keyed else {}
        return await self._send(Ask("POST", path, body=body, headers=headers))

    async def _list(self, path: str, model: type[M], params: Mapping[str, Any], cursor: str | None) -> ListResponse[M]:
        asked = {"limit": MOST, **params, **({"cursor": cursor} if cursor else {})}
        found = await self._send(Ask("GET", path, asked))
        return _read(ListResponse[model], found)  # type: ignore[valid-type] # a class at run time

    def _key(self, path: str, body: Mapping[str, Any]) -> str:
        """The same request for the same cause is the same; `cause` is `tg:<bot>:<update>...`."""
        whole = json.dumps([self.cause, path, body], sort_keys=True)
        visible = ":".join(self.cause.split(":")[:3])
        return f"{visible}:{hashlib.sha256(whole.encode()).hexdigest()[:16]}"


def _read(model: type[M], answer: bytes) -> M:
    try:
        return model.model_validate_json(answer)
    except ValidationError as error:
        # A server of another version, or a proxy that answers 200 with a page of its own.
        raise ApiUnavailableError("unreadable_answer") from error
