"""Who has tried to sign in too often: the keys under which attempts at one account are counted, and lifting a lock."""

from collections.abc import Sequence

from sqlalchemy import false, or_, select

from backend.core import clock
from backend.core.events import Event
from backend.database import audit
from backend.database.crud.throttle import Limit, ThrottleCRUD
from backend.database.models.auth import RateBucket
from backend.database.tries import demand_answer

ACCOUNT = 5  # tries of an account in a quarter of an hour
FACTOR = (5, 5 * 60), (20, 3600), (50, 24 * 3600)  # tries at a second factor, in so many seconds
DEVICES = 50, 3600  # tries at a password of all devices together that know a person
DEVICES_FACTOR = DEVICES, (100, 24 * 3600)  # theirs at a second factor


def account_key(user_id: int) -> str:
    return f"login:{user_id}:"


def device_key(user_id: int) -> str:
    """The beginning of the keys of all devices that know this person."""
    return f"login-device:{user_id}:"


def devices_key(user_id: int) -> str:
    """Of all devices that know this person: no stranger's tries are counted there."""
    return f"login-devices:{user_id}:"


def devices_limit(user_id: int) -> Limit:
    return Limit(devices_key(user_id), *DEVICES)


def password_key(user_id: int, device: str = "") -> str:
    """Tries at one's own old password, from a session that may be someone else's by now; `device`: the name of one that
    knows the person, which others' tries do not lock out.
    """
    return f"password:{user_id}:{device}"


def reset_key(user_id: int) -> str:
    """Asking for a new password."""
    return f"reset:{user_id}:"


def reset_device_key(user_id: int) -> str:
    """The beginning of the keys of all devices that know this person and ask for a new password."""
    return f"reset-device:{user_id}:"


def confirm_key(user_id: int) -> str:
    """Asking for a letter that confirms another e-mail."""
    return f"confirm:{user_id}:"


def factor_key(user_id: int) -> str:
    """The beginning of the keys of tries at a second factor."""
    return f"factor:{user_id}:"


def factor_limits(user_id: int, device: str = "") -> tuple[Limit, ...]:
    """`device`: the name of one that knows the person, which others' tries do not lock out; what all such devices try
    is counted together besides.
    """
    own = tuple(Limit(f"{factor_key(user_id)}{device}:{seconds}", count, seconds) for count, seconds in FACTOR)
    return (*own, *devices_factor_limits(user_id)) if device else own


def devices_factor_limits(user_id: int) -> tuple[Limit, ...]:
    """No device has a name with a sign like that."""
    return tuple(Limit(f"{factor_key(user_id)}*:{seconds}", count, seconds) for count, seconds in DEVICES_FACTOR)


# Every one that locks a person out, a network, and everyone without a device that is known.
KEYS = (account_key, device_key, devices_key, password_key, factor_key, reset_key, reset_device_key, confirm_key)
ADDRESS_KEYS = ("login-ip:", "reset-ip:", "elsewhere-ip:", "register-ip:")
COMMON_KEYS = ("login-all", "register-all")


class LockCRUD(ThrottleCRUD):
    def lift(self, user_id: int) -> int:
        """Forgets the failed attempts at an account, so that the person can try again at once; how many keys.

        As the other two, raises UnavailableError when there is a Redis that does not answer.
        """
        demand_answer(self.session)
        forgotten = self.reset_beginning(*(key(user_id) for key in KEYS))
        audit.note(self.session, Event.LOCK_LIFTED, user_id=user_id)
        return forgotten

    def lift_address(self, network: str) -> None:
        """Forgets the failed attempts from a network (core.hosts.network)."""
        demand_answer(self.session)
        self.reset([f"{beginning}{network}" for beginning in ADDRESS_KEYS])
        audit.note(self.session, Event.LOCK_LIFTED, address=network)

    def lift_common(self) -> None:
        """Forgets what all failed attempts together have used up."""
        demand_answer(self.session)
        self.reset(COMMON_KEYS)
        audit.note(self.session, Event.LOCK_LIFTED, everyone=True)

    def locked(self, user_ids: Sequence[int]) -> set[int]:
        """Those of the people whom too many attempts keep out at this moment, or from a proof of who they are."""
        limits = {account_key(user_id): (user_id, ACCOUNT) for user_id in user_ids}
        for user_id in user_ids:
            of_all = devices_limit(user_id), *devices_factor_limits(user_id)
            limits |= {limit.key: (user_id, limit.count) for limit in (*factor_limits(user_id), *of_all)}
        counted = RateBucket.key.in_(limits), RateBucket.expires_at > clock.now()
        found = self.session.execute(select(RateBucket.key, RateBucket.count).where(*counted))
        return {limits[key][0] for key, count in found if count >= limits[key][1]} | self._kept_from_a_proof(user_ids)

    def _kept_from_a_proof(self, user_ids: Sequence[int]) -> set[int]:
        """In whichever browser: each that knows the person has tries of its own."""
        full = RateBucket.count >= ACCOUNT, RateBucket.expires_at > clock.now()
        theirs = [RateBucket.key.startswith(password_key(user_id), autoescape=True) for user_id in user_ids]
        found = self.session.scalars(select(RateBucket.key).where(*full, or_(false(), *theirs)))
        return {int(key.split(":")[1]) for key in found}
