from typing import Annotated

from pydantic import Field

from backend.database.schemas.base import Id, Input, Output, UTCMoment


class MediaContent(Output):
    """A stored file as the bot sends it: by `file_id` when known, else the bytes at `url`."""

    id: int
    url: Annotated[str, Field(examples=["/api/media/7"])]
    path: str
    filename: str
    mime: Annotated[str, Field(examples=["video/mp4"])]
    size: Annotated[int, Field(description="Bytes")]
    file_id: str | None = None


class MediaResponse(Output):
    id: int
    path: str
    filename: str
    mime: str
    size: Annotated[int, Field(description="Bytes")]
    sha256: str
    created_at: UTCMoment


class TelegramFilePut(Input):
    """Telegram's name of a file that this bot has sent."""

    bot_id: Annotated[Id, Field(examples=[5000000001])]
    file_id: Annotated[
        str,
        Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_-]+$", examples=["BAACAgIAAxkDAAIB"]),
    ]


class TelegramFileResponse(Output):
    media_id: int
    bot_id: int
    file_id: str
