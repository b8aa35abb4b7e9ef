"""Files: kept once by content beside the state file, known to each bot by an own id (rule 8)."""

import hashlib
import mimetypes
import os
import secrets
import shutil
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
from starlette.datastructures import UploadFile

from backend.sandbox.errors import Json, bad_request
from backend.sandbox.requests import Arguments
from backend.sandbox.store import Store, dump, load

PHOTO_BYTES = 10 * 1024 * 1024
DOWNLOAD_BYTES = 20 * 1024 * 1024
FOLDERS = {"photo": "photos", "video": "videos", "document": "documents"}
# Images that a browser may show in a page; anything else is handed over as a download.
IMAGES = {"image/jpeg", "image/png", "image/gif", "image/webp"}


@dataclass
class StoredFile:
    file_id: str
    bot_id: int
    kind: str
    body: Json
    name: str
    mime: str
    digest: str
    path: str


class Files:
    def __init__(self, store: Store, state: Path | None) -> None:
        self._store = store
        self._temporary = state is None
        self.folder = (
            Path(tempfile.mkdtemp(prefix="sandbox-")) if state is None else state.with_name(f"{state.name}.files")
        )
        self.folder.mkdir(parents=True, exist_ok=True)

    def close(self) -> None:
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    async def take(self, bot_id: int, kind: str, source: str, arguments: Arguments) -> StoredFile:
        """A new upload, or a file that this bot already has under its file_id."""
        if source.startswith("attach://"):
            upload = arguments.files.get(source.removeprefix("attach://"))
            if upload is None:
                raise bad_request(f"there is no {kind} in the request")
            return await self.save(bot_id, kind, upload)
        if source.startswith(("http://", "https://")):
            # The sandbox reaches no network; Telegram says this when it cannot fetch the address.
            raise bad_request("failed to get HTTP URL content")
        return self.known(bot_id, kind, source)

    def known(self, bot_id: int, kind: str, file_id: str) -> StoredFile:
        stored = self.find(bot_id, file_id)
        if stored is None:
            raise bad_request("wrong file identifier/HTTP URL specified")
        if stored.kind != kind:
            raise bad_request(f"can't use file of type {stored.kind.capitalize()} as {kind.capitalize()}")
        return stored

    def find(self, bot_id: int, file_id: str) -> StoredFile | None:
        row = self._store.one("SELECT * FROM files WHERE file_id = ? AND bot_id = ?", file_id, bot_id)
        return None if row is None else StoredFile(**dict(row) | {"body": load(row["body"])})

    def by_path(self, bot_id: int, path: str) -> StoredFile | None:
        file_id = self._store.value("SELECT file_id FROM files WHERE bot_id = ? AND path = ?", bot_id, path)
        return None if file_id is None else self.find(bot_id, file_id)

    async def save(self, bot_id: int, kind: str, upload: UploadFile) -> StoredFile:
        size = upload.size or 0
        if not size:
            raise bad_request("file must be non-empty")
        if kind == "photo" and size > PHOTO_BYTES:
            raise bad_request(
                f"file of size {size} bytes is too big for a photo; the maximum size is {PHOTO_BYTES} bytes"
            )
        digest = await anyio.to_thread.run_sync(self._write, upload.file)
        name = Path(upload.filename or "file").name
        mime = mimetypes.guess_type(name)[0] or upload.content_type or "application/octet-stream"
        body: Json = {"file_unique_id": f"{kind[0]}{digest[:15]}", "file_size": size}
        if kind == "photo":
            body["width"], body["height"] = photo_size(self.content(digest))
        number = self._store.next(f"file:{bot_id}")
        suffix = Path(name).suffix or mimetypes.guess_extension(mime) or ""
        stored = StoredFile(
            file_id=f"SBX{kind[0].upper()}{secrets.token_urlsafe(36)}",
            bot_id=bot_id,
            kind=kind,
            body=body,
            name=name,
            mime=mime,
            digest=digest,
            path=f"{FOLDERS[kind]}/file_{number}{suffix}",
        )
        values = vars(stored) | {"body": dump(body)}
        marks = ", ".join("?" * len(values))
        self._store.run(
            f"INSERT INTO files ({', '.join(values)}) VALUES ({marks})",  # noqa: S608 - own names
            *values.values(),
        )
        return stored

    def content(self, digest: str) -> Path:
        return self.folder / digest

    def _write(self, source: BinaryIO) -> str:
        digest = hashlib.sha256()
        source.seek(0)
        handle, temporary = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(handle, "wb") as target:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                target.write(chunk)
        Path(temporary).replace(self.content(digest.hexdigest()))
        return digest.hexdigest()


def photo_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture that Telegram would take as a photo."""
    with path.open("rb") as source:
        head = source.read(32)
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack(">II", head[16:24])
        elif head.startswith(b"GIF8"):
            width, height = struct.unpack("<HH", head[6:10])
        elif head.startswith(b"RIFF") and head[8:15] == b"WEBPVP8":
            width, height = _webp(head)
        elif head.startswith(b"\xff\xd8"):
            width, height = _jpeg(source)
        else:
            raise bad_request("IMAGE_PROCESS_FAILED")
    too_long = max(width, height) > 20 * max(1, min(width, height))
    if width + height > 10_000 or too_long or not (width and height):
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return width, height


def _webp(head: bytes) -> tuple[int, int]:
    if head[15:16] == b"X":
        return (
            int.from_bytes(head[24:27], "little") + 1,
            int.from_bytes(head[27:30], "little") + 1,
        )
    if head[15:16] == b"L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return (
        int.from_bytes(head[26:28], "little") & 0x3FFF,
        int.from_bytes(head[28:30], "little") & 0x3FFF,
    )


def _jpeg(source: BinaryIO) -> tuple[int, int]:
    """Walks the segments to the frame header, which holds the size."""
    source.seek(2)
    while (marker := source.read(4)) and len(marker) == 4 and marker[0] == 0xFF:
        kind, length = marker[1], int.from_bytes(marker[2:4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:
            frame = source.read(5)
            height, width = struct.unpack(">HH", frame[1:5])
            return width, height
        source.seek(length - 2, os.SEEK_CUR)
    raise bad_request("IMAGE_PROCESS_FAILED")
