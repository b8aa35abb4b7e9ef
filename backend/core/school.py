"""The school's name: what the settings page says, else SCHOOL_NAME.

Every page shows it, so each process remembers it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from backend.core.config import Settings
from backend.database.crud.settings import SettingCRUD
from backend.database.session import Database

KEY = "school"  # of table `settings`
FRESH_SECONDS = 30  # after that a change made in another process shows here


class School:
    def __init__(self, settings: Settings, database: Database) -> None:
        self._given = settings.school_name
        self._database = database
        self.name = self._given

    def read(self) -> None:
        """Looks the name up; an unreachable database leaves it as it was."""
        with contextlib.suppress(SQLAlchemyError), self._database.read() as session:
            stored = SettingCRUD(session).find(KEY) or {}
            self.name = str(stored.get("name") or self._given)


@asynccontextmanager
async def followed(app: FastAPI) -> AsyncIterator[None]:
    """Keeps the name fresh as long as the app serves."""
    school: School = app.state.school
    await run_in_threadpool(school.read)
    task = asyncio.create_task(_follow(school), name="school")
    try:
        yield
    finally:
        task.cancel()


async def _follow(school: School) -> None:
    while True:
        await asyncio.sleep(FRESH_SECONDS)
        await run_in_threadpool(school.read)
