"""When a person was last here is known for longer than their sessions are."""

from datetime import timedelta

import time_machine
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core import clock, security
from backend.core.permissions import MANAGER
from backend.database.models.auth import AuthSession
from backend.database.models.users import User
from backend.database.session import Database
from backend.jobs.periodic import CHORES
from tests.conftest import PASSWORD, SignIn
from tests.crm.pages import english_admin, one, words
from tests.crm.test_staff import HERE, hire
from tests.doors import browser
from tests.doors import sign_in as enter


def test_when_someone_was_here_is_known_after_their_sessions(
    sign_in: SignIn, app: FastAPI, db: Session, database: Database
) -> None:
    boris = hire(db, MANAGER, "boris", security.hash_password(PASSWORD)).id
    enter(browser(app), login="boris")
    with time_machine.travel(clock.now() + timedelta(days=3)):
        database.run(next(chore for chore in CHORES if chore.name == "purge").work)
        admin = english_admin(sign_in, db)
        assert db.scalars(select(AuthSession.user_id)).all() == [1]
        assert db.get_one(User, boris).seen_at is not None
        page = words(one(admin.get(f"{HERE}{boris}").text, "main"))
        assert "Last seen3 days ago" in page
        assert "3 days ago" in words(one(admin.get(f"{HERE}?q=boris").text, "main"))
