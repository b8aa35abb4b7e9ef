"""The browsers that people have signed in with, as a sealed cookie proves it.

What a person is known by ends with a new password, another second factor, another role and being signed out everywhere
by the staff: whoever collected such cookies before has none after.
"""

import secrets
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.auth import DEVICE_COOKIE, YEAR_SECONDS, cookie_name, set_cookie
from backend.core.config import Settings
from backend.database.crud.credentials import RECOVERY
from backend.database.models.auth import Credential
from backend.database.models.users import User
from backend.database.session import Database

PEOPLE_PER_DEVICE = 5
PURPOSE = "known-device"


def mark_of(session: Session, user_id: int) -> str:
    """What the cookie knows a person by; another one after each change of what lets them in."""
    number = session.scalar(select(User.token_version).where(User.id == user_id))
    theirs = Credential.user_id == user_id, Credential.kind != RECOVERY, Credential.confirmed_at.is_not(None)
    # SQLite gives the number of a deleted row anew.
    factors = session.execute(select(Credential.id, Credential.created_at).where(*theirs).order_by(Credential.id))
    told = [f"{row.id} {row.created_at.isoformat()}" for row in factors]
    return security.digest(f"{user_id}:{number}:{told}")[:16]


@dataclass(frozen=True)
class Device:
    """A browser that people have signed in with: attacks on their account do not lock it out."""

    name: str = ""
    people: tuple[tuple[int, str], ...] = ()  # each with the mark that they had then

    def knows(self, session: Session, user_id: int) -> bool:
        marks = [mark for person, mark in self.people if person == user_id]
        return bool(marks) and marks == [mark_of(session, user_id)]

    def with_person(self, session: Session, user_id: int) -> "Device":
        others = (known for known in self.people if known[0] != user_id)
        people = (*others, (user_id, mark_of(session, user_id)))
        return Device(self.name or secrets.token_urlsafe(12), people[-PEOPLE_PER_DEVICE:])

    def seal(self, settings: Settings) -> str:
        """Good for a year, like the cookie: a copy of one that somebody took does not help them for ever."""
        people = "-".join(f"{person}:{mark}" for person, mark in self.people)
        text = f"{self.name}.{people}.{int(clock.now().timestamp())}"
        return f"{text}.{security.sign(settings, PURPOSE, text)}"


UNKNOWN = Device()


def device_of(request: Request, settings: Settings) -> Device:
    """The device that the request's cookie proves, or a new one."""
    text, _dot, mac = request.cookies.get(cookie_name(settings, DEVICE_COOKIE), "").rpartition(".")
    if not text or not security.verify_signature(settings, PURPOSE, text, mac):
        return UNKNOWN
    name, people, sealed = text.split(".")
    if int(sealed) < clock.now().timestamp() - YEAR_SECONDS:
        return UNKNOWN
    known = (person.split(":") for person in people.split("-"))
    return Device(name, tuple((int(number), mark) for number, mark in known))


def name_of(request: Request, database: Database, user_id: int) -> str:
    """Of the device that knows this person, "" of any other. Never call it inside a transaction."""
    device = device_of(request, request.app.state.settings)
    with database.read() as session:
        return device.name if device.knows(session, user_id) else ""


def keep(response: Response, settings: Settings, device: Device) -> None:
    set_cookie(response, settings, DEVICE_COOKIE, device.seal(settings), seconds=YEAR_SECONDS)


def stay_known(request: Request, session: Session, user_id: int, response: Response) -> Response:
    """Where the person just changed what they are known by, after a proof, they are known as after a sign-in."""
    settings: Settings = request.app.state.settings
    keep(response, settings, device_of(request, settings).with_person(session, user_id))
    return response
