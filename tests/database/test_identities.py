"""Trips to another service: who may come back from one, and how often."""

import pytest
import time_machine
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.errors import NotFoundError
from backend.database.crud.identities import LIFE, FlowCRUD
from tests.factories import make_user

CARRIED = {"next": "/dashboard/", "nonce": "n"}


def test_a_trip_is_finished_once_by_whom_it_was_begun(db: Session) -> None:
    """A visitor's by anybody in that browser: whoever comes back is a visitor still, or has come in meanwhile."""
    vera, flows = make_user(db), FlowCRUD(db)
    for owner, foreign in ((vera.id, (None, vera.id + 1)), (None, ())):
        state = flows.begin("github", "browser", owner, CARRIED)
        others = [
            (state, "google", "browser", vera.id), (state, "github", "another", vera.id),
            ("made up", "github", "browser", vera.id), *((state, "github", "browser", me) for me in foreign),
        ]  # fmt: skip
        for given in others:
            with pytest.raises(NotFoundError):
                flows.finish(*given)
        assert flows.finish(state, "github", "browser", vera.id) == (owner, CARRIED)
        with pytest.raises(NotFoundError):
            flows.finish(state, "github", "browser", vera.id)


def test_a_trip_that_took_too_long_is_none(db: Session) -> None:
    state = FlowCRUD(db).begin("github", "browser", None, CARRIED)
    with time_machine.travel(clock.now() + LIFE, tick=False), pytest.raises(NotFoundError):
        FlowCRUD(db).finish(state, "github", "browser", None)
