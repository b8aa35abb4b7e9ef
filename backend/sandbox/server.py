"""The Bot API over HTTP: /bot<token>/<method> and /file/bot<token>/<path>."""

from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from backend.sandbox.dispatch import dispatch
from backend.sandbox.errors import Json, TelegramError
from backend.sandbox.guard import cross_site
from backend.sandbox.hub import Call, Hub
from backend.sandbox.media import DOWNLOAD_BYTES, IMAGES, StoredFile
from backend.sandbox.requests import Arguments, read_arguments

BAD_GATEWAY = 502


class BotApi:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/bot{token}/{method}", self.call, methods=["GET", "POST"]),
            Route("/file/bot{token}/{path:path}", self.download, methods=["GET"]),
            Route("/media/{bot:int}/{file_id}", self.show, methods=["GET"]),
        ]

    async def call(self, request: Request) -> Response:
        try:
            result = await self._answer(request)
        except TelegramError as error:
            if error.code == BAD_GATEWAY:  # Telegram's own front answers HTML here
                return HTMLResponse("<html><h1>502 Bad Gateway</h1></html>", BAD_GATEWAY)
            headers = {}
            if error.parameters and "retry_after" in error.parameters:
                headers["Retry-After"] = str(error.parameters["retry_after"])
            return JSONResponse(error.body(), error.code, headers=headers)
        return JSONResponse({"ok": True, "result": result})

    async def _answer(self, request: Request) -> object:
        token = request.path_params["token"]
        bot = self.hub.world.bot_by_token(token)
        if bot is None:
            raise TelegramError(401, "Unauthorized")
        arguments = await read_arguments(request)

        async def alive() -> bool:
            return not await request.is_disconnected()

        call = Call[Any](self.hub, bot, None, arguments, alive)
        try:
            return await dispatch(call, request.path_params["method"].lower())
        finally:
            for upload in arguments.files.values():
                await upload.close()

    async def perform(self, token: str, values: Json) -> None:
        """A method call that a bot put into its answer to the webhook; its result is not told."""
        bot = self.hub.world.bot_by_token(token)
        if bot is None:
            return
        rest = {key: value for key, value in values.items() if key != "method"}
        call = Call[Any](self.hub, bot, None, Arguments(rest))
        try:
            await dispatch(call, str(values["method"]).lower())
        except TelegramError:
            return  # the journal has it

    async def download(self, request: Request) -> Response:
        bot = self.hub.world.bot_by_token(request.path_params["token"])
        if bot is None:
            return JSONResponse(TelegramError(401, "Unauthorized").body(), 401)
        stored = self.hub.files.by_path(bot.id, request.path_params["path"])
        if stored is None or stored.body["file_size"] > DOWNLOAD_BYTES:
            return JSONResponse(TelegramError(404, "Not Found").body(), 404)
        return served(self.hub, stored)

    async def show(self, request: Request) -> Response:
        """A file for the chat page, which must not carry the bot's token in an address."""
        params = request.path_params
        stored = self.hub.files.find(params["bot"], params["file_id"])
        if stored is None or cross_site(request):
            return JSONResponse(TelegramError(404, "Not Found").body(), 404)
        return served(self.hub, stored)


def served(hub: Hub, stored: StoredFile) -> Response:
    """A stored file; only pictures and videos are shown in place, the rest is a download."""
    inline = stored.mime in IMAGES or stored.mime.startswith("video/")
    return FileResponse(
        hub.files.content(stored.digest),
        media_type=stored.mime if inline else "application/octet-stream",
        filename=stored.name,
        content_disposition_type="inline" if inline else "attachment",
        headers={
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        },
    )
