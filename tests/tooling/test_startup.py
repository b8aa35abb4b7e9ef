"""What a web process loads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = "import sys, main; main.app; print('aiogram' in sys.modules)"


@pytest.mark.parametrize(
    ("settings", "loaded"),
    [
        ({"RUN_JOBS": "0", "BOT_MODE": "process", "TELEGRAM_BOT_TOKEN": "1:x"}, False),
        ({"RUN_JOBS": "0", "TELEGRAM_BOT_TOKEN": "1:x"}, True),
    ],
)
def test_only_a_process_that_speaks_to_telegram_loads_its_library(
    settings: dict[str, str], loaded: bool, tmp_path: Path
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SECRET_KEY": "test-key-test-key-test-key-0123456789-abcdefghij",
        "DATA_DIR": str(tmp_path),
        **settings,
    }
    shown = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert shown.split() == [str(loaded)]


def test_a_school_without_accounts_elsewhere_loads_nothing_for_them(tmp_path: Path) -> None:
    loaded = "import sys, main; main.app; print(*({'authlib', 'joserfc', 'httpx2', 'zxcvbn'} & set(sys.modules)))"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SECRET_KEY": "test-key-test-key-test-key-0123456789-abcdefghij",
        "DATA_DIR": str(tmp_path),
        "RUN_JOBS": "0",
        "BOT_MODE": "off",
    }
    shown = subprocess.run(
        [sys.executable, "-c", loaded], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert shown.split() == []
