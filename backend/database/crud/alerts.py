"""Tells those who run the school what should worry them: by e-mail, else in their chat with the bot.

Events are looked through in their order, once, by whichever process has the turn; what was told is remembered by the
keys of the outbox, so that a repeated round tells nothing twice.

What others can make happen over and over is told so many times an hour, counted for each kind and each member of staff,
so that no flood covers anything else; then follows one message of how many more there were.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from backend.core import clock, wording
from backend.core.events import ALERT_WAYS, ALERTS, LABELS, NEW_ADMIN, Event
from backend.core.i18n import _, ngettext
from backend.core.permissions import ADMIN, DEAR, STUDENT, Permission
from backend.core.text import datetime_text
from backend.database import audit
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.letters import LetterCRUD
from backend.database.crud.notices import language_of, speaking
from backend.database.crud.settings import SettingCRUD
from backend.database.crud.staff import StaffCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.users import User
from backend.database.session import settings_of

SEEN = "alerts"  # of the settings: {"seen": the last event that was looked at, "counts": see Counts}
LAG = timedelta(seconds=5)  # PostgreSQL may commit an earlier number a moment later
AT_ONCE = 100  # events of one transaction
MOST, HOUR = 20, timedelta(hours=1)  # alerts of one count in an hour; the page of events shows all
KEYS = "alert:", "letter:alert:"  # what the keys of alerts in the outbox begin with, see `_send`
CHOICE = "alert_choice"  # of the settings: {"alerts": what is told, "alert_way": of ALERT_WAYS}
DEFAULT: dict[str, Any] = {"alerts": list(ALERTS), "alert_way": next(iter(ALERT_WAYS))}
NEW_ROLE = {
    Event.ROLE_CHANGED: "after",
    Event.USER_CREATED: "role",
    Event.USER_INVITED: "role",
    Event.USER_ENABLED: "role",
}  # where it stands what they were made
UNASKED = frozenset({Event.ALERTS_CHANGED.value, Event.AUDIT_STARTED.value})  # nobody can choose not to be told of it
ALWAYS = UNASKED | {NEW_ADMIN, Event.AUDIT_BROKEN.value}  # rare, dear, never counted
# Under each key how many were told since when, and how many more were not: {"began", "told", "more"}.
Counts = dict[str, dict[str, Any]]
Words = Callable[[], tuple[str, str]]  # what happened, and the details, in the language of the moment


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

    def owners(self) -> list[User]:
        """Who is told: administrators, by whatever role, who may see what the alert is about."""
        return [one for one in StaffCRUD(self.session).leaders() if Permission.AUDIT_READ in one.role.permissions]

    def deaf(self, way: str) -> tuple[list[User], bool]:
        """Those of them whom no alert reaches by this way, and whether that is all of them."""
        owners = self.owners()
        reached = {owner.id for owner in owners if self._reaches(owner, way)}
        return [owner for owner in owners if owner.id not in reached], not reached

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
        counts: Counts = known.get("counts", {})
        over = [key for key, count in counts.items() if datetime.fromisoformat(count["began"]) <= clock.now() - HOUR]
        if not (events or over):
            return False
        self._tell_all(events, counts, {key: counts.pop(key) for key in over})
        settings.put(SEEN, {"seen": events[-1].id if events else known["seen"], "counts": counts})
        return len(events) == AT_ONCE

    def _tell_all(self, events: Iterable[SecurityEvent], counts: Counts, over: Counts) -> None:
        """`over`: counts whose hour has ended."""
        choice = self.choice()
        told = {*choice["alerts"], *UNASKED}
        worrying = [event for event in events if _topic(event) in told]
        left = {key: count for key, count in over.items() if count["more"]}
        if not (worrying or left):
            return
        owners, way = self.owners(), choice["alert_way"]
        people = self._people({*(event.user_id for event in worrying), *(_subject(key) for key in left)})
        for key, count in left.items():
            kind, about = key.partition(":")[0], f"{key}:{count['began'][:19]}"
            for owner in owners:
                self._send(owner, way, about, partial(_rest, key, count, people), f"?kind={kind}")
        for event in worrying:
            if _topic(event) in ALWAYS or _takes(counts, _key(event, people)):
                for owner in owners:
                    by = self._surest(owner, way) if event.kind in UNASKED else way
                    self._send(owner, by, str(event.id), partial(_told, event, people), str(event.id))

    def _people(self, ids: Iterable[int | None]) -> dict[int, User]:
        wanted = User.id.in_([user_id for user_id in ids if user_id])
        found = self.session.scalars(select(User).where(wanted).options(joinedload(User.role, innerjoin=True)))
        return {person.id: person for person in found}

    def _mail(self, owner: User, way: str) -> bool:
        """Without a mail server the letter waits on the outbox page: the chat is better, if there is one."""
        either = way == "first" and not settings_of(self.session).mail_on and self._chat(owner, "chat")
        return bool(owner.email) and way != "chat" and not either

    def _chat(self, owner: User, way: str) -> int | None:
        settings = settings_of(self.session)
        by_mail = way == "email" or (way == "first" and owner.email and settings.mail_on)
        return owner.telegram_id if settings.bot_on and not owner.blocked_bot_at and not by_mail else None

    def _reaches(self, owner: User, way: str) -> bool:
        """A letter that only waits on the outbox page reaches nobody."""
        by_mail = settings_of(self.session).mail_on and self._mail(owner, way)
        return bool(self._chat(owner, way) or by_mail)

    def _surest(self, owner: User, way: str) -> str:
        """The way for what nobody can choose not to be told of: a way that does not reach them is such a choice too."""
        return way if self._reaches(owner, way) else "both"

    def _send(self, owner: User, way: str, about: str, words: Words, path: str) -> None:
        key, link = f"alert:{about}:{owner.id}", f"{settings_of(self.session).url}/dashboard/settings/audit/{path}"
        with speaking(language_of(owner)):
            what, details = words()
            if self._mail(owner, way):
                said: dict[str, Any] = {"what": what, "details": details, "link": link}
                LetterCRUD(self.session).write_to(owner, "alert", dedupe=key, **said)
            if chat := self._chat(owner, way):
                told = {"text": f"{what}\n{details}\n{link}"}
                outbox = DispatchCRUD(self.session)
                outbox.enqueue(f"{key}:chat", chat_id=chat, method="sendMessage", params=told, user_id=owner.id)


def _topic(event: SecurityEvent) -> str:
    """By which name of ALERTS it is told of, if at all."""
    if event.kind in NEW_ROLE:
        return NEW_ADMIN if event.data.get("runs_school") or _role(event) == ADMIN else ""
    if event.kind == Event.RIGHTS_CHANGED:  # everyone who has the role becomes one
        return "" if DEAR.isdisjoint(event.data.get("given", ())) else NEW_ADMIN
    if event.kind == Event.AUDIT_STARTED and not event.data:  # with the history of a new school
        return ""
    return event.kind


def _role(event: SecurityEvent) -> str:
    """What a person was made, or which role may do more; events of older versions may not say."""
    return str(event.data.get(NEW_ROLE.get(Event(event.kind), "role"), ""))


def _key(event: SecurityEvent, people: Mapping[int, User]) -> str:
    """Under which count it goes: what befalls a member of staff is counted for them alone, as anyone outside can make
    the same happen to students and to names that nobody has. KIND:PERSON:WHOM A LOCK KEEPS OUT.
    """
    person = people.get(event.user_id or 0)
    own = person.id if person and person.role.name != STUDENT else 0
    return f"{event.kind}:{own}:{event.data.get('limit', '')}"


def _subject(key: str) -> int:
    return int(key.split(":")[1])


def is_alert(dedupe_key: str) -> bool:
    return dedupe_key.startswith(KEYS)


def about(dedupe_key: str) -> tuple[int, int]:
    """(event, person) of an alert in the outbox, by the key that `_send` gave it; 0 for what the key does not name."""
    event, *rest = dedupe_key.partition("alert:")[2].split(":")
    if event.isdecimal():
        return int(event), 0
    return 0, int(rest[0]) if rest and rest[0].isdecimal() else 0


def _takes(counts: Counts, key: str) -> bool:
    """Counts one more; whether it is among those that are told."""
    count = counts.setdefault(key, {"began": clock.now().isoformat(), "told": 0, "more": 0})
    first = count["told"] < MOST
    count["told" if first else "more"] += 1
    return bool(first)


def _told(event: SecurityEvent, people: Mapping[int, User]) -> tuple[str, str]:
    """(what happened, to whom, when and from where) in the reader's language; the time is UTC."""
    what = _(LABELS[Event(event.kind)])
    role = wording.role(_role(event)) if _topic(event) == NEW_ADMIN else ""
    over = _("over history that was already there") if event.kind == Event.AUDIT_STARTED else ""
    details = [_name(people.get(event.user_id or 0)), role, over, f"{datetime_text(event.at)} UTC", event.ip or ""]
    return what, " · ".join(filter(None, details))


def _rest(key: str, count: Mapping[str, Any], people: Mapping[int, User]) -> tuple[str, str]:
    """The same of those that were not told one by one."""
    since, more = datetime_text(datetime.fromisoformat(count["began"])), count["more"]
    words = ngettext("%(num)s more in the hour from %(time)s UTC", "%(num)s more in the hour from %(time)s UTC", more)
    details = [_name(people.get(_subject(key))), words % {"num": more, "time": since}]
    return _(LABELS[Event(key.partition(":")[0])]), " · ".join(filter(None, details))


def _name(person: User | None) -> str:
    return (person.name or person.login or "") if person else ""
