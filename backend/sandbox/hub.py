"""What the parts of the sandbox share, and the call of a bot on its way through them."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from aiogram.methods import TelegramMethod

from backend.sandbox.cashier import Cashier
from backend.sandbox.media import Files
from backend.sandbox.models import Bot
from backend.sandbox.rates import Rates
from backend.sandbox.requests import Arguments
from backend.sandbox.signals import Signals
from backend.sandbox.store import Store
from backend.sandbox.world import World

LISTENING = 5.0  # seconds between two polls of a bot that works
M = TypeVar("M", bound=TelegramMethod[Any])


class Hub:
    def __init__(self, path: Path | None) -> None:
        self.store = Store(path)
        self.signals = Signals()
        self.world = World(self.store, self.signals)
        self.cashier = Cashier(self.store, self.signals, self.world)
        self.files = Files(self.store, path)
        self.rates = Rates()
        self._polled: dict[int, float] = {}
        self._polling: dict[int, int] = {}

    @contextmanager
    def polling(self, bot_id: int) -> Iterator[None]:
        """While a long poll of this bot is open."""
        self._polling[bot_id] = self._polling.get(bot_id, 0) + 1
        try:
            yield
        finally:
            self._polling[bot_id] -= 1
            self._polled[bot_id] = time.monotonic()

    def listens(self, bot: Bot) -> bool:
        """Whether the bot would hear an update now."""
        if bot.state.get("webhook") or self._polling.get(bot.id):
            return True
        return time.monotonic() - self._polled.get(bot.id, -LISTENING) < LISTENING

    def close(self) -> None:
        self.signals.stop()
        self.store.close()
        self.files.close()


@dataclass
class Call(Generic[M]):
    """One request of a bot, read and typed."""

    hub: Hub
    bot: Bot
    method: M
    arguments: Arguments
    alive: Callable[[], Awaitable[bool]] | None = None  # whether the bot still listens
    student_id: int | None = None  # whom it concerned, for the journal
    note: str = ""

    def rule(self, name: str) -> bool:
        """ "rate" and "strict" are on until a bot's owner switches them off."""
        return bool(self.bot.state["rules"].get(name, True))
