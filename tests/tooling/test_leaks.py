"""The scan for secrets finds each kind that is planted, wherever it is planted. All of them are made up here."""

import base64
import random
import shutil
import string
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scripts import leaks

ROOT = Path(__file__).parents[2]
LETTERS = string.ascii_letters + string.digits + "-_"
BASE32 = string.ascii_uppercase + "234567"


def value(seed: int, length: int, letters: str = LETTERS) -> str:
    """The same for a seed, so that no run draws a word."""
    return "".join(random.Random(seed).choices(letters, k=length))


def private_key(seed: int) -> str:
    key = derive_private_key(seed, SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def kinds(seed: int) -> dict[str, str]:
    """A file with one secret each, by the rule that knows it."""
    return {
        "lyceum.bot": f"bot = 7{value(seed, 9, string.digits)}:AA{value(seed, 33)}\n",
        "betterleaks.private-key": private_key(2**200 + seed),
        "betterleaks.generic-credential-uri": f"url: postgresql://school:{value(seed, 24)}@db/school\n",
        "betterleaks.github-pat": f"ghp_{value(seed, 36, string.ascii_letters + string.digits)}\n",
        "lyceum.aws-key": f"AKIA{value(seed, 16, BASE32)}\n",
        "lyceum.assigned": f"SECRET_KEY={value(seed, 48)}\n",
        "lyceum.token": f"Authorization: Bearer lyc_{value(seed, 43)}\n",
    }


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Anna", "-c", "user.email=anna@school.example", "-c", "commit.gpgsign=false")
    ran = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def commit(folder: Path, message: str = "Add a lesson") -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An innocent one, with a commit."""
    folder = tmp_path / "school"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "lesson.txt").write_text("Stars and where they are\n")
    commit(folder)
    return folder


def found(folder: Path) -> set[tuple[str, str]]:
    return {(leak.rule, leak.place) for leak in leaks.leaks(folder)}


def test_every_kind_is_found_in_the_files_and_in_an_older_commit(repository: Path) -> None:
    for rule, text in kinds(1).items():
        (repository / f"{rule}.txt").write_text(text)
    old = commit(repository)
    for path in repository.glob("*.txt"):
        path.unlink()
    commit(repository, "Take them out again")
    for rule, text in kinds(2).items():
        (repository / f"{rule}.conf").write_text(text)

    told = found(repository)

    assert {(rule, f"{rule}.txt:1 in commit {old}") for rule in kinds(1)} - told == set()
    assert {(rule, f"{rule}.conf:1") for rule in kinds(2)} - told == set()


def test_a_secret_in_the_message_of_a_commit_is_found(repository: Path) -> None:
    guilty = commit(repository, f"Start the bot\n\nwith {kinds(3)['lyceum.bot']}")

    assert found(repository) == {("lyceum.bot", f"the message of commit {guilty}")}


def test_a_secret_behind_base64_is_found(repository: Path) -> None:
    hidden = base64.b64encode(kinds(4)["lyceum.bot"].encode()).decode()
    (repository / "data.json").write_text(f'{{"data": "{hidden}"}}')

    assert ("lyceum.bot", "data.json:1") in found(repository)


def test_files_that_git_ignores_are_left_alone(repository: Path) -> None:
    (repository / ".gitignore").write_text(".env\n")
    (repository / ".env").write_text(kinds(5)["lyceum.assigned"])
    (repository / "env").write_text(kinds(6)["lyceum.assigned"])

    assert found(repository) == {("lyceum.assigned", "env:1")}


def test_a_comment_silences_nothing_but_the_list_does(repository: Path) -> None:
    (repository / "key.py").write_text(kinds(7)["lyceum.assigned"].strip() + "  # kingfisher:ignore gitleaks:allow\n")
    (leak,) = leaks.leaks(repository)

    assert list(leaks.check(repository, {})) == [f"key.py:1: lyceum.assigned (SHA-256 {leak.digest})"]
    assert list(leaks.check(repository, {leak.digest: "a sample"})) == []


def test_a_sample_that_stands_nowhere_is_told(repository: Path) -> None:
    assert list(leaks.check(repository, {"ab12": "gone"})) == ["leaks.toml: ab12 stands nowhere any more"]


def test_a_shallow_clone_is_looked_at_as_far_as_it_goes(repository: Path, tmp_path: Path) -> None:
    (repository / "key").write_text(kinds(8)["lyceum.assigned"])
    commit(repository)
    (repository / "key").unlink()
    (repository / "other").write_text(kinds(9)["lyceum.assigned"])
    last = commit(repository)
    git(tmp_path, "clone", "--quiet", "--depth", "1", repository.as_uri(), "shallow")

    places = {leak.place for leak in leaks.leaks(tmp_path / "shallow")}
    assert places
    assert places <= {"other:1", f"other:1 in commit {last}"}
    assert "stands nowhere" not in "".join(leaks.check(tmp_path / "shallow", {"ab12": "further back"}))


def test_the_command_refuses_and_prints_no_secret(repository: Path) -> None:
    (repository / "scripts").mkdir()
    for name in ("leaks.py", "leaks.yml"):
        shutil.copy(ROOT / "scripts" / name, repository / "scripts")
    (repository / "scripts/leaks.toml").touch()
    secret = kinds(10)["lyceum.assigned"]
    command = [sys.executable, "scripts/leaks.py"]
    before = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    (repository / "key").write_text(secret)
    after = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)

    assert (before.returncode, before.stdout) == (0, "leaks: no secret in the files, nor in the history\n")
    assert after.returncode == 1
    assert after.stdout.startswith("key:1: lyceum.assigned (SHA-256 ")
    assert secret.strip().partition("=")[2] not in after.stdout + after.stderr


def test_a_scan_that_fails_is_no_clean_one(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "SCANNER", Path("/bin/true"))

    with pytest.raises(SystemExit, match="the scan of 1 commits failed"):
        leaks.leaks(repository)


def test_the_list_of_samples_is_short_and_gives_reasons() -> None:
    listed = leaks.samples(leaks.SAMPLES)

    assert len(listed) <= 12
    assert [digest for digest, why in listed.items() if len(digest) != 64 or len(why) < 20] == []


def test_lint_looks_for_secrets() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]

    assert "\t$(PY) scripts/leaks.py" in recipe.splitlines()
