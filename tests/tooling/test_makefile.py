"""The commands a newcomer types. setup.sh runs for real, on a copy, with stand-ins for Python."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Says yes to whatever setup.sh asks and notes it; FAIL makes installations fail.
STAND_IN = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/../../asked"
case "$*" in *install*) [ -z "${FAIL:-}" ] ;; esac
"""
NOBODY = 65534 if os.getuid() == 0 else None  # root may write everywhere and install everything


@pytest.fixture
def copy() -> Iterator[Path]:
    """A checkout with an empty virtual environment, which any user may enter."""
    folder = Path(tempfile.mkdtemp())
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/setup.sh", folder / "scripts")
    (folder / "requirements.txt").write_text("fastapi==1\n")
    (folder / "requirements-dev.txt").write_text("pytest==1\n")
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN)
    python.chmod(0o755)
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def setup(
    copy: Path, kind: str = "run", user: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [copy / "scripts/setup.sh", kind],
        env={"PATH": os.environ["PATH"], **environment},
        user=user,
        capture_output=True,
        text=True,
        check=False,
    )


def installed(copy: Path) -> list[str]:
    """The arguments of each installation."""
    asked = copy / "asked"
    lines = asked.read_text().splitlines() if asked.exists() else []
    return [line.split(" install ")[1] for line in lines if " install " in line]


INSTALL = "--quiet --disable-pip-version-check --no-input --require-hashes -r"


def test_help_is_the_default_and_lists_every_documented_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    documented = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    environment = {"PATH": os.environ["PATH"]}  # `make ci` calls the tests: its MAKEFLAGS are not a newcomer's
    shown = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in shown.splitlines()] == documented
    wanted = {"help", "run", "test", "ci", "bench", "demo", "lock", "lint", "messages", "clean"}
    assert wanted - set(documented) == set()


def test_every_target_is_phony() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    targets = re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(targets)


def test_an_installation_checks_hashes_and_happens_once(copy: Path) -> None:
    assert setup(copy).returncode == 0
    assert installed(copy) == [f"{INSTALL} requirements.txt"]
    second = setup(copy)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert len(installed(copy)) == 1


def test_changed_requirements_are_installed(copy: Path) -> None:
    setup(copy)
    (copy / "requirements.txt").write_text("fastapi==2\n")
    setup(copy)
    assert installed(copy) == [f"{INSTALL} requirements.txt"] * 2


def test_the_set_for_development_contains_the_other(copy: Path) -> None:
    setup(copy, "dev")
    setup(copy, "run")
    assert installed(copy) == [f"{INSTALL} requirements-dev.txt"]


def test_a_failed_installation_says_so_once_and_is_repeated(copy: Path) -> None:
    failed = setup(copy, FAIL="1")
    assert failed.returncode == 1
    assert failed.stderr.splitlines() == [
        (
            "The packages of requirements.txt could not be installed:"
            " check the network, read .venv/install.log and repeat the command."
        )
    ]
    assert setup(copy).returncode == 0
    assert len(installed(copy)) == 2


def test_a_stamp_names_the_installed_file(copy: Path) -> None:
    setup(copy)
    digest = hashlib.sha256(b"fastapi==1\n").hexdigest()
    assert (copy / ".venv/.installed-run").read_text() == f"{digest}  requirements.txt\n"


def test_a_missing_python_gives_one_sentence(copy: Path) -> None:
    shutil.rmtree(copy / ".venv")
    refused = setup(copy, PYTHON="python2.7")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.splitlines() == [
        (
            "Lyceum needs Python 3.11 or newer, which python2.7 is not: install it (on Debian or"
            " Ubuntu: sudo apt-get install python3 python3-venv) and repeat the command."
        )
    ]


def test_a_python_without_venv_and_pip_gives_one_sentence(copy: Path) -> None:
    shutil.rmtree(copy / ".venv")
    python = copy / "python"
    python.write_text('#!/bin/sh\ncase "$*" in *ensurepip*|*pip*) exit 1 ;; esac\n')
    python.chmod(0o755)
    copy.chmod(0o777)
    refused = setup(copy, user=NOBODY, PYTHON=str(python))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.splitlines() == [
        ("Python's venv module is incomplete here: run 'sudo apt-get install python3-venv' and repeat the command.")
    ]


def test_a_read_only_folder_gives_one_sentence(copy: Path) -> None:
    copy.chmod(0o555)
    refused = setup(copy, user=NOBODY)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.splitlines() == [
        (
            f"The folder {copy} is read-only, but Lyceum keeps its data and packages in it:"
            " make it writable or clone it elsewhere."
        )
    ]


def test_continuous_integration_is_make_ci_without_a_terminal() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert script.splitlines()[0] == "#!/usr/bin/env bash"
    assert script.splitlines()[-1] == "exec make ci </dev/null"
    assert os.access(ROOT / ".ci/run", os.X_OK)
