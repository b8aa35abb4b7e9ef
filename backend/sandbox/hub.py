"""What the parts of the sandbox share, and the call of a bot on its way through them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from aiogram.methods import TelegramMethod

from backend.sandbox.cashier import Cashier
from backend.sandbox.media import Files
from backend.sandbox.rates import Rates
from backend.sandbox.requests import Arguments
from backend.sandbox.signals import Signals
from backend.sandbox.store import Store
from backend.sandbox.world import Bot, World

M = TypeVar("M", bound=TelegramMethod[Any])


class Hub:
    def __init__(self, path: Path | None) -> None:
        self.store = Store(path)
        self.signals = Signals()
        self.world = World(self.store, self.signals)
        self.cashier = Cashier(self.store, self.signals, self.world)
        self.files = Files(self.store, path)
        self.rates = Rates()

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
        """"rate" and "strict" are on until a bot's owner switches them off."""
        return bool(self.bot.state["rules"].get(name, True))
