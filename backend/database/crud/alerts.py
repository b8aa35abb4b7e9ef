"""Tells those who run the school what should worry them: by e-mail, else in their chat with the bot.

Events are looked through in their order, once, by whichever process has the turn; what was told is remembered by the
keys of the outbox, so that a repeated round tells nothing twice.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.core import clock, wording
from backend.core.events import ALERT_WAYS, ALERTS, LABELS, NEW_ADMIN, Event
from backend.core.i18n import _
from backend.core.permissions import ADMIN
from backend.core.text import datetime_text
from backend.database import audit
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.notices import language_of, speaking
from backend.database.crud.settings import SettingCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.users import User
from backend.database.session import settings_of

SEEN = "alerts"  # of the settings: {"seen": the last event that was looked at}
LAG = timedelta(seconds=5)  # PostgreSQL may commit an earlier number a moment later
AT_ONCE = 100  # events of one transaction
MOST, HOUR = 20, 3600  # alerts of one person in an hour; the page of events shows all
CHOICE = "alert_choice"  # of the settings: {"alerts": what is told, "alert_way": of ALERT_WAYS}
DEFAULT: dict[str, Any] = {"alerts": list(ALERTS), "alert_way": next(iter(ALERT_WAYS))}
NEW_ROLE = {Event.ROLE_CHANGED: "after", Event.USER_CREATED: "role"}  # where it stands what they were made


class AlertCRUD:
    def __init__(self, session: Session) -> None:
        self.session = session

    def choice(self) -> dict[str, Any]:
        """See CHOICE."""
        return SettingCRUD(self.session).find(CHOICE) or DEFAULT

    def choose(self, alerts: Iterable[str], way: str) -> None:
        """What is told from now on. That it was changed is an event that nobody can choose not to be told of."""
        wanted: dict[str, Any] = {"alerts": [name for name in ALERTS if name in set(alerts)], "alert_way": way}
        if SettingCRUD(self.session).decide(CHOICE, wanted, DEFAULT):
            audit.note(self.session, Event.ALERTS_CHANGED, **wanted)

    def tell(self) -> bool:
        """Looks through the events since the last time. True when there may be more."""
        settings = SettingCRUD(self.session)
        known = settings.find(SEEN)
        if known is None:  # what happened before alerts were there is told by the page alone
            settings.put(SEEN, {"seen": self.session.scalar(select(func.max(SecurityEvent.id))) or 0})
            return False
        fresh = SecurityEvent.id > known["seen"], SecurityEvent.at < clock.now() - LAG
        events = self.session.scalars(
            select(SecurityEvent).where(*fresh).order_by(SecurityEvent.id).limit(AT_ONCE)
        ).all()
        if not events:
            return False
        choice = self.choice()
        told = {*choice["alerts"], Event.ALERTS_CHANGED.value}
        worrying = [event for event in events if _topic(event) in told]
        if worrying:
            owners = StaffCRUD(self.session).admins()
            names = self._names({event.user_id for event in worrying if event.user_id})
            for event in worrying:
                for owner in owners:
                    self._tell(owner, event, names.get(event.user_id or 0, ""), choice["alert_way"])
        settings.put(SEEN, {"seen": events[-1].id})
        return len(events) == AT_ONCE

    def _names(self, ids: set[int]) -> dict[int, str]:
        people: Sequence[User] = self.session.scalars(select(User).where(User.id.in_(ids))).all()
        return {person.id: person.name or person.login or "" for person in people}

    def _tell(self, owner: User, event: SecurityEvent, person: str, way: str) -> None:
        key, settings = f"alert:{event.id}:{owner.id}", settings_of(self.session)
        by_mail = bool(owner.email) and way != "chat"
        by_chat = owner.telegram_id if settings.bot_on and not owner.blocked_bot_at else None
        if way == "email" or (way == "first" and by_mail):
            by_chat = None
        if not (by_mail or by_chat) or ThrottleCRUD(self.session).take([Limit(f"alert:{owner.id}", MOST, HOUR)]):
            return
        with speaking(language_of(owner)):
            what, details = _told(event, person)
            link = f"{settings.url}/dashboard/settings/audit/{event.id}"
            if by_mail:
                about: dict[str, Any] = {"what": what, "details": details, "link": link}
                LetterCRUD(self.session).write_to(owner, "alert", dedupe=key, **about)
            if by_chat:
                told = {"text": f"{what}\n{details}\n{link}"}
                outbox = DispatchCRUD(self.session)
                outbox.enqueue(f"{key}:chat", chat_id=by_chat, method="sendMessage", params=told, user_id=owner.id)


def _topic(event: SecurityEvent) -> str:
    """By which name of ALERTS it is told of, if at all."""
    if event.kind in NEW_ROLE:
        return NEW_ADMIN if _role(event) == ADMIN else ""
    return event.kind


def _role(event: SecurityEvent) -> str:
    """What a person was made; events of older versions may not say."""
    return str(event.data.get(NEW_ROLE[Event(event.kind)], ""))


def _told(event: SecurityEvent, person: str) -> tuple[str, str]:
    """(what happened, to whom, when and from where) in the reader's language; the time is UTC."""
    what = _(LABELS[Event(event.kind)])
    role = wording.role(_role(event)) if event.kind in NEW_ROLE else ""
    details = [person, role, f"{datetime_text(event.at)} UTC", event.ip or ""]
    return what, " · ".join(filter(None, details))
