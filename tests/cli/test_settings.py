"""Settings that cannot be: each is one sentence that names the variable and the remedy."""

from pathlib import Path

import pytest

from backend.cli import serving
from backend.cli.console import sentence
from tests.cli.conftest import Run
from tests.conftest import make_settings

SETTINGS: list[tuple[dict[str, str], str]] = [
    ({"API_PORT": "http"}, "API_PORT must be a whole number, not 'http'."),
    ({"API_PORT": "70000"}, "API_PORT must be 65535 or less, not 70000."),
    ({"THREADS": "0"}, "THREADS must be 1 or more, not 0."),
    ({"DEBUG": "maybe"}, "DEBUG must be 1 or 0, not 'maybe'."),
    ({"BOT_MODE": "loud"}, "BOT_MODE must be one of auto, web, process, off."),
    ({"SECRET_KEY": "your-secret-key-here"}, "SECRET_KEY must be at least 32 random characters."),
    ({"SECRET_KEY": "a" * 40}, "SECRET_KEY must be at least 32 random characters."),
    ({"SECRET_KEY": "change-me" * 5}, "SECRET_KEY must be at least 32 random characters."),
    ({"SECRET_KEY": "your-secret-key-for-sessions-min-32-chars"}, "SECRET_KEY must be at least 32 random characters."),
    ({"SECRET_KEY": "Xq3vN8tLr2Zp6Wk9Yd4Hs7Gf1Jm5Bc0A,short"}, "SECRET_KEY must be at least 32 random characters."),
    ({"ADMIN_SECRET_KEY": "your-secret-key-here"}, "ADMIN_SECRET_KEY must be at least 32 random characters."),
    ({"TELEGRAM_WEBHOOK_SECRET": "secret"}, "TELEGRAM_WEBHOOK_SECRET must be 16 to 256 random letters"),
    ({"TELEGRAM_WEBHOOK_SECRET": "no spaces are allowed"}, "TELEGRAM_WEBHOOK_SECRET must be 16 to 256 random letters"),
    ({"TELEGRAM_WEBHOOK_SECRET": "secure_password_123"}, "TELEGRAM_WEBHOOK_SECRET must be 16 to 256 random letters"),
    ({"TELEGRAM_API_URL": "api.telegram.org"}, "TELEGRAM_API_URL must start with http:// or https://, or be empty"),
    ({"REDIS_URL": "localhost:6379"}, "REDIS_URL must start with redis:// or rediss:// or unix://, or be empty"),
    ({"BASE_URL": "school.example"}, "BASE_URL must be the address of the whole site"),
    ({"BASE_URL": "https://school.example/crm"}, "BASE_URL must be the address of the whole site"),
    ({"BASE_URL": "https://school.example:port"}, "BASE_URL must be the address of the whole site"),
    ({"BASE_URL": "ftp://school.example"}, "BASE_URL must be the address of the whole site"),
    ({"SANDBOX": "1", "BASE_URL": "https://school.example"}, "SANDBOX answers this machine only"),
    ({"DEBUG": "1", "API_HOST": "0.0.0.0", "BASE_URL": "https://school.example"}, "DEBUG shows internals"),
    ({"API_RATE_LIMIT": "-1"}, "API_RATE_LIMIT must be 0 or more, not -1."),
    ({"ACCESS_TOKEN_EXPIRE_MINUTES": "0"}, "ACCESS_TOKEN_EXPIRE_MINUTES must be 1 or more, not 0."),
    ({"ADMIN_PASSWORD": "admin123"}, "ADMIN_PASSWORD must have at least 12 characters and not be a sample;"),
    ({"TELEGRAM_BOT_TOKEN": "your-bot-token"}, "TELEGRAM_BOT_TOKEN must be the token from @BotFather"),
    ({"SANDBOX": "1", "TELEGRAM_BOT_TOKEN": "1:x"}, "SANDBOX and TELEGRAM_BOT_TOKEN exclude each other"),
    ({"SMTP_URL": "mail.example:587"}, "SMTP_URL must look like smtp://user:password@mail.example:587"),
    ({"SMTP_URL": "smtp://mail.example:70000"}, "SMTP_URL must look like smtp://user:password@mail.example:587"),
    ({"SMTP_URL": "smtp://school@mail.example"}, "SMTP_URL must have both a user and a password, or neither"),
    ({"SMTP_URL": "smtp://mail.example?ssl=1"}, "SMTP_URL knows ?tls=off and nothing else"),
    ({"SMTP_URL": "smtp://a:b@mail.example?tls=off"}, "SMTP_URL would send the password in the clear"),
    ({"SMTP_URL": "smtp://mail.example"}, "SMTP_URL needs a sender: set MAIL_FROM"),
    ({"MAIL_FROM": "School"}, "MAIL_FROM must be one address"),
    ({"MAIL_FROM": "a@b.example, c@d.example"}, "MAIL_FROM must be one address"),
    ({"GOOGLE_CLIENT_ID": "x"}, "GOOGLE_CLIENT_ID, GOOGLE_CLIENT_SECRET belong together: set all or none."),
    ({"OIDC_CLIENT_ID": "x", "OIDC_CLIENT_SECRET": "y"}, "OIDC_CLIENT_ID, OIDC_CLIENT_SECRET and OIDC_ISSUER belong"),
    ({"OIDC_ISSUER": "http://id.example"}, "OIDC_ISSUER must be the https:// address"),
    ({"API_HOST": "0.0.0.0"}, "API_HOST is reachable from outside: set BASE_URL"),
    ({"BASE_URL": "http://school.example"}, "BASE_URL is plain http outside this machine"),
    ({"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL must start with sqlite:/// or postgresql://"),
    ({"ALGORITHM": "none"}, "ALGORITHM must be HS256, HS384 or HS512"),
    (
        {"API_PORT": "x", "THREADS": "x"},
        "The settings cannot be used:\n  - API_PORT must be a whole number, not 'x'.\n",
    ),
    ({"DATABASE_URL": "sqlite:////no/such/folder/x.db"}, "The folder /no/such/folder for the database does not exist"),
    ({"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}, "The database at 127.0.0.1:1 does not let us in"),
    ({"DATABASE_URL": "postgresql://h:port/x"}, "DATABASE_URL is no database address"),
    ({"API_HOST": "192.0.2.1", "BASE_URL": "https://school.example"}, "Port "),
    ({"API_HOST": "no.such.host.invalid", "BASE_URL": "https://school.example"}, "API_HOST=no.such.host.invalid is no"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "told"), SETTINGS, ids=lambda value: str(value)[:40])
@pytest.mark.usefixtures("folder")
def test_a_bad_setting_is_named_with_its_remedy(
    run: Run, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], told: str
) -> None:
    monkeypatch.setenv("API_PORT", "0")
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    done = run("serve")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(told)
    assert not [value for name, value in changes.items() if name.endswith(SECRETS) and value in done.stderr]


SECRETS = ("KEY", "PASSWORD", "SECRET", "TOKEN")


def test_a_file_that_is_no_database_is_told_so(run: Run, folder: Path) -> None:
    (folder / "lyceum.db").write_text("this is a shopping list, not a database at all " * 30)
    done = run("serve")
    assert done.stderr == "./lyceum.db is no database that Lyceum can open (file is not a database).\n"


def test_a_data_folder_that_cannot_be_made_is_told_so(run: Run, folder: Path) -> None:
    (folder / "data").write_text("in the way")
    done = run("serve", "--no-demo")
    assert (done.exit_code, done.stderr.endswith("make DATA_DIR a writable folder.\n")) == (1, True)


def test_a_port_of_the_system_is_told_so() -> None:
    config = make_settings("sqlite:///x.db", Path("data"), api_port=80)
    assert serving._why_not(config, PermissionError()) == (
        "Port 80 is reserved for the system: choose another, API_PORT=8000."
    )


def test_a_problem_of_another_kind_is_told_as_it_is() -> None:
    problem = {"type": "other", "loc": ("threads",), "msg": "Input is odd", "input": 1}
    assert sentence(problem) == "THREADS: Input is odd."
    assert sentence({**problem, "type": "missing", "loc": ("secret_key",)}) == (
        "SECRET_KEY is not set: `make run` makes one, or write it into .env (docs/configuration.md says how)"
    )
    assert sentence({**problem, "type": "value_error", "msg": "Value error, too odd"}) == "THREADS: too odd."
