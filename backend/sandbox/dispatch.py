"""One call of a bot: faults first, then the method, then a line in the journal."""

import asyncio
import inspect
from dataclasses import dataclass
from typing import Any

from backend.sandbox.errors import Json, StudentError, TelegramError, too_many
from backend.sandbox.hub import Call, Hub
from backend.sandbox.methods import HANDLERS
from backend.sandbox.methods.updates import refuse_logged_out
from backend.sandbox.models import Bot
from backend.sandbox.requests import Arguments, known_methods, typed

FAULTS = ("429", "500", "502", "timeout", "lost")
QUIET = {"getupdates", "getme", "getwebhookinfo"}
SHOWN = 300


@dataclass
class Fault:
    """`timeout` never performs the call; `lost` performs it and loses the answer."""

    kind: str
    retry_after: int
    seconds: float


def take_fault(hub: Hub, bot: Bot, name: str) -> Fault | None:
    """The next planned fault for this method. Polling fails only when it is named."""
    row = hub.store.one(
        "SELECT * FROM faults WHERE bot_id = ? AND times > 0 AND (lower(method) = ?"
        " OR (method IS NULL AND ? != 'getupdates')) ORDER BY id LIMIT 1",
        bot.id,
        name,
        name,
    )
    if row is None:
        return None
    hub.store.run("UPDATE faults SET times = times - 1 WHERE id = ?", row["id"])
    return Fault(row["kind"], row["retry_after"], row["seconds"])


async def dispatch(call: Call[Any], name: str) -> object:
    """The result of the method; raises TelegramError with what Telegram would answer."""
    shown = known_methods()[name].__api_method__ if name in known_methods() else name
    try:
        result = await _perform(call, name)
    except TelegramError as error:
        call.hub.world.log(call.bot.id, call.student_id, "out", shown, error.description, ok=False)
        raise
    if name not in QUIET:
        call.hub.world.log(call.bot.id, call.student_id, "out", shown, call.note, detail=_detail(call.arguments))
    return result


async def _perform(call: Call[Any], name: str) -> object:
    fault = take_fault(call.hub, call.bot, name)
    if fault is not None and fault.kind != "lost":
        await _fail(fault)
    method = known_methods().get(name)
    if method is None:
        raise TelegramError(404, "Not Found: method not found")
    refuse_logged_out(call.bot.state)
    handler = HANDLERS.get(name)
    if handler is None:
        raise TelegramError(501, f"Not Implemented: the sandbox has no {method.__api_method__}")
    call.method = typed(method, call.arguments.values)
    result = handler(call)
    if inspect.isawaitable(result):
        result = await result
    if fault is not None:
        await _fail(fault)
    return result


async def _fail(fault: Fault) -> None:
    if fault.kind == "429":
        raise too_many(fault.retry_after)
    if fault.kind in {"timeout", "lost"}:
        await asyncio.sleep(fault.seconds)
        raise TelegramError(504, "Gateway Timeout")
    if fault.kind == "502":
        raise TelegramError(502, "Bad Gateway")
    raise TelegramError(500, "Internal Server Error")


def plan_fault(hub: Hub, bot: Bot, fault: Fault, *, method: str | None, times: int) -> None:
    if fault.kind not in FAULTS:
        raise StudentError("bad_fault", f"A fault is one of {', '.join(FAULTS)}.")
    if method is not None and method.lower() not in known_methods():
        raise StudentError("bad_method", "There is no such method of the Bot API.")
    hub.store.run(
        "INSERT INTO faults (bot_id, method, kind, times, retry_after, seconds) VALUES (?, ?, ?, ?, ?, ?)",
        bot.id,
        method,
        fault.kind,
        times,
        fault.retry_after,
        fault.seconds,
    )
    hub.signals.wake("page")


def _detail(arguments: Arguments) -> Json:
    return {key: str(value)[:SHOWN] for key, value in arguments.values.items()}
