"""Wakes the sender of this process as soon as a transaction that queued something has committed.

Other processes find it by polling.
"""

import threading
from collections.abc import Callable

from sqlalchemy import event
from sqlalchemy.orm import Session

FLAG = "outbox_queued"
_lock = threading.Lock()
_listeners: set[Callable[[], None]] = set()


def queued(session: Session) -> None:
    """The current transaction leaves work for the sender."""
    session.info[FLAG] = True


def subscribe(listener: Callable[[], None]) -> Callable[[], None]:
    """Calls `listener` in the committing thread after each such commit; returns what ends that."""
    with _lock:
        _listeners.add(listener)

    def unsubscribe() -> None:
        with _lock:
            _listeners.discard(listener)

    return unsubscribe


def _committed(session: Session) -> None:
    # A released savepoint is announced as a commit too.
    if session.in_nested_transaction() or not session.info.pop(FLAG, False):
        return
    with _lock:
        listeners = tuple(_listeners)
    for listener in listeners:
        listener()


def _rolled_back(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info.pop(FLAG, None)


event.listen(Session, "after_commit", _committed)
event.listen(Session, "after_rollback", _rolled_back)
