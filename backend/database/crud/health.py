"""What `doctor` asks of the school's rows. Reads only."""

from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, text
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.events import Event
from backend.database.chain.sealing import BROKEN, HEAD
from backend.database.chain.verifying import VERIFIED
from backend.database.crud.auth import BUILT_IN_BOT, ApiTokenCRUD
from backend.database.crud.keys import KeyCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.auth import ApiToken
from backend.database.models.dispatches import Dispatch
from backend.database.models.users import User
from backend.database.session import settings_of

DEMO = "demo"  # of the settings, too: the ids of what the demo school wrote, as ranges
BACKED_UP = "backup_made"  # of the settings: {"at"}, of the last `backup`
# What loses acknowledged writes, or rows their parents, when it is otherwise.
STORAGE = {
    "sqlite": {"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"},
    "postgresql": {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"},
}


class HealthCRUD:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = session.get_bind().dialect.name

    def age(self) -> timedelta:
        """How long ago the first person came. Those of the demo school are said to have come before it was written."""
        demo = (SettingCRUD(self.session).find(DEMO) or {}).get("ids", {}).get("users", ())
        real = (~User.id.between(low, high) for low, high in demo)
        first = self.session.scalar(select(func.min(User.created_at)).where(*real))
        return clock.now() - first if first else timedelta()

    def since(self, key: str) -> timedelta | None:
        """How long ago this setting's moment ("at") was: of BACKED_UP, VERIFIED or HEAD. None: never."""
        found = SettingCRUD(self.session).find(key)
        return clock.now() - datetime.fromisoformat(found["at"]) if found else None

    def break_of_chain(self) -> str | None:
        """What the sealer or the last check of everything found."""
        found = (SettingCRUD(self.session).find(key) or {} for key in (BROKEN, VERIFIED))
        return next((entry["problem"] for entry in found if entry.get("problem")), None)

    def begun_over(self, since: datetime) -> datetime | None:
        """When a chain was last begun over history that was already there."""
        asked = select(SecurityEvent.at, SecurityEvent.data).where(
            SecurityEvent.kind == Event.AUDIT_STARTED, SecurityEvent.at >= since
        )
        return max((row.at for row in self.session.execute(asked) if row.data), default=None)

    def unsealed_for(self) -> timedelta:
        """Of what no block holds yet: how long ago the last block was signed."""
        return self.since(HEAD) or self.age()

    def stuck(self, channel: str, waited: timedelta) -> int:
        """Messages of a channel that should have left so long ago."""
        due = Dispatch.not_before < clock.now() - waited
        wanted = or_(Dispatch.expires_at.is_(None), Dispatch.expires_at > clock.now())
        waits = Dispatch.channel == channel, Dispatch.state.in_(("pending", "sending")), due, wanted
        return self.session.scalar(select(func.count(Dispatch.id)).where(*waits)) or 0

    def tokens(self) -> list[ApiToken]:
        """All that work but the bot's own."""
        return [token for token in ApiTokenCRUD(self.session).live() if token.name != BUILT_IN_BOT]

    def unopened(self) -> int:
        """Secrets at rest that open under no key of SECRET_KEY."""
        settings = settings_of(self.session)
        return sum(security.unseal(settings, secret) is None for secret in KeyCRUD(self.session).secrets())

    def clock_lead(self) -> timedelta:
        """By how much this machine's clock differs from the database's, or lags behind what was written."""
        last = self.session.scalar(select(func.max(SecurityEvent.at)))
        now = clock.now()
        lag = max(timedelta(), last - now) if last else timedelta()
        if self.dialect == "sqlite":
            return lag
        there: datetime = self.session.execute(text("SELECT clock_timestamp()")).scalar_one()
        return max(lag, abs(there - now))

    def careless(self) -> list[str]:
        """Settings of the database that lose what it has acknowledged: "fsync=off"."""
        ask = "PRAGMA" if self.dialect == "sqlite" else "SHOW"
        found = {name: str(self.session.execute(text(f"{ask} {name}")).scalar_one()) for name in STORAGE[self.dialect]}
        return [f"{name}={found[name]}" for name, wanted in STORAGE[self.dialect].items() if found[name] != wanted]
