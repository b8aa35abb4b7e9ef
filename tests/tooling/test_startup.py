"""What a web process loads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def printed(program: str, folder: Path, **settings: str) -> list[str]:
    """The words that a program prints in a process of its own, with these settings."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SECRET_KEY": "test-key-test-key-test-key-0123456789-abcdefghij",
        "DATA_DIR": str(folder),
        "RUN_JOBS": "0",
        **settings,
    }
    command = [sys.executable, "-c", program]
    shown = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return shown.stdout.split()


@pytest.mark.parametrize(
    ("settings", "loaded"),
    [
        ({"BOT_MODE": "process", "TELEGRAM_BOT_TOKEN": "1:x"}, False),
        ({"TELEGRAM_BOT_TOKEN": "1:x"}, True),
    ],
)
def test_only_a_process_that_speaks_to_telegram_loads_its_library(
    settings: dict[str, str], loaded: bool, tmp_path: Path
) -> None:
    program = "import sys, main; main.app; print('aiogram' in sys.modules)"
    assert printed(program, tmp_path, **settings) == [str(loaded)]


SELDOM = {
    "authlib",
    "joserfc",
    "httpx2",
    "zxcvbn",
    "webauthn",
    "OpenSSL",
    "babel",
    "alembic",
    "xlsxwriter",
    "redis",
    "limits",
}


def test_what_few_people_need_is_not_loaded_for_all(tmp_path: Path) -> None:
    program = f"import sys, main; main.app; print(*({SELDOM} & set(sys.modules)))"
    assert printed(program, tmp_path, BOT_MODE="off") == []
