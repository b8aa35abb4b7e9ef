"""Actions of which security events tell, each in the order in which it can be done."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.core.config import Settings
from backend.core.events import Event
from backend.database.crud.letters import LetterCRUD
from backend.database.models.dispatches import Dispatch
from backend.database.models.users import User
from tests.cli.conftest import Run
from tests.conftest import SignIn


@dataclass
class Stage:
    """One school for all actions; `admin` is signed in, `boris` is a manager."""

    app: FastAPI
    db: Session
    settings: Settings
    run: Run
    sign_in: SignIn
    admin: TestClient
    boris: User
    kept: dict[str, str] = field(default_factory=dict)

    def post(self, path: str, expected: int = 303, **data: object) -> str:
        answer = self.admin.post(path, data=data)
        assert answer.status_code == expected, (path, answer.status_code, answer.headers)
        return answer.text

    def command(self, *arguments: str) -> None:
        done = self.run(*arguments)
        assert done.exit_code == 0, done.stderr

    def letter(self, kind: str) -> str:
        """The path of the link in the last letter of this kind."""
        row = self.db.scalars(select(Dispatch).where(Dispatch.method == kind).order_by(Dispatch.id.desc())).first()
        written = LetterCRUD(self.db).letter(row) if row else None
        found = re.search(r"http://[^/]+(/\S+)\n", written.text if written else "")
        assert found, kind
        return found[1]


Action = Callable[[Stage], object]
# In this order: some need what those before them made.
ACTIONS: list[tuple[Event, str, Action]] = []


def does(kind: Event) -> Callable[[Action], Action]:
    def remember(action: Action) -> Action:
        ACTIONS.append((kind, action.__name__, action))
        return action

    return remember
