"""Receiving: long polling, the webhook and its secret."""

import time

from aiogram.methods import Close, DeleteWebhook, GetUpdates, GetWebhookInfo, LogOut, SetWebhook

from backend.sandbox import rules
from backend.sandbox.errors import Json, bad_request, conflict, too_many
from backend.sandbox.hub import Call
from backend.sandbox.methods.table import performs

LONGEST_POLL = 50
YOUNG = 600
WEBHOOK_ACTIVE = "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
OTHER_POLL = "terminated by other getUpdates request; make sure that only one bot instance is running"


def allow(call: Call[GetUpdates] | Call[SetWebhook]) -> None:
    """Rule 10: the list is sticky; an empty one means the default set, none means no change."""
    wanted = call.method.allowed_updates
    if wanted is not None and wanted != call.bot.state.get("allowed_updates", []):
        call.bot.state["allowed_updates"] = list(dict.fromkeys(wanted))
        call.hub.world.save_bot(call.bot)


@performs(GetUpdates)
async def get_updates(call: Call[GetUpdates]) -> list[Json]:
    hub, bot, request = call.hub, call.bot, call.method
    if bot.state.get("webhook"):
        raise conflict(WEBHOOK_ACTIVE)
    allow(call)
    limit = min(100, max(1, 100 if request.limit is None else request.limit))
    timeout = min(LONGEST_POLL, max(0, request.timeout or 0))
    turn = hub.store.next(f"poll:{bot.id}")
    hub.signals.wake(f"updates:{bot.id}")

    def look() -> list[Json] | None:
        if hub.store.value("SELECT value FROM counters WHERE name = ?", f"poll:{bot.id}") != turn:
            raise conflict(OTHER_POLL)
        if hub.world.bot(bot.id).state.get("webhook"):
            raise conflict("terminated by setWebhook request")
        return hub.world.pending(bot.id, request.offset or 0, limit) or None

    with hub.polling(bot.id):
        return await hub.signals.until(f"updates:{bot.id}", look, timeout, call.alive) or []


@performs(SetWebhook)
def set_webhook(call: Call[SetWebhook]) -> bool:
    request, state = call.method, call.bot.state
    if not request.url:
        return _drop_webhook(call, drop=bool(request.drop_pending_updates))
    rules.webhook_url(request.url)
    rules.secret_token(request.secret_token or "")
    allow(call)
    if request.drop_pending_updates:
        _forget(call)
    state["webhook"] = {
        "url": request.url,
        "secret_token": request.secret_token or "",
        "max_connections": request.max_connections or 40,
    }
    call.hub.world.save_bot(call.bot)
    call.hub.signals.wake(f"updates:{call.bot.id}")
    return True


@performs(DeleteWebhook)
def delete_webhook(call: Call[DeleteWebhook]) -> bool:
    return _drop_webhook(call, drop=bool(call.method.drop_pending_updates))


def _drop_webhook(call: Call[SetWebhook] | Call[DeleteWebhook], *, drop: bool) -> bool:
    call.bot.state.pop("webhook", None)
    call.hub.world.save_bot(call.bot)
    if drop:
        _forget(call)
    call.hub.signals.wake(f"updates:{call.bot.id}")
    return True


def _forget(call: Call[SetWebhook] | Call[DeleteWebhook]) -> None:
    call.hub.store.run("UPDATE updates SET done = 1 WHERE bot_id = ?", call.bot.id)


@performs(GetWebhookInfo)
def get_webhook_info(call: Call[GetWebhookInfo]) -> Json:
    hook = call.bot.state.get("webhook", {})
    waiting = call.hub.store.value("SELECT count(*) FROM updates WHERE bot_id = ? AND done IN (0, 2)", call.bot.id)
    info: Json = {
        "url": hook.get("url", ""),
        "has_custom_certificate": False,
        "pending_update_count": waiting,
    }
    for key in ("max_connections", "last_error_date", "last_error_message"):
        if hook.get(key):
            info[key] = hook[key]
    if call.bot.state.get("allowed_updates"):
        info["allowed_updates"] = call.bot.state["allowed_updates"]
    return info


@performs(LogOut)
def log_out(call: Call[LogOut]) -> bool:
    """For ten minutes the bot may not come back to this server."""
    call.bot.state["logged_out_until"] = time.time() + YOUNG
    call.hub.world.save_bot(call.bot)
    return True


@performs(Close)
def close(call: Call[Close]) -> bool:
    left = int(call.bot.state["created"] + YOUNG - time.time())
    if left > 0:
        raise too_many(left)
    return True


def refuse_logged_out(state: Json) -> None:
    if state.get("logged_out_until", 0) > time.time():
        raise bad_request("Logged out")
