"""aiogram's models are built at their first use, by whoever comes first."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRST_USES = """
import threading
import backend
from aiogram.methods import SendMessage
from aiogram.methods.base import Response
from aiogram.types import Message, Update

built = lambda: [model.__pydantic_complete__ for model in (Update, Message, SendMessage)]
assert built() == [False] * 3
person = {"id": 5, "is_bot": False, "first_name": "Olga"}
body = {"message_id": 1, "date": 1, "chat": {"id": 5, "type": "private"}, "from": person, "text": "Hello"}
texts, start = [], threading.Barrier(16)

def read():
    start.wait()
    update = Update.model_validate({"update_id": 1, "message": body | {"reply_to_message": body}})
    texts.append((type(update.message.reply_to_message), update.message.reply_to_message.from_user.first_name))

threads = [threading.Thread(target=read) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert texts == [(Message, "Olga")] * 16
assert Response[Message].model_validate({"ok": True, "result": body}).result.text == "Hello"
assert SendMessage(chat_id=5, text="Hello").text == "Hello"
assert Update.__pydantic_complete__ and SendMessage.__pydantic_complete__
"""
OURS = """
from pydantic import BaseModel
import backend

def made():
    class Leaf(BaseModel):
        size: int
    class Tree(BaseModel):
        leaf: "Leaf"
    return Tree

assert made()(leaf={"size": 3}).leaf.size == 3
"""


def run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_model_of_telegram_is_built_at_its_first_use_also_by_many_threads() -> None:
    run(FIRST_USES)


def test_a_model_of_ours_finds_its_names_where_it_is_written() -> None:
    run(OURS)
