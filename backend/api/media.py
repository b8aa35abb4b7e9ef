from typing import Annotated

from fastapi import Path, Request
from fastapi.responses import FileResponse, Response

from backend.core.deps import NOT_FOUND, Routes, crud, require
from backend.core.media import send_file
from backend.core.permissions import Permission
from backend.database.crud.media import MediaCRUD
from backend.database.schemas.base import MAX_ID
from backend.database.schemas.media import TelegramFilePut, TelegramFileResponse

router = Routes(prefix="/api/media", tags=["media"], dependencies=[require(Permission.BOT)])
Files = Annotated[MediaCRUD, crud(MediaCRUD)]
MediaId = Annotated[int, Path(ge=1, le=MAX_ID, examples=[1])]


@router.get(
    "/{media_id}",
    response_class=FileResponse,
    summary="The bytes of a stored file",
    responses={
        **NOT_FOUND,
        200: {
            "description": "The file; Range is answered with 206",
            "content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}},
        },
    },
)
def get_media(request: Request, files: Files, media_id: MediaId) -> Response:
    return send_file(request, files.get_by_id(media_id))


@router.put(
    "/{media_id}/telegram-file",
    response_model=TelegramFileResponse,
    summary="Remember Telegram's name of a file",
    responses=NOT_FOUND,
)
def remember_telegram_file(files: Files, media_id: MediaId, data: TelegramFilePut) -> object:
    """A `file_id` belongs to the bot that has sent the file; a newer one replaces it."""
    return files.remember_file_id(media_id, data.bot_id, data.file_id)
