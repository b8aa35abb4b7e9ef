"""Rule 9: about one message a second in a chat, thirty a second in all, then 429."""

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field

OVERALL = 30
PAID = 1000
BURST = 10  # Telegram tolerates a short burst in one chat; how long is not documented


@dataclass
class _Pace:
    sent: deque[float] = field(default_factory=deque)
    tokens: dict[int, tuple[float, float]] = field(default_factory=dict)
    cooldown: float = 0.0


class Rates:
    """Memory of one process: a restart forgives, as Telegram's own limits soon do."""

    def __init__(self) -> None:
        self._paces: dict[int, _Pace] = defaultdict(_Pace)

    def retry_after(self, bot_id: int, chat_id: int, now: float, *, paid: bool = False) -> int:
        """0 when the message may go; else for how many seconds further ones are refused."""
        pace = self._paces[bot_id]
        if now < pace.cooldown:
            return math.ceil(pace.cooldown - now)
        while pace.sent and pace.sent[0] <= now - 1:
            pace.sent.popleft()
        tokens, at = pace.tokens.get(chat_id, (float(BURST), now))
        tokens = min(float(BURST), tokens + now - at)
        if len(pace.sent) >= (PAID if paid else OVERALL):
            pace.cooldown = now + 1
            return 1
        if tokens < 1:
            return math.ceil(1 - tokens)
        pace.sent.append(now)
        pace.tokens[chat_id] = (tokens - 1, now)
        return 0

    def forget(self, bot_id: int) -> None:
        self._paces.pop(bot_id, None)
