"""The commands in the documentation do what it says, as printed."""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from backend.core.config import Settings
from backend.core.permissions import Permission
from tests.conftest import PASSWORD, Api

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "integration.md").read_text()
LINES = [line for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]
COMMANDS = [line for line in LINES if not line.startswith("export")]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]


@pytest.fixture
def address(app: FastAPI) -> Iterator[str]:
    """The app behind a real port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", proxy_headers=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_every_command_of_the_integration_guide_runs(address: str, api: Api) -> None:
    token = api(*(right.value for right in Permission if right is not Permission.BOT)).headers["Authorization"]
    environment = os.environ | {"LYCEUM": address, "TOKEN": token.removeprefix("Bearer "), "PASSWORD": PASSWORD}
    answers = []
    for command in COMMANDS:
        ran = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
        answers.append(json.loads(ran.stdout))

    me, signed_in, student, by_id, by_text, *_rest, lesson = answers
    assert me.get("kind", "token") == "token"
    assert (signed_in["token_type"], signed_in["expires_in"]) == ("bearer", 900)
    assert (student["telegram_id"], student["first_name"]) == (123456789, "Test")
    assert by_id["items"] == by_text["items"] == [student]
    assert (lesson["title"], lesson["price"]) == ("Test lesson", 100)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text, here = (ROOT / page).read_text(), (ROOT / page).parent
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]

    assert [target for target in targets if not (here / target).exists()] == []


def test_every_setting_is_explained() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert [name for name in Settings.model_fields if f"`{name.upper()}`" not in text] == []
