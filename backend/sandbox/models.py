"""The people and things of the sandbox as the rest of it handles them."""

from dataclasses import dataclass

from backend.sandbox.errors import Json


@dataclass
class Bot:
    id: int
    token: str
    state: Json

    @property
    def user(self) -> Json:
        return {
            "id": self.id,
            "is_bot": True,
            "first_name": self.state["name"],
            "username": self.state["username"],
        }


@dataclass
class Student:
    id: int
    profile: Json
    hue: int
    stars: int
    deleted: bool

    @property
    def user(self) -> Json:
        return {"id": self.id, "is_bot": False, **self.profile}

    @property
    def chat(self) -> Json:
        names = ("first_name", "last_name", "username")
        known = {name: self.profile[name] for name in names if name in self.profile}
        return {"id": self.id, "type": "private", **known}

    @property
    def name(self) -> str:
        return f"{self.profile['first_name']} {self.profile.get('last_name', '')}".strip()


@dataclass
class Chat:
    bot_id: int
    student_id: int
    started: bool
    blocked: bool
    rev: int
    state: Json


@dataclass
class Message:
    """`body` is what the Bot API shows; `meta` is what only the server knows."""

    bot_id: int
    message_id: int
    chat_id: int
    date: int
    rev: int
    body: Json
    meta: Json

    @property
    def by_bot(self) -> bool:
        return bool(self.body.get("from", {}).get("is_bot"))
