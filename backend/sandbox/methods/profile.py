"""The bot about itself: name, texts, commands, menu button."""

import json
from typing import Any

from aiogram.methods import (
    DeleteMyCommands,
    GetChatMenuButton,
    GetMe,
    GetMyCommands,
    GetMyDescription,
    GetMyName,
    GetMyShortDescription,
    SetChatMenuButton,
    SetMyCommands,
    SetMyDescription,
    SetMyName,
    SetMyShortDescription,
)

from backend.sandbox import rules
from backend.sandbox.errors import Json, bad_request
from backend.sandbox.hub import Call
from backend.sandbox.methods.sending import find_reader
from backend.sandbox.methods.table import performs
from backend.sandbox.requests import dump_model, plain

LONGEST = {"name": 64, "description": 512, "short_description": 120}


@performs(GetMe)
def get_me(call: Call[GetMe]) -> Json:
    return {
        **call.bot.user,
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def _key(call: Call[Any]) -> str:
    scope = plain(getattr(call.method, "scope", None))
    shown = dump_model(scope) if scope is not None else {"type": "default"}
    return f"{json.dumps(shown, sort_keys=True)}|{plain(call.method.language_code) or ''}"


@performs(SetMyCommands)
def set_commands(call: Call[SetMyCommands]) -> bool:
    rules.commands(call.method.commands)
    given = [
        {"command": c.command.removeprefix("/"), "description": c.description.strip()} for c in call.method.commands
    ]
    call.bot.state.setdefault("commands", {})[_key(call)] = given
    call.hub.world.save_bot(call.bot)
    return True


@performs(GetMyCommands)
def get_commands(call: Call[GetMyCommands]) -> list[Json]:
    found: list[Json] = call.bot.state.get("commands", {}).get(_key(call), [])
    return found


@performs(DeleteMyCommands)
def delete_commands(call: Call[DeleteMyCommands]) -> bool:
    call.bot.state.get("commands", {}).pop(_key(call), None)
    call.hub.world.save_bot(call.bot)
    return True


@performs(SetMyName, SetMyDescription, SetMyShortDescription)
def set_text(call: Call[Any]) -> bool:
    field = _field(call)
    value = plain(getattr(call.method, field)) or ""
    if len(value) > LONGEST[field]:
        raise bad_request(f"{field.replace('_', ' ')} is too long")
    texts = call.bot.state.setdefault("texts", {})
    texts[f"{field}|{plain(call.method.language_code) or ''}"] = value
    call.hub.world.save_bot(call.bot)
    return True


@performs(GetMyName, GetMyDescription, GetMyShortDescription)
def get_text(call: Call[Any]) -> Json:
    field, texts = _field(call), call.bot.state.get("texts", {})
    fallback = call.bot.state["name"] if field == "name" else ""
    own = texts.get(f"{field}|{plain(call.method.language_code) or ''}")
    return {field: own or texts.get(f"{field}|") or fallback}


def _field(call: Call[Any]) -> str:
    name = type(call.method).__name__[len("SetMy") :]
    return {"ShortDescription": "short_description"}.get(name, name.lower())


@performs(SetChatMenuButton)
def set_menu_button(call: Call[SetChatMenuButton]) -> bool:
    chosen = dump_model(call.method.menu_button) if call.method.menu_button else {"type": "default"}
    where = "menu"
    if call.method.chat_id is not None:
        where = f"menu:{find_reader(call, call.method.chat_id).id}"
    call.bot.state[where] = chosen
    call.hub.world.save_bot(call.bot)
    return True


@performs(GetChatMenuButton)
def get_menu_button(call: Call[GetChatMenuButton]) -> Json:
    common: Json = call.bot.state.get("menu", {"type": "commands"})
    if call.method.chat_id is None:
        return common
    own: Json = call.bot.state.get(f"menu:{call.method.chat_id}", common)
    return own
