"""Second factors, recovery codes and the devices that are not asked for them. Each works once by one UPDATE."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from backend.core import clock, otp, security
from backend.core.errors import ConflictError, NotFoundError
from backend.core.i18n import N_, _
from backend.database.crud.base import BaseCRUD
from backend.database.models.auth import AuthIdentity, Credential, OneTimeToken
from backend.database.models.users import User

APP, PASSKEY, RECOVERY = "totp", "passkey", "recovery"
TRUSTED, TRUST = "device", timedelta(days=30)  # purpose and life of "do not ask again on this device"
FEW_CODES = 3
MOST_PASSKEYS = 20
LAST_WAY_IN = N_("This is your only way to sign in. Set a password first.")


@dataclass(frozen=True)
class Factors:
    """What a person can prove themselves with beside a password."""

    app: Credential | None = None
    passkeys: tuple[Credential, ...] = ()
    codes_left: int = 0

    @property
    def present(self) -> bool:
        return self.app is not None or bool(self.passkeys)

    @property
    def codes_low(self) -> bool:
        return self.present and self.codes_left < FEW_CODES


class CredentialCRUD(BaseCRUD[Credential]):
    model = Credential

    def missing(self, row_id: int) -> str:
        return _("This second factor has already been removed.")

    def of(self, user_id: int) -> Factors:
        factors = Credential.user_id == user_id, Credential.kind != RECOVERY
        found = self.session.scalars(select(Credential).where(*factors).order_by(Credential.id)).all()
        app = next((each for each in found if each.kind == APP), None)
        return Factors(app, tuple(each for each in found if each.kind == PASSKEY), self._codes_left(user_id))

    def _codes_left(self, user_id: int) -> int:
        live = Credential.user_id == user_id, Credential.kind == RECOVERY, Credential.used_at.is_(None)
        return self.session.scalar(select(func.count()).where(*live)) or 0

    def has_factor(self, user_id: int) -> bool:
        some = select(Credential.id).where(Credential.user_id == user_id, Credential.kind != RECOVERY)
        return self.session.scalar(some.limit(1)) is not None

    def app_of(self, user_id: int) -> Credential | None:
        mine = Credential.user_id == user_id, Credential.kind == APP
        return self.session.scalars(select(Credential).where(*mine)).one_or_none()

    def set_app(self, user_id: int, sealed: str, step: int) -> Credential:
        """The app whose first code, of this step, was right; it takes the place of an older one."""
        self.session.execute(delete(Credential).where(Credential.user_id == user_id, Credential.kind == APP))
        made = Credential(user_id=user_id, kind=APP, secret=sealed, last_step=step, confirmed_at=clock.now())
        return self.add(made)

    def burn_step(self, credential_id: int, step: int) -> bool:
        """Uses up the code of a step and all before it; False when it was used already."""
        row = Credential.id == credential_id, Credential.last_step < step
        return self._used(row, {"last_step": step})

    def burn_code(self, user_id: int, code: str) -> bool:
        """Uses up a recovery code, given in its one spelling."""
        mine = Credential.user_id == user_id, Credential.kind == RECOVERY, Credential.used_at.is_(None)
        return self._used((*mine, Credential.secret == security.digest(code)), {})

    def _used(self, which: Sequence[Any], values: dict[str, Any]) -> bool:
        statement = update(Credential).where(*which).values(used_at=clock.now(), **values).returning(Credential.id)
        options = {"synchronize_session": False}
        return self.session.execute(statement, execution_options=options).scalar_one_or_none() is not None

    def renew_codes(self, user_id: int) -> list[str]:
        """Ten new recovery codes; no older one works any more. They are shown once and stored as digests."""
        self._drop_codes(user_id)
        codes = otp.new_recovery_codes()
        digests = (security.digest(otp.recovery_code(code)) for code in codes)
        self.session.add_all([Credential(user_id=user_id, kind=RECOVERY, secret=digest) for digest in digests])
        self.flush()
        return codes

    def _drop_codes(self, user_id: int) -> None:
        self.session.execute(delete(Credential).where(Credential.user_id == user_id, Credential.kind == RECOVERY))

    def passkey(self, public_id: str) -> Credential | None:
        """With this id, whoever's it is."""
        wanted = Credential.public_id == public_id, Credential.kind == PASSKEY
        return self.session.scalars(select(Credential).where(*wanted)).one_or_none()

    def add_passkey(self, user_id: int, name: str, values: dict[str, Any]) -> Credential:
        """`values`: public_id, public_key, sign_count, data. Raises ConflictError."""
        if len(self.of(user_id).passkeys) >= MOST_PASSKEYS or self.passkey(values["public_id"]):
            raise ConflictError(_("This passkey is already added, or you have too many."))
        return self.add(Credential(user_id=user_id, kind=PASSKEY, name=name, confirmed_at=clock.now(), **values))

    def count_up(self, credential_id: int, sign_count: int) -> bool:
        """Notes a use. False when the counter went back: the key was copied. Keys that do not count say 0 for ever."""
        which: tuple[Any, ...] = (Credential.id == credential_id,)
        forward = Credential.sign_count < sign_count if sign_count else Credential.sign_count == 0
        return self._used((*which, forward), {"sign_count": sign_count})

    def remove(self, credential_id: int, user_id: int, services: Collection[str]) -> Credential:
        """The recovery codes go with the last factor. `services`: see `way_in_besides`.

        Raises NotFoundError for someone else's, ConflictError for the last way in.
        """
        found = self.get_by_id(credential_id)
        if found.user_id != user_id or found.kind == RECOVERY:
            raise NotFoundError(self.missing(credential_id))
        if found.kind == PASSKEY and not way_in_besides(self.session, user_id, services, passkey=found.id):
            raise ConflictError(_(LAST_WAY_IN), code="last_way_in")
        self.session.delete(found)
        self.flush()
        if not self.has_factor(user_id):
            self._drop_codes(user_id)
        return found


def way_in_besides(
    session: Session, user_id: int, services: Collection[str], *, passkey: int = 0, identity: int = 0
) -> bool:
    """Whether a person can still sign in without this passkey or account elsewhere. Two are not taken at a time.

    `services`: the keys of those that the school has set up. A link to another one opens nothing.
    """
    mine = select(User.password_hash).where(User.id == user_id)
    if session.scalar(mine.with_for_update()) is not None:
        return True
    passkeys = exists().where(Credential.user_id == user_id, Credential.kind == PASSKEY, Credential.id != passkey)
    linked = AuthIdentity.user_id == user_id, AuthIdentity.provider.in_(services)
    accounts = exists().where(*linked, AuthIdentity.id != identity)
    return bool(session.scalar(select(or_(passkeys, accounts))))


class TrustedDeviceCRUD(BaseCRUD[OneTimeToken]):
    """ "Do not ask again on this device": bound to the person and the name in the device's signed cookie."""

    model = OneTimeToken

    def trust(self, user_id: int, device: str, words: str) -> None:
        """`words`: how the person knows the device again."""
        self.session.execute(delete(OneTimeToken).where(OneTimeToken.token_hash == _hash(user_id, device)))
        self.add(
            OneTimeToken(
                user_id=user_id,
                purpose=TRUSTED,
                token_hash=_hash(user_id, device),
                data={"words": words},
                expires_at=clock.now() + TRUST,
            )
        )

    def trusts(self, user_id: int, device: str) -> bool:
        live = OneTimeToken.purpose == TRUSTED, OneTimeToken.expires_at > clock.now()
        found = select(OneTimeToken.id).where(OneTimeToken.token_hash == _hash(user_id, device), *live)
        return bool(device) and self.session.scalar(found) is not None

    def of(self, user_id: int) -> Sequence[OneTimeToken]:
        live = OneTimeToken.purpose == TRUSTED, OneTimeToken.expires_at > clock.now()
        mine = select(OneTimeToken).where(OneTimeToken.user_id == user_id, *live)
        return self.session.scalars(mine.order_by(OneTimeToken.id.desc())).all()

    def forget(self, user_id: int) -> bool:
        """After a new password, a changed factor or a sign-out elsewhere every device is asked again. False when none
        was trusted.
        """
        mine = OneTimeToken.user_id == user_id, OneTimeToken.purpose == TRUSTED
        return bool(self.session.scalars(delete(OneTimeToken).where(*mine).returning(OneTimeToken.id)).all())


def _hash(user_id: int, device: str) -> str:
    return security.digest(f"device:{user_id}:{device}")
