import json
from typing import Annotated, Any

from pydantic import Field, field_validator

from backend.core.i18n import _
from backend.database.schemas.base import Id, Input, Output

MAX_BYTES = 8 * 1024


class BotChatWrite(Input):
    state: Annotated[str | None, Field(max_length=100, examples=["Support:writing"])] = None
    data: Annotated[dict[str, Any], Field(default_factory=dict, examples=[{"screen": 812}])]

    @field_validator("data", mode="after")
    @classmethod
    def _small(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
        except ValueError:
            raise ValueError(_("This is not valid JSON.")) from None
        if size > MAX_BYTES:
            raise ValueError(_("This is more than the bot may keep of one chat (8 KB)."))
        return value


class BotChatResponse(Output):
    telegram_id: int
    state: str | None
    data: dict[str, Any]


class LeaseRequest(Input):
    """`seconds` 0 gives the lease back."""

    holder: Annotated[str, Field(min_length=1, max_length=64, examples=["web-1:4711"])]
    seconds: Annotated[int, Field(ge=0, le=600, examples=[30])]


class LeaseResponse(Output):
    held: bool


class ResentResponse(Output):
    """How many messages that the student is owed leave now."""

    resent: int


class LeavingResponse(Output):
    """Whether a message of the school's is about to leave for the chat."""

    leaving: bool


class BotProfile(Input):
    """What getMe says."""

    id: Annotated[Id, Field(examples=[4200000001])]
    username: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$", examples=["window_light_bot"])]
