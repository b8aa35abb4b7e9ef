import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.doors import browser, sign_in, token_of


@pytest.fixture
def own(app: FastAPI) -> TestClient:
    """A browser that signed in by itself; its session's token is in its headers."""
    client = browser(app)
    sign_in(client)
    client.headers["X-CSRF-Token"] = token_of(client.get("/dashboard/settings/"))
    return client
