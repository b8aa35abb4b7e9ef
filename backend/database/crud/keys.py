"""A change of SECRET_KEY: whatever is stored under an older key of the list is stored under the first one."""

from collections.abc import Callable, Iterator
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import security
from backend.core.config import Settings
from backend.core.events import Event
from backend.database import audit
from backend.database.chain.sealing import HEAD, Head, sign_head
from backend.database.models.auth import Credential
from backend.database.models.dispatches import EMAIL, Dispatch
from backend.database.models.doors import SignInFlow
from backend.database.models.system import Setting
from backend.database.session import settings_of


class KeyCRUD:
    def __init__(self, session: Session) -> None:
        self.session = session

    def rotate(self) -> tuple[int, int]:
        """(secrets that are sealed anew, secrets that no key of the list opens). Signs the history's head anew too."""
        settings, sealed, lost = settings_of(self.session), 0, 0
        for secret, keep in self._places():
            opened = security.unseal(settings, secret)
            if opened is None:
                lost += 1
            else:
                keep(security.seal(settings, opened))
                sealed += 1
        self._sign(settings)
        audit.note(self.session, Event.KEYS_ROTATED, sealed=sealed, lost=lost)
        self.session.flush()
        return sealed, lost

    def secrets(self) -> list[str]:
        """Every secret that is read back, as it is stored."""
        return [secret for secret, _keep in self._places()]

    def _places(self) -> Iterator[tuple[str, Callable[[str], None]]]:
        """Every secret that is read back, and how another takes its place."""
        for app in self.session.scalars(select(Credential).where(Credential.kind == "totp")):
            yield app.secret or "", partial(setattr, app, "secret")
        for flow in self.session.scalars(select(SignInFlow).where(SignInFlow.used_at.is_(None))):
            yield flow.sealed, partial(setattr, flow, "sealed")
        sealed = Dispatch.params["sealed"].as_string().is_not(None)
        for letter in self.session.scalars(select(Dispatch).where(Dispatch.channel == EMAIL, sealed)):
            yield letter.params["sealed"], partial(_reseal, letter)

    def _sign(self, settings: Settings) -> None:
        # Locked as the sealer locks it: else its next block may come between, and the head be that of the one before.
        found = self.session.get(Setting, HEAD, with_for_update=True, populate_existing=True)
        head = Head.of(found.value) if found is not None else None
        if head is not None and head.is_signed(settings):  # what nobody has signed stays as it is, for verify to tell
            sign_head(self.session, settings, head.id, head.hash, closed=head.closed)


def _reseal(letter: Dispatch, secret: str) -> None:
    letter.params = letter.params | {"sealed": secret}
