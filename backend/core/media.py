"""The folder of uploaded files: what may come in, under what name it lies, how it goes out.

A file is whole or absent: it is written under a temporary name, synced and then renamed. It gets
a random name that says nothing; what the person called it is only a label.
"""

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from fastapi.responses import FileResponse

from backend.core.errors import AppError, InvalidError, NotFoundError, TooLargeError
from backend.core.i18n import _
from backend.database.crud.media import StoredFile
from backend.database.models.media import Media

VIDEO_BYTES = 50_000_000  # the public Bot API takes no more
UPLOAD_BODY = 52_000_000  # with the other fields of the form
CHUNK = 1 << 20
HEAD = 64
FILENAME = 200
TEMPORARY = ".part"

# An untrusted file shown in a tab of its own can neither run script nor ask for anything.
SANDBOX = "sandbox; default-src 'none'; media-src 'self'; style-src 'unsafe-inline'"
EXTENSIONS = {"video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm"}
_MP4_BRANDS = frozenset(
    {
        b"isom",
        b"iso2",
        b"iso3",
        b"iso4",
        b"iso5",
        b"iso6",
        b"mp41",
        b"mp42",
        b"avc1",
        b"M4V ",
        b"dash",
    }
)


def sniff(head: bytes) -> str | None:
    """The type of a video by its first bytes: `ftyp` of ISO 14496-12, or EBML with doctype webm."""
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand == b"qt  ":
            return "video/quicktime"
        return "video/mp4" if brand in _MP4_BRANDS else None
    if head[:4] == b"\x1a\x45\xdf\xa3" and b"webm" in head:
        return "video/webm"
    return None


def label(filename: str | None) -> str:
    """What a person called a file, without folders and characters that cannot be shown."""
    name = (filename or "").replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in name if char.isprintable()).strip(" .")[-FILENAME:] or "video"


class MediaFolder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, source: BinaryIO, filename: str | None) -> StoredFile:
        """Copies a video into the folder. Raises InvalidError, TooLargeError at `video`."""
        head = source.read(HEAD)
        mime = sniff(head)
        if mime is None:
            words = _("This is not an MP4, MOV or WebM video.") if head else _("This file is empty.")
            raise InvalidError(words, fields={"video": words})
        self.folder.mkdir(parents=True, exist_ok=True)
        path = f"{secrets.token_urlsafe(24)}.{EXTENSIONS[mime]}"
        part = self.folder / f"{path}{TEMPORARY}"
        try:
            size, digest = _copy(head, source, part)
            part.rename(self.folder / path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_folder(self.folder)
        return StoredFile(path, label(filename), mime, size, digest)

    def discard(self, path: str) -> None:
        with suppress(FileNotFoundError):
            (self.folder / path).unlink()

    def locate(self, path: str) -> Path:
        """Where a file lies. Raises NotFoundError, also for a name that leads out of the folder."""
        found = self.folder / path
        if Path(path).name != path or not found.is_file():
            raise NotFoundError(_("This file is no longer here."))
        return found

    def strays(self, known: frozenset[str], before: float) -> list[str]:
        """Names of files that no row knows, last written before a moment (epoch seconds)."""
        if not self.folder.is_dir():
            return []
        return [
            entry.name
            for entry in os.scandir(self.folder)
            if entry.is_file() and entry.name not in known and entry.stat().st_mtime < before
        ]


def _copy(head: bytes, source: BinaryIO, target: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        chunk = head
        while chunk:
            size += len(chunk)
            if size > VIDEO_BYTES:
                raise too_large()
            digest.update(chunk)
            file.write(chunk)
            chunk = source.read(CHUNK)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    # Without this the name may be lost in a power cut although the bytes are safe.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def too_large() -> AppError:
    words = _("This video is larger than %s MB.") % (VIDEO_BYTES // 1_000_000)
    return TooLargeError(words, fields={"video": words})


def folder_of(request: Request) -> MediaFolder:
    return MediaFolder(request.app.state.settings.media_dir)


def send_file(request: Request, media: Media) -> FileResponse:
    """The bytes of a stored file; answers Range requests. Raises NotFoundError."""
    found = folder_of(request).locate(media.path)
    return FileResponse(
        found,
        media_type=media.mime,
        filename=media.filename,
        content_disposition_type="inline",
        stat_result=found.stat(),
        headers={"Content-Security-Policy": SANDBOX},
    )
