"""Idempotency-Key: the answer of a POST is stored in the transaction of its effect."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.core.errors import ConflictError, InvalidError
from backend.core.i18n import _
from backend.database.models.auth import IdempotencyKey

MAX_KEY = 128


@dataclass(frozen=True)
class Stored:
    status: int
    response: str


class IdempotencyCRUD:
    def __init__(self, session: Session) -> None:
        self.session = session

    def claim(self, owner: str, key: str, request_hash: str) -> Stored | None:
        """None: the key is now ours, go on. Otherwise the answer given before.

        Raises ConflictError when the key came with another request, or is being worked on now.
        """
        if not (1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
            raise InvalidError(fields={"Idempotency-Key": _("1 to 128 printable ASCII characters")})
        found = self._find(owner, key)
        if found is None:
            self._insert(owner, key, request_hash)
            return None
        if found.request_hash != request_hash:
            raise ConflictError(_("This Idempotency-Key was used for another request."), code="idempotency_key_reused")
        return Stored(found.status, found.response)

    def answered(self, owner: str, key: str) -> Stored | None:
        """The answer given before, for whoever sees to it that no twin is being worked on now."""
        found = self._find(owner, key)
        return Stored(found.status, found.response) if found else None

    def _find(self, owner: str, key: str) -> IdempotencyKey | None:
        condition = IdempotencyKey.owner == owner, IdempotencyKey.key == key
        return self.session.scalars(select(IdempotencyKey).where(*condition)).one_or_none()

    def _insert(self, owner: str, key: str, request_hash: str) -> None:
        # PostgreSQL waits here for a twin transaction and then refuses; SQLite has one writer anyway.
        self.session.add(IdempotencyKey(owner=owner, key=key, request_hash=request_hash, status=0, response=""))
        try:
            self.session.flush()
        except IntegrityError as error:
            raise ConflictError(
                _("The same request is already being processed."),
                code="idempotency_running",
                headers={"Retry-After": "1"},
            ) from error

    def remember(self, owner: str, key: str, answer: Stored) -> None:
        row = self._find(owner, key)
        assert row is not None
        row.status, row.response = answer.status, answer.response
        self.session.flush()

    def purge(self, older_than: datetime) -> None:
        self.session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < older_than))
