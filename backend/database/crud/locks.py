"""Who has tried to sign in too often: the keys under which attempts at one account are counted, and lifting a lock."""

from collections.abc import Sequence

from sqlalchemy import select

from backend.core import clock
from backend.core.events import Event
from backend.database import audit
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.models.auth import RateBucket

ACCOUNT = 5  # tries of an account in a quarter of an hour
FACTOR = (5, 5 * 60), (20, 3600), (50, 24 * 3600)  # tries at a second factor, in so many seconds


def account_key(user_id: int) -> str:
    return f"login:{user_id}:"


def device_key(user_id: int) -> str:
    """The beginning of the keys of all devices that know this person."""
    return f"login-device:{user_id}:"


def password_key(user_id: int) -> str:
    """Tries at one's own old password, from a session that may be someone else's by now."""
    return f"password:{user_id}:"


def reset_key(user_id: int) -> str:
    """Asking for a new password."""
    return f"reset:{user_id}:"


def reset_device_key(user_id: int) -> str:
    """The beginning of the keys of all devices that know this person and ask for a new password."""
    return f"reset-device:{user_id}:"


def factor_key(user_id: int) -> str:
    """The beginning of the keys of tries at a second factor."""
    return f"factor:{user_id}:"


def factor_limits(user_id: int, device: str = "") -> tuple[Limit, ...]:
    """`device`: the name of one that knows the person, which others' tries do not lock out."""
    return tuple(Limit(f"{factor_key(user_id)}{device}:{seconds}", count, seconds) for count, seconds in FACTOR)


# Every one that locks a person out, a network, and everyone without a device that is known.
KEYS = (account_key, device_key, password_key, factor_key, reset_key, reset_device_key)
ADDRESS_KEYS = ("login-ip:", "reset-ip:", "elsewhere-ip:", "register-ip:")
COMMON_KEYS = ("login-all", "register-all")


class LockCRUD(ThrottleCRUD):
    def lift(self, user_id: int) -> int:
        """Forgets the failed attempts at an account, so that the person can try again at once; how many keys."""
        forgotten = self.reset_beginning(*(key(user_id) for key in KEYS))
        audit.note(self.session, Event.LOCK_LIFTED, user_id=user_id)
        return forgotten

    def lift_address(self, network: str) -> None:
        """Forgets the failed attempts from a network (core.hosts.network)."""
        self.reset([f"{beginning}{network}" for beginning in ADDRESS_KEYS])
        audit.note(self.session, Event.LOCK_LIFTED, address=network)

    def lift_common(self) -> None:
        """Forgets what all failed attempts together have used up."""
        self.reset(COMMON_KEYS)
        audit.note(self.session, Event.LOCK_LIFTED, everyone=True)

    def locked(self, user_ids: Sequence[int]) -> set[int]:
        """Those of the people whom too many attempts keep out at this moment, or from a proof of who they are."""
        limits = {account_key(user_id): (user_id, ACCOUNT) for user_id in user_ids}
        limits |= {password_key(user_id): (user_id, ACCOUNT) for user_id in user_ids}
        limits |= {limit.key: (user_id, limit.count) for user_id in user_ids for limit in factor_limits(user_id)}
        counted = RateBucket.key.in_(limits), RateBucket.expires_at > clock.now()
        found = self.session.execute(select(RateBucket.key, RateBucket.count).where(*counted))
        return {limits[key][0] for key, count in found if count >= limits[key][1]}
