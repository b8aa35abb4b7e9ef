"""Reply markup: read with Telegram's own complaints, and held to its limits (rule 11)."""

import json
import re
from typing import Any, TypeAlias

from aiogram.types import (
    ForceReply,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
)
from pydantic import BaseModel, ValidationError

from backend.sandbox.entities import valid_link
from backend.sandbox.errors import Json, bad_request

Markup: TypeAlias = InlineKeyboardMarkup | ReplyKeyboardMarkup | ReplyKeyboardRemove | ForceReply

MAX_BUTTONS = 100
MAX_IN_ROW = 8
MAX_DATA = 64
MAX_BYTES = 10_000
ACTIONS = (
    "url",
    "callback_data",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "copy_text",
    "callback_game",
    "pay",
)


def read_markup(value: object) -> Markup | None:
    """Its field says which kind it is, as at Telegram; an object with none of them is none."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise bad_request("can't parse reply keyboard markup JSON object") from error
    if not isinstance(value, dict):
        raise bad_request("object expected as reply markup")
    if "inline_keyboard" in value:
        return _inline(value)
    if "keyboard" in value:
        return _reply(value)
    if value.get("remove_keyboard"):
        remove: ReplyKeyboardRemove = _model(ReplyKeyboardRemove, value)
        return remove
    if value.get("force_reply"):
        force: ForceReply = _model(ForceReply, value)
        return force
    return None


def _model(kind: type[Any], value: object) -> Any:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise bad_request(f"can't parse reply keyboard markup: {where}: {first['msg']}") from error


def _inline(value: dict[str, Any]) -> InlineKeyboardMarkup | None:
    rows = value["inline_keyboard"]
    if not (isinstance(rows, list) and all(isinstance(row, list) for row in rows)):
        raise bad_request('field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays')
    buttons = [button for row in rows for button in row]
    for button in buttons:
        _readable(button)
    markup: InlineKeyboardMarkup = _model(InlineKeyboardMarkup, value)
    for row in markup.inline_keyboard:
        for parsed in row:
            check_button(parsed)
    too_long = len(json.dumps(rows, ensure_ascii=False).encode()) > MAX_BYTES
    if too_long or len(buttons) > MAX_BUTTONS or any(len(row) > MAX_IN_ROW for row in rows):
        raise bad_request("reply markup is too long")
    return markup if buttons else None


def _readable(button: object) -> None:
    if not isinstance(button, dict):
        raise bad_request("can't parse inline keyboard button: InlineKeyboardButton must be an Object")
    text = button.get("text")
    if not isinstance(text, str):
        raise bad_request("can't parse inline keyboard button: Can't find field \"text\"")
    if not text.strip():
        raise bad_request("inline keyboard button text must be non-empty")
    chosen = [a for a in ACTIONS if button.get(a) is not None]
    if not chosen or (chosen == ["callback_data"] and not button["callback_data"]):
        raise bad_request("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")


def check_button(button: InlineKeyboardButton) -> None:
    if button.callback_data is not None and not 1 <= len(button.callback_data.encode()) <= MAX_DATA:
        raise bad_request("BUTTON_DATA_INVALID")
    if button.url is not None and valid_link(button.url) is None:
        raise bad_request(f"inline keyboard button URL '{button.url}' is invalid: Wrong HTTP URL")
    if button.web_app is not None and not re.match(r"https://[^/]*\.", button.web_app.url):
        raise bad_request(
            f"inline keyboard button Web App URL '{button.web_app.url}' is invalid: Only HTTPS links are allowed"
        )


def _reply(value: dict[str, Any]) -> ReplyKeyboardMarkup:
    rows = value["keyboard"]
    if not (isinstance(rows, list) and all(isinstance(row, list) for row in rows)):
        raise bad_request('field "keyboard" must be an Array of Arrays')
    named = [[{"text": b} if isinstance(b, str) else b for b in row] for row in rows]
    markup: ReplyKeyboardMarkup = _model(ReplyKeyboardMarkup, value | {"keyboard": named})
    if any(not button.text.strip() for row in markup.keyboard for button in row):
        raise bad_request("keyboard button text must be non-empty")
    return markup


def pay_button(amount: int) -> Json:
    """What Telegram puts under an invoice that came without a keyboard."""
    return {"inline_keyboard": [[{"text": f"Pay ⭐️{amount}", "pay": True}]]}


def pay_first(markup: InlineKeyboardMarkup | None) -> None:
    """An invoice's own keyboard starts with its one Pay button."""
    if markup is None:
        return
    buttons = [button for row in markup.inline_keyboard for button in row]
    if not buttons[0].pay or any(button.pay for button in buttons[1:]):
        raise bad_request("BUTTON_POS_INVALID")


def no_pay(markup: BaseModel | None) -> None:
    """Outside invoices there is nothing to pay for."""
    if isinstance(markup, InlineKeyboardMarkup) and any(button.pay for row in markup.inline_keyboard for button in row):
        raise bad_request("BUTTON_TYPE_INVALID")
