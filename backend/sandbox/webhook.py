"""The background of the sandbox: delayed payments fall due, webhooks are delivered and retried."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import httpx2

from backend.sandbox.errors import Json
from backend.sandbox.hub import Hub
from backend.sandbox.models import Bot

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
FIRST_RETRY, LAST_RETRY = 0.5, 30.0
PATIENCE = 15.0
IDLE = 1.0
BATCH = 20

Perform = Callable[[str, Json], Awaitable[None]]


class Background:
    """One task of the event loop, begun by the first request and ended with the application."""

    def __init__(self, hub: Hub, perform: Perform) -> None:
        self.hub = hub
        self.perform = perform
        self._task: asyncio.Task[None] | None = None
        self._client: httpx2.AsyncClient | None = None
        self._failures: dict[int, tuple[int, float]] = {}

    def begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _run(self) -> None:
        while not self.hub.signals.stopping:
            wait = self.hub.cashier.settle_due()
            for bot in self.hub.world.bots():
                if bot.state.get("webhook"):
                    await self._deliver(bot)
            await self.hub.signals.nap("pulse", IDLE if wait is None else min(IDLE, wait))

    async def _deliver(self, bot: Bot) -> None:
        """In order; the first failure stops the queue until its retry is due."""
        if time.monotonic() < self._failures.get(bot.id, (0, 0.0))[1]:
            return
        for update in self.hub.world.pending(bot.id, 0, BATCH):
            error = await self._post(bot, update)
            if error is not None:
                self._failed(bot, error)
                return
            self._failures.pop(bot.id, None)
            self.hub.world.confirm(bot.id, update["update_id"] + 1)

    async def _post(self, bot: Bot, update: Json) -> str | None:
        """None when the bot's server took the update; else why not."""
        hook = bot.state["webhook"]
        headers = {SECRET_HEADER: hook["secret_token"]} if hook["secret_token"] else {}
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=PATIENCE, follow_redirects=False)
        try:
            answer = await self._client.post(hook["url"], json=update, headers=headers)
        except httpx2.TimeoutException:
            return "Read timeout expired"
        except httpx2.HTTPError:
            return "Connection refused"
        if not answer.is_success:
            return f"Wrong response from the webhook: {answer.status_code} {answer.reason_phrase}"
        await self._obey(bot, answer.content)
        return None

    async def _obey(self, bot: Bot, content: bytes) -> None:
        """A bot may answer with one method call in place of a request."""
        try:
            body = json.loads(content)
        except ValueError:
            return
        if isinstance(body, dict) and "method" in body:
            await self.perform(bot.token, body)

    def _failed(self, bot: Bot, error: str) -> None:
        count = self._failures.get(bot.id, (0, 0.0))[0] + 1
        wait = min(LAST_RETRY, FIRST_RETRY * 2 ** (count - 1))
        self._failures[bot.id] = (count, time.monotonic() + wait)
        fresh = self.hub.world.bot(bot.id)
        if hook := fresh.state.get("webhook"):
            hook |= {"last_error_date": int(time.time()), "last_error_message": error}
            self.hub.world.save_bot(fresh)
        self.hub.world.log(bot.id, None, "in", "webhook", error, ok=False)
