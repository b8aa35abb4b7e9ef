"""Nobody is left without a way in or on: neither the school without its administrator, nor a role that has to prove."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from backend.core import clock
from backend.core.errors import ConflictError
from backend.core.permissions import ADMIN, SYSTEM_ROLES, Permission
from backend.database.crud.staff import StaffCRUD
from backend.database.models.auth import Credential
from backend.database.models.users import Role, User
from tests.conftest import SignIn
from tests.crm.test_staff import hire
from tests.factories import save


@pytest.mark.parametrize("password", [None, "hash"])
def test_the_last_administrator_keeps_the_passkey_that_alone_lets_them_in(
    app: FastAPI, db: Session, password: str | None
) -> None:
    save(db, Role(name="Head", permissions=sorted(SYSTEM_ROLES[ADMIN])))
    head = hire(db, "Head", "head", "hash")
    db.execute(update(User).where(User.id == 1).values(password_hash=password))
    save(db, Credential(user_id=1, kind="passkey", public_id="x", confirmed_at=clock.now()))

    def remove(session: Session) -> User:
        return StaffCRUD(session).remove_factors(1, head.id)

    if password:
        app.state.database.run(remove)
    else:
        with pytest.raises(ConflictError, match="another administrator who can sign in"):
            app.state.database.run(remove)
    assert (db.query(Credential).count() == 0) is bool(password)


def test_a_role_that_may_do_anything_comes_in_and_can_prove_who_its_people_are(
    app: FastAPI, admin: TestClient, sign_in: SignIn, db: Session
) -> None:
    sent = {"name": "Door", "rights": [Permission.STAFF_WRITE.value]}
    assert admin.post("/dashboard/settings/roles/", data=sent).status_code == 303
    hire(db, "Door", "boris")
    app.state.settings = app.state.settings.model_copy(update={"require_2fa_roles": (ADMIN,)})
    boris = sign_in("boris")
    there = boris.get("/dashboard/").headers["location"]
    assert "/settings/security/" in there
    assert boris.get(there).status_code == 200
