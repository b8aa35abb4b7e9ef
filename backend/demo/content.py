"""The words of the demo school, from `data/*.toml`, and the clock by which its people live."""

import random
import tomllib
from datetime import UTC, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

FOLDER = Path(__file__).parent
MEDIA = FOLDER / "media"
ZONE = ZoneInfo("Europe/Moscow")
SEED = 20261121
DAYS = 60  # of sales
# How busy the hours of a day and the days of a week (from Monday) are.
HOURS = (2, 1, 0, 0, 0, 0, 1, 3, 5, 6, 6, 7, 9, 8, 6, 5, 5, 7, 9, 12, 14, 14, 10, 5)
WEEK = (0.78, 0.82, 0.88, 0.98, 0.94, 1.22, 1.42)


@cache
def read(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / "data" / f"{name}.toml").read_text("utf-8"))


def dice(part: str) -> random.Random:
    """The same numbers on every machine, apart from the other parts'."""
    return random.Random(f"{SEED}:{part}")  # noqa: S311 - decides nothing secret


def days_before(now: datetime, days: float) -> datetime:
    return now - timedelta(days=days)


def moment(rng: random.Random, now: datetime, days: int) -> datetime:
    """Some busy moment of the school's day that many days ago; today's may lie in the future."""
    day = now.astimezone(ZONE).date() - timedelta(days=days)
    hour = rng.choices(range(24), HOURS)[0]
    at = datetime.combine(day, time(hour), ZONE) + timedelta(seconds=rng.randrange(3600))
    return at.astimezone(UTC)


def token(rng: random.Random, length: int = 24) -> str:
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))
