import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from tests.conftest import SignIn
from tests.crm.pages import english_admin
from tests.doors import browser, sign_in, token_of


@pytest.fixture
def own(app: FastAPI) -> TestClient:
    """A browser that signed in by itself; its session's token is in its headers."""
    client = browser(app)
    sign_in(client)
    client.headers["X-CSRF-Token"] = token_of(client.get("/dashboard/settings/"))
    return client


@pytest.fixture
def reader(sign_in: SignIn, db: Session) -> TestClient:
    return english_admin(sign_in, db)
