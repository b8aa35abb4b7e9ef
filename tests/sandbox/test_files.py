"""Files: rule 8."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiogram.exceptions import TelegramBadRequest, TelegramEntityTooLarge, TelegramNotFound
from aiogram.methods import (
    EditMessageCaption,
    EditMessageMedia,
    EditMessageText,
    GetFile,
    SendDocument,
    SendMediaGroup,
    SendMessage,
    SendPhoto,
    SendVideo,
)
from aiogram.types import BufferedInputFile, InputMediaPhoto, InputMediaVideo

from backend.sandbox.media import photo_size
from backend.sandbox.student import Student
from tests.sandbox.bots import Blocking, Scene, some
from tests.sandbox.test_messages import refusal

MEGABYTE = 1024 * 1024


def png(width: int = 4, height: int = 3, tail: int = 0) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + b"\0\0\0" * width for _ in range(min(height, 50))))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body + b"\0" * tail


def file(data: bytes, name: str) -> BufferedInputFile:
    return BufferedInputFile(data, name)


VIDEO = b"\0\0\0\x18ftypmp42" + b"v" * 5000


def test_a_photo_has_its_size(bot: Blocking, olga: Student) -> None:
    sent = bot(SendPhoto(chat_id=olga.id, photo=file(png(40, 30), "a.png"), caption="<i>x</i>", parse_mode="HTML"))
    assert sent.photo is not None
    assert (sent.photo[-1].width, sent.photo[-1].height) == (40, 30)
    assert (sent.caption, some(sent.caption_entities)[0].type) == ("x", "italic")
    assert olga.last.photo is not None


def test_a_file_is_sent_again_by_its_id(bot: Blocking, olga: Student) -> None:
    first = bot(SendVideo(chat_id=olga.id, video=file(VIDEO, "a.mp4"), width=640, height=360, duration=5))
    assert first.video is not None
    assert (first.video.width, first.video.duration, first.video.mime_type) == (640, 5, "video/mp4")
    again = bot(SendVideo(chat_id=olga.id, video=first.video.file_id, protect_content=True))
    assert again.video is not None
    assert again.video.file_unique_id == first.video.file_unique_id
    assert again.has_protected_content is True


def test_a_file_id_belongs_to_one_bot(bot: Blocking, olga: Student, scene: Scene) -> None:
    sent = bot(SendDocument(chat_id=olga.id, document=file(b"text", "a.txt")))
    assert sent.document is not None
    account = scene.box.create_bot("Other", "other_bot")
    other = Blocking(scene.box.api, account.token)
    ivan = scene.box.student("Ivan", bot=account)
    ivan.start()
    said = refusal(other, SendDocument(chat_id=ivan.id, document=sent.document.file_id))
    assert said == "Bad Request: wrong file identifier/HTTP URL specified"
    other.close()


def test_a_file_id_keeps_its_kind(bot: Blocking, olga: Student) -> None:
    sent = bot(SendPhoto(chat_id=olga.id, photo=file(png(), "a.png")))
    method = SendVideo(chat_id=olga.id, video=some(sent.photo)[-1].file_id)
    assert refusal(bot, method) == "Bad Request: can't use file of type Photo as Video"


def test_addresses_are_not_fetched(bot: Blocking, olga: Student) -> None:
    method = SendPhoto(chat_id=olga.id, photo="https://example.org/a.png")
    assert refusal(bot, method) == "Bad Request: failed to get HTTP URL content"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "file must be non-empty"),
        (b"not a picture", "IMAGE_PROCESS_FAILED"),
        (png(6000, 6000), "PHOTO_INVALID_DIMENSIONS"),
        (png(2100, 100), "PHOTO_INVALID_DIMENSIONS"),
        (
            png(tail=10 * MEGABYTE),
            "file of size N bytes is too big for a photo; the maximum size is 10485760 bytes",
        ),
    ],
)
def test_bad_photos_are_refused(bot: Blocking, olga: Student, data: bytes, said: str) -> None:
    method = SendPhoto(chat_id=olga.id, photo=file(data, "a.png"))
    with pytest.raises(TelegramBadRequest) as caught:
        bot(method)
    expected = said.replace(" N ", f" {len(data)} ")
    assert caught.value.message == f"Bad Request: {expected}"


def test_fifty_megabytes_are_the_end(bot: Blocking, olga: Student) -> None:
    with pytest.raises(TelegramEntityTooLarge):
        bot(SendDocument(chat_id=olga.id, document=file(b"x" * (51 * MEGABYTE), "a.bin")))
    bot(SendDocument(chat_id=olga.id, document=file(b"x" * (49 * MEGABYTE), "a.bin")))


def test_bots_fetch_up_to_twenty_megabytes(bot: Blocking, olga: Student) -> None:
    small = bot(SendDocument(chat_id=olga.id, document=file(b"small", "a.txt")))
    assert small.document is not None
    found = bot(GetFile(file_id=small.document.file_id))
    content = bot.run(lambda b: b.download_file(some(found.file_path), io.BytesIO()))
    assert content.getvalue() == b"small"
    big = bot(SendDocument(chat_id=olga.id, document=file(b"x" * (21 * MEGABYTE), "a.bin")))
    assert big.document is not None
    said = refusal(bot, GetFile(file_id=big.document.file_id))
    assert said == "Bad Request: file is too big"
    said = refusal(bot, GetFile(file_id="none"))
    assert said == "Bad Request: wrong file_id or the file is temporarily unavailable"


def test_captions_have_1024_characters(bot: Blocking, olga: Student) -> None:
    photo = file(png(), "a.png")
    method = SendPhoto(chat_id=olga.id, photo=photo, caption="x" * 1025)
    assert refusal(bot, method) == "Bad Request: message caption is too long"
    sent = bot(SendPhoto(chat_id=olga.id, photo=photo, caption="x" * 1024))
    ids: dict[str, Any] = {"chat_id": olga.id, "message_id": sent.message_id}
    bot(EditMessageCaption(**ids, caption="short"))
    assert olga.last.text == "short"
    said = refusal(bot, EditMessageText(**ids, text="x"))
    assert said == "Bad Request: there is no text in the message to edit"
    plain = bot(SendMessage(chat_id=olga.id, text="x"))
    said = refusal(bot, EditMessageCaption(chat_id=olga.id, message_id=plain.message_id, caption="x"))
    assert said == "Bad Request: there is no caption in the message to edit"


def test_one_picture_replaces_another(bot: Blocking, olga: Student) -> None:
    sent = bot(SendPhoto(chat_id=olga.id, photo=file(png(), "a.png"), caption="old"))
    media = InputMediaVideo(media=file(VIDEO, "a.mp4"), caption="new")
    bot(EditMessageMedia(chat_id=olga.id, message_id=sent.message_id, media=media))
    read = olga.last
    assert (read.text, read.photo, read.video is not None) == ("new", None, True)


def test_an_album_holds_two_to_ten(bot: Blocking, olga: Student) -> None:
    photos: list[Any] = [InputMediaPhoto(media=file(png(), f"{n}.png")) for n in range(2)]
    sent = bot(SendMediaGroup(chat_id=olga.id, media=photos))
    assert len({message.media_group_id for message in sent}) == 1
    said = refusal(bot, SendMediaGroup(chat_id=olga.id, media=photos[:1]))
    assert said == "Bad Request: wrong number of messages in the album: must be 2-10"


def test_students_send_files_too(bot: Blocking, olga: Student) -> None:
    olga.send_photo(png(), "my homework", "work.png")
    message = bot.update().message
    assert message is not None
    assert message.caption == "my homework"
    found = bot(GetFile(file_id=some(message.photo)[-1].file_id))
    content = bot.run(lambda b: b.download_file(some(found.file_path), io.BytesIO()))
    assert content.getvalue() == png()
    olga.send_document(b"%PDF-1.7", name="work.pdf")
    message = bot.update().message
    assert message is not None
    assert message.document is not None
    assert message.document.file_name == "work.pdf"


def test_a_page_is_never_served_as_a_page(bot: Blocking, olga: Student, scene: Scene) -> None:
    sent = bot(SendDocument(chat_id=olga.id, document=file(b"<script>1</script>", "a.html")))
    path = bot(GetFile(file_id=some(sent.document).file_id)).file_path
    answer = httpx2.get(f"{scene.box.api}/file/bot{bot.token}/{path}")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["documents/none", "../sandbox.db", "..%2F..%2Fetc%2Fpasswd"])
def test_no_other_file_can_be_read(bot: Blocking, scene: Scene, path: str) -> None:
    answer = httpx2.get(f"{scene.box.api}/file/bot{bot.token}/{path}")
    assert answer.status_code in {401, 404}


JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 30, 40) + b"\x03" * 6
WEBP = b"RIFF\0\0\0\0WEBPVP8X" + b"\0" * 8 + b"\x27\0\0\x1d\0\0"
WEBP_LOSSLESS = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + (39 | 29 << 14).to_bytes(4, "little")
WEBP_LOSSY = b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 10 + struct.pack("<HH", 40, 30)


@pytest.mark.parametrize("data", [JPEG, b"GIF89a" + struct.pack("<HH", 40, 30), WEBP, WEBP_LOSSLESS, WEBP_LOSSY])
def test_every_kind_of_picture_is_measured(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "picture"
    path.write_bytes(data)
    assert photo_size(path) == (40, 30)


def test_a_broken_picture_is_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(Exception, match="IMAGE_PROCESS_FAILED"):
        photo_size(path)


def test_a_missing_file_is_not_found(bot: Blocking) -> None:
    with pytest.raises((TelegramBadRequest, TelegramNotFound)):
        bot(GetFile(file_id="SBXnothing"))
