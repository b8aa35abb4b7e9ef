"""No engine here: the files are read, and what they promise each other is compared."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.core.config import Settings
from tests.conftest import SECRET

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
FIELDS = frozenset(Settings.model_fields)
OURS = [name for name, service in SERVICES.items() if "build" in service]


def names(profile: str) -> set[str]:
    return {name for name, service in SERVICES.items() if profile in service["profiles"]}


def test_there_are_a_dev_and_a_prod_profile() -> None:
    assert names("dev") == {"dev"}
    assert names("prod") == {"migrate", "web", "worker", "postgres", "redis"}
    assert names("bot") == {"bot"}


def test_every_dependency_waits_for_health_or_for_an_end() -> None:
    for service in SERVICES.values():
        for other, wait in service.get("depends_on", {}).items():
            if other == "migrate":
                assert wait == {"condition": "service_completed_successfully"}
                continue
            assert wait == {"condition": "service_healthy"}
            checked = "healthcheck" in SERVICES[other] or "HEALTHCHECK" in DOCKERFILE
            assert checked
            assert SERVICES[other].get("healthcheck") != {"disable": True}


def test_named_volumes_are_declared() -> None:
    used = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
        if not volume.startswith(".")
    }
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", OURS)
def test_our_containers_are_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_only_the_web_is_published_and_to_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"web": ["127.0.0.1:${API_PORT:-8000}:8000"]}


def test_no_password_is_written_down() -> None:
    text = (ROOT / "docker-compose.yml").read_text() + DOCKERFILE
    named = re.compile(r"^\s*(\w*(?:PASSWORD|SECRET|TOKEN)\w*)[:=] ?(\S*)", re.MULTILINE)
    for name, value in named.findall(text):
        assert value in ("", '""', "${POSTGRES_PASSWORD:-}"), name


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert "--require-hashes -r requirements.txt" in DOCKERFILE
    assert "/health" in DOCKERFILE


def test_nobody_else_reads_the_data_and_the_image_says_what_is_inside() -> None:
    assert "install -d -o lyceum -g lyceum -m 0700 /app/data" in DOCKERFILE
    assert "python scripts/sbom.py sbom.cdx.json" in DOCKERFILE


def test_every_way_of_starting_makes_schema_roles_and_the_first_sign_in_link() -> None:
    commands = {name: service.get("command") for name, service in SERVICES.items() if name in OURS}
    serve = ["python", "-m", "backend.cli", "serve"]
    assert commands.pop("migrate") == ["python", "-m", "backend.cli", "migrate"]
    assert commands.pop("web") == [*serve, "--workers", "${WEB_WORKERS:-2}"]
    assert commands.pop("dev") is None
    assert json.loads(DOCKERFILE.rpartition("\nCMD ")[2]) == serve
    assert commands == {"worker": ["python", "-m", "backend.jobs"], "bot": ["python", "-m", "backend.bot"]}


@pytest.mark.parametrize("name", OURS)
def test_a_container_has_settings_that_the_start_accepts(name: str) -> None:
    """Those of the image, of .env (what a school must choose) and of the service, in the order of Docker."""
    image = dict(re.findall(r"(\w+)=(\S+)", DOCKERFILE[DOCKERFILE.index("ENV PATH") : DOCKERFILE.index("USER ")]))
    chosen = {"SECRET_KEY": SECRET, "BASE_URL": "https://school.example"} | {"TELEGRAM_BOT_TOKEN": "123456:x"}
    service = {key: default(value) for key, value in SERVICES[name].get("environment", {}).items()}
    values = {key.lower(): value for key, value in (image | chosen | service).items() if key.lower() in FIELDS}
    settings = Settings(_env_file=None, **values)
    assert str(settings.data_dir) == "/app/data"
    assert settings.api_host in ("0.0.0.0", "127.0.0.1")
    assert settings.sandbox is (name == "dev")


def test_the_bot_asks_the_school_beside_it() -> None:
    """And not through the proxy in front of both, whose name may mean nothing inside."""
    assert SERVICES["bot"]["environment"]["SCHOOL_API_URL"] == "http://web:8000"


def test_the_image_opens_its_own_files_to_its_user(tmp_path: Path) -> None:
    """Jinja's compiled templates are their maker's alone, and so is a clone under `umask 077`; data stay closed."""
    (command,) = re.findall(r"&& (find .+ chmod .+)", DOCKERFILE)
    for folder, name in (("templates", "page.jinja"), ("data", "lyceum.db")):
        (tmp_path / folder).mkdir(mode=0o700)
        (tmp_path / folder / name).touch(mode=0o600)
    subprocess.run(shlex.split(command), cwd=tmp_path, check=True)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*")}
    assert modes == {"templates": "0o755", "page.jinja": "0o644", "data": "0o700", "lyceum.db": "0o600"}


def default(value: str) -> str:
    """What Compose puts in when .env says nothing."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def test_the_image_takes_nothing_that_is_not_named() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert lines[0] == "*"
    assert allowed == {
        *("backend", "main.py", "migrations", "alembic.ini", "locales", "static", "templates"),
        *("requirements.txt", "LICENSE"),
        *("pyproject.toml", "vendor.lock.json", "scripts/sbom.py"),  # what the bill of materials is made of
    }


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z0-9_]+=", line))


def test_the_example_names_every_setting_and_no_secret() -> None:
    settings = {name.upper() for name in Settings.model_fields}
    assert set(example()) == settings | {"POSTGRES_PASSWORD"}
    secret = re.compile(r"SECRET|PASSWORD|TOKEN$")
    assert {value for name, value in example().items() if secret.search(name)} == {""}


def test_the_example_loads_with_its_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    key = "0123456789abcdefghijklmnopqrstuvwxyz"
    ours = Settings(_env_file=ROOT / ".env.example", secret_key=key)
    assert ours.model_dump() == Settings(_env_file=None, secret_key=key).model_dump()
