"""The videos of lessons: how they come in with a form and are watched in the dashboard."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from starlette.datastructures import UploadFile

from backend.core.deps import Routes, crud, require
from backend.core.errors import AppError
from backend.core.forms import Form
from backend.core.media import folder_of, send_file
from backend.core.permissions import Permission
from backend.core.units import Unit
from backend.database.crud.media import MediaCRUD, StoredFile
from backend.database.models.media import Media
from backend.database.schemas.base import MAX_ID

FIELD = "video"
router = Routes(prefix="/dashboard/media", dependencies=[require(Permission.LESSONS_WRITE)])
Files = Annotated[MediaCRUD, crud(MediaCRUD)]


@router.get("/{media_id}", name="crm:media:show")
def show(request: Request, files: Files, media_id: Annotated[int, Path(ge=1, le=MAX_ID)]) -> Response:
    return send_file(request, files.get_by_id(media_id))


@dataclass
class Upload:
    """The file of a form: in the media folder before the transaction, gone if no row names it."""

    stored: StoredFile | None = None
    error: AppError | None = None
    kept: bool = False

    def attach(self, form: Form[Any], files: MediaCRUD, uploader_id: int | None) -> Media | None:
        """Makes the row; the form's `media_id` spares a refused form a second upload."""
        if self.error is not None:
            form.errors[FIELD] = self.error.fields.get(FIELD, self.error.message)
            form.data = None
        if self.stored is None:
            return None
        media = files.register(self.stored, uploader_id)
        self.kept = True
        form.values["media_id"] = media.id
        if form.data is not None:
            form.data.media_id = media.id
        return media


async def _uploaded(request: Request) -> AsyncIterator[Upload]:
    sent = await request.form(max_files=5, max_fields=200, max_part_size=1_000_000)
    file, upload, folder = sent.get(FIELD), Upload(), folder_of(request)
    if isinstance(file, UploadFile) and file.filename:
        unit: Unit = request.state.unit
        await run_in_threadpool(unit.admit)  # a stranger's file is not even written down
        try:
            upload.stored = await run_in_threadpool(folder.keep, file.file, file.filename)
        except AppError as error:
            upload.error = error
    committed = False
    try:
        yield upload
        committed = True
    finally:
        if upload.stored is not None and not (committed and upload.kept):
            await run_in_threadpool(folder.discard, upload.stored.path)


uploaded_video = Depends(_uploaded, scope="function")
