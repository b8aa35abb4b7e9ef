"""`doctor`: one weakness at a time, each told with its remedy; a school without any is told so."""

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from backend.cli import checkup, doctor
from backend.core import clock, security
from backend.core.config import Settings
from backend.core.events import Event
from backend.core.i18n import current_language
from backend.core.permissions import ADMIN, SYSTEM_ROLES, Permission
from backend.database import audit
from backend.database.crud.auth import ApiTokenCRUD
from backend.database.crud.credentials import CredentialCRUD
from backend.database.crud.dispatches import DispatchCRUD
from backend.database.crud.settings import SettingCRUD
from backend.database.crud.users import UserCRUD
from backend.database.models.audit import SecurityEvent
from backend.database.models.users import Role, User
from backend.database.session import Database
from tests.cli.conftest import Run
from tests.conftest import make_settings
from tests.factories import make_promo, make_user, save

KEY = "another-key-another-key-another-key-987654321"
HTTPS: dict[str, object] = {"base_url": "https://school.example", "trusted_proxies": "10.0.0.1"}


def weak(**changes: object) -> list[str]:
    values = {"secret_key": KEY, **changes}
    config = make_settings(str(values.pop("database_url", "sqlite:///./x.db")), Path("data"), **values)
    return [line.partition(":")[0].partition(" ")[0] for line in doctor.weak_settings(config)]


MAIL = {"smtp_url": "smtps://school:pass@mail.example", "mail_from": "school@school.example"}
FINE: dict[str, object] = {"telegram_bot_token": "123456:x", "api_rate_limit": 1200, **MAIL}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, []),
        ({"base_url": "http://school.example", "allow_http": True, "trusted_proxies": "10.0.0.1"}, ["BASE_URL"]),
        ({"base_url": "https://school.example"}, ["BASE_URL"]),
        ({"base_url": "https://school.example", "trusted_proxies": "10.0.0.1"}, []),
        ({"base_url": "https://school.example", "api_host": "0.0.0.0"}, ["BASE_URL"]),
        ({**HTTPS, "allow_http": True}, ["ALLOW_HTTP=1"]),
        ({"allow_http": True}, ["ALLOW_HTTP=1"]),
        ({**HTTPS, "require_2fa_roles": "nobody"}, ["REQUIRE_2FA_ROLES"]),
        ({**HTTPS, "require_2fa_roles": "Поддержка"}, ["REQUIRE_2FA_ROLES"]),
        ({"require_2fa_roles": "nobody"}, []),
        ({"secret_key": f"{KEY},{KEY[::-1]}"}, ["SECRET_KEY"]),
        ({"registration": True}, []),
        ({"registration": True, "smtp_url": ""}, ["No", "REGISTRATION"]),
        ({"smtp_url": "smtp://mail.example?tls=off"}, ["Emails"]),
        ({"smtp_url": "smtp://mail.example"}, []),
        ({"telegram_api_url": "http://bots.example"}, ["TELEGRAM_API_URL"]),
        ({"telegram_api_url": "http://127.0.0.1:8081"}, []),
        ({"redis_url": "redis://cache.example"}, ["Redis"]),
        ({"redis_url": "rediss://cache.example"}, []),
        ({"redis_url": "redis://redis"}, []),
        ({"redis_url": "redis://[2001:db8::7]:6379/0"}, ["Redis"]),
        ({"redis_url": "redis://[::1]:6379/0"}, []),
        ({"telegram_api_url": "http://[2001:db8::7]:8081"}, ["TELEGRAM_API_URL"]),
        ({"smtp_url": "smtp://[2001:db8::7]:25?tls=off"}, ["Emails"]),
        ({"debug": True}, ["DEBUG"]),
        ({"telegram_bot_token": "", "sandbox": True}, ["SANDBOX"]),
        ({"telegram_bot_token": ""}, ["No"]),
        ({"smtp_url": ""}, ["No"]),
        ({"api_rate_limit": 0}, ["API_RATE_LIMIT=0"]),
        ({"access_token_expire_minutes": 16}, ["ACCESS_TOKEN_EXPIRE_MINUTES"]),
        ({"trusted_proxies": "*"}, ["TRUSTED_PROXIES=*"]),
        ({"trusted_proxies": "0.0.0.0/0,10.0.0.1"}, ["TRUSTED_PROXIES=0.0.0.0/0"]),
        ({"trusted_proxies": "0.0.0.0/1,128.0.0.0/1"}, ["TRUSTED_PROXIES=0.0.0.0/1,128.0.0.0/1"]),
        ({"trusted_proxies": "::/0"}, ["TRUSTED_PROXIES="]),
        ({"trusted_proxies": "2000::/3"}, ["TRUSTED_PROXIES=2000"]),
        ({"trusted_proxies": "::ffff:0.0.0.0/96"}, ["TRUSTED_PROXIES="]),
        ({"trusted_proxies": "10.0.0.0/8,172.18.0.1,2001:db8::/32,proxy,::ffff:10.0.0.0/104"}, []),
        ({"admin_password": "tulip-kettle-orbit"}, ["ADMIN_PASSWORD"]),
        ({"admin_password": "password1234"}, ["ADMIN_PASSWORD", "ADMIN_PASSWORD"]),
        ({"database_url": "postgresql://lyceum@db/x"}, ["DATABASE_URL"]),
        ({"database_url": "postgresql://lyceum:postgres@db/x"}, ["DATABASE_URL"]),
        ({"database_url": "postgresql://lyceum@127.0.0.1/x"}, []),
        ({"database_url": "postgresql://lyceum:k3jh4g5@db.example/x"}, ["The"]),
        ({"database_url": "postgresql://lyceum:k3jh4g5@db.example/x?sslmode=verify-full"}, []),
        ({"database_url": "postgresql://lyceum:k3jh4g5@[2001:db8::7]/x"}, ["The"]),
        ({"database_url": "postgresql://lyceum:k3jh4g5@/x?host=db.example:5432"}, ["The"]),
        ({"database_url": "postgresql://lyceum:k3jh4g5@/x?host=db&host=[2001:db8::7]:5432"}, ["The"]),
        ({"database_url": "postgresql://lyceum:k3jh4g5@/x?host=localhost,db.example"}, ["The"]),
        ({"database_url": "postgresql://lyceum@/x?host=db.example"}, ["The", "DATABASE_URL"]),
        ({"database_url": "postgresql://lyceum:k3jh4g5@/x?host=/var/run/v1.5"}, []),
        ({"database_url": "postgresql://lyceum@/x"}, []),
    ],
)
def test_every_weak_setting_is_listed(changes: dict[str, object], named: list[str]) -> None:
    assert weak(**{**FINE, **changes}) == named


def reachable(db: Session) -> None:
    """Alerts come to the administrator by every way."""
    db.execute(update(User).values(email="anna@school.example", telegram_id=700))
    db.commit()


def private(database: Database) -> None:
    path = Path(database.engine.url.database or "")
    for file in path.parent.glob(f"{path.name}*"):
        file.chmod(0o600)


@pytest.mark.usefixtures("migrated")
def test_doctor_lists_and_counts(run: Run, db: Session, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "123456:x")
    monkeypatch.setenv("SMTP_URL", MAIL["smtp_url"])
    monkeypatch.setenv("MAIL_FROM", MAIL["mail_from"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    reachable(db)
    if database.is_sqlite:
        private(database)
    else:  # what makes the tests quick is a weakness
        db.execute(text(f'ALTER DATABASE "{database.engine.url.database}" RESET synchronous_commit'))
    done = run("doctor")
    if database.is_sqlite:
        assert (done.exit_code, done.stdout) == (0, "Nothing weak was found.\n")

    Path(".env").write_text("")
    Path(".env").chmod(0o644)
    db.scalars(select(User)).one().password_hash = None
    ApiTokenCRUD(db).issue("forgotten", frozenset({"users:read"}))
    ApiTokenCRUD(db).issue("built-in bot", frozenset({"bot"}))
    db.commit()
    done = run("doctor")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-4:] == [
        "- .env can be read by other users of this machine: chmod go= .env",
        "- admin has no password yet: set one in the settings.",
        "- The API token 'forgotten' was never used: revoke it in the settings.",
        "To fix: 3.",
    ]


@pytest.mark.usefixtures("migrated")
def test_one_weakness_is_one(run: Run, db: Session, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("the tests' PostgreSQL has no password")
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "123456:x")
    monkeypatch.setenv("SMTP_URL", MAIL["smtp_url"])
    monkeypatch.setenv("MAIL_FROM", MAIL["mail_from"])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    reachable(db)
    private(database)
    done = run("doctor")
    assert (done.exit_code, done.stdout.splitlines()) == (
        1, ["- Lyceum runs as root: run it as a user of its own.", "To fix: 1."],
    )  # fmt: skip


def found(config: Settings) -> list[str]:
    return list(checkup.weak_data(config))


def test_doctor_looks_into_the_database(settings: Settings, db: Session, tmp_path: Path) -> None:
    assert found(settings) == []
    db.scalars(select(User)).one().is_active = False
    db.commit()
    assert found(settings) == ["There is no administrator: python -m backend.cli create-admin"]
    nowhere = make_settings(f"sqlite:///{tmp_path}/none/x.db", tmp_path)
    assert found(nowhere)[0].startswith("The folder ")
    empty = make_settings(f"sqlite:///{tmp_path}/empty.db", tmp_path)
    assert found(empty)[0].startswith("The database is behind the program")


def test_doctor_reads_the_books(settings: Settings, db: Session) -> None:
    make_promo(db, code="SPRING", current_uses=3)
    db.commit()
    [line] = found(settings)
    assert line.startswith("The ledger does not balance: I3 promo codes whose counter is not the number of")


@pytest.mark.parametrize("first", [1, -8])
def test_doctor_sees_a_damaged_database(db: Session, database: Database, first: int) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL checks itself")
    db.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    db.close()
    database.dispose()
    path = Path(database.engine.url.database or "")
    content = bytearray(path.read_bytes())
    for page in range(first % (len(content) // 4096), len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(content)
    assert any("damaged" in line for line in checkup.damage(database))
    database.dispose()


@pytest.mark.parametrize(("free", "told"), [(40 * 10**9, []), (9 * 10**8, ["0.9"]), (20 * 10**9, ["20.0"])])
def test_little_room_on_the_disk_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, told: list[str]
) -> None:
    disk = SimpleNamespace(free=free, total=500 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: disk)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    lines = list(doctor.weak_files(make_settings(f"sqlite:///{tmp_path}/x.db", tmp_path / "data")))
    assert lines == [f"Only {size} GB are free on the disk of {Path().absolute()}: make room." for size in told]


# -- the state of the school

LONG = timedelta(days=200)


def unused_token(db: Session) -> None:
    token, _secret = ApiTokenCRUD(db).issue("website", frozenset({"users:read"}))
    token.last_used_at = clock.now() - timedelta(days=91)


def mighty_token(db: Session) -> None:
    token, _secret = ApiTokenCRUD(db).issue("website", frozenset({Permission.STAFF_WRITE.value}))
    token.last_used_at = clock.now()


def grown_old(db: Session) -> None:
    db.scalars(select(User)).one().created_at = clock.now() - LONG


def old_copy(db: Session) -> None:
    then = {"at": (clock.now() - timedelta(days=8)).isoformat(), "problem": None}
    for key in ("backup_made", "audit_verified"):
        SettingCRUD(db).put(key, then)


def broken_before(db: Session) -> None:
    SettingCRUD(db).put("audit_broken", {"problem": "Block 2 is missing.", "at": clock.now().isoformat()})


def unsealed(db: Session) -> None:
    grown_old(db)
    for key in ("backup_made", "audit_verified"):
        SettingCRUD(db).put(key, {"at": clock.now().isoformat(), "problem": None})
    audit.note(db, Event.LOGIN_SUCCESS)


def waiting_message(db: Session) -> None:
    then = clock.now() - timedelta(hours=2)
    DispatchCRUD(db).enqueue("a", chat_id=5, method="sendMessage", params={"text": "a"}, not_before=then)
    DispatchCRUD(db).enqueue("b", chat_id=5, method="sendMessage", params={"text": "b"})


def lost_secret(db: Session) -> None:
    other = make_settings("sqlite:///x.db", Path("data"), secret_key=KEY)
    CredentialCRUD(db).set_app(1, security.seal(other, "JBSWY3DPEHPK3PXP"), 1)


def future(db: Session) -> None:
    audit.note(db, Event.LOGIN_SUCCESS)
    db.execute(update(SecurityEvent).values(at=clock.now() + timedelta(minutes=5)))


@pytest.mark.parametrize(
    ("weaken", "told"),
    [
        (unused_token, ["The API token 'website' has not been used for 90 days: revoke it in the settings."]),
        (mighty_token, ["The API token 'website' may change staff, roles, tokens or settings"]),
        (
            grown_old,
            [
                "Nobody seals the history",
                "No backup for 200 days",
                "The history was not checked as a whole for 200 days",
            ],
        ),
        (old_copy, ["No backup for 8 days"]),
        (unsealed, ["Nobody seals the history"]),
        (broken_before, ["The history chain is broken: Block 2 is missing."]),
        (waiting_message, ["Messages that wait for more than an hour: 1."]),
        (lost_secret, ["Stored secrets that no key can decrypt: 1."]),
        (future, ["The clock is wrong by 29"]),
    ],
)
def test_each_neglect_of_the_school_is_told(
    settings: Settings, db: Session, weaken: Callable[[Session], None], told: list[str]
) -> None:
    weaken(db)
    reachable(db)
    lines = found(settings.model_copy(update={"telegram_bot_token": SecretStr("123456:x")}))
    assert [line[: len(start)] for line, start in zip(lines, told, strict=True)] == told


def test_the_people_of_the_demo_school_make_no_school_old(settings: Settings, db: Session) -> None:
    guest = make_user(db, created_at=clock.now() - LONG)
    assert "No backup for 200 days" in str(found(settings))
    SettingCRUD(db).put("demo", {"ids": {"users": [[guest.id, guest.id]]}})
    db.commit()
    assert "No backup" not in str(found(settings))


def test_administrators_on_https_have_a_second_factor(settings: Settings, db: Session) -> None:
    there = settings.model_copy(update={"base_url": "https://school.example"})
    assert found(there) == ["admin is an administrator without a second factor: set one up under Security."]
    CredentialCRUD(db).set_app(1, security.seal(settings, "JBSWY3DPEHPK3PXP"), 1)
    db.commit()
    assert found(there) == []


def test_an_administrator_is_one_by_their_rights(settings: Settings, db: Session) -> None:
    CredentialCRUD(db).set_app(1, security.seal(settings, "JBSWY3DPEHPK3PXP"), 1)
    save(db, Role(name="Owner2", permissions=sorted(SYSTEM_ROLES[ADMIN])))
    UserCRUD(db).create_staff(login="boris", password_hash="x", role="Owner2", first_name="Boris")
    db.commit()
    there = settings.model_copy(update={"base_url": "https://school.example"})
    assert found(there) == ["boris is an administrator without a second factor: set one up under Security."]


def test_roles_that_nobody_has_ask_for_nothing(db: Session, settings: Settings, tmp_path: Path) -> None:
    save(db, Role(name="Куратор", permissions=[]))
    names = "admin, Manager, куратор, Supporter, nobody"
    lines = found(make_settings(settings.database_url, tmp_path, require_2fa_roles=names))
    assert [line.partition(",")[0] for line in lines] == [
        "REQUIRE_2FA_ROLES names 'Supporter'", "REQUIRE_2FA_ROLES names 'nobody'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        ({}, {}, "first", False),  # other lines tell of that
        (MAIL, {}, "first", True),
        (MAIL, {"email": "anna@school.example"}, "first", False),
        (MAIL, {"email": "anna@school.example"}, "chat", True),
        (MAIL, {"telegram_id": 700}, "both", True),
        ({"telegram_bot_token": "123456:x"}, {"email": "anna@school.example"}, "email", True),
        ({"telegram_bot_token": "123456:x"}, {"email": "anna@school.example", "telegram_id": 700}, "first", False),
        ({"telegram_bot_token": "123456:x"}, {"telegram_id": 700, "blocked_bot_at": clock.now()}, "chat", True),
    ],
)
def test_alerts_that_reach_nobody_are_told(
    settings: Settings, db: Session, tmp_path: Path, case: tuple[dict[str, object], dict[str, object], str, bool]
) -> None:
    channels, address, way, told = case
    db.execute(update(User).values(**address))
    SettingCRUD(db).put("alert_choice", {"alerts": [], "alert_way": way})
    db.commit()
    lines = found(make_settings(settings.database_url, tmp_path, **channels))
    assert [line.partition(":")[0] for line in lines] == (["Alerts reach nobody"] if told else [])


def test_a_database_that_forgets_is_told(settings: Settings, database: Database) -> None:
    lost = [] if database.is_sqlite else ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
    told = [line.partition("(")[2].partition(")")[0] for line in checkup.weak_storage(settings)]
    assert set(told) <= set(lost)  # a server of the tests may be a durable one
    assert list(checkup.weak_storage(make_settings("sqlite:////no/such/x.db", Path("data")))) == []


@pytest.mark.usefixtures("migrated")
def test_a_backup_is_remembered_and_russian_terminals_are_told_in_russian(
    run: Run, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_copy(db)
    db.commit()
    monkeypatch.setenv("LC_ALL", "ru_RU.UTF-8")
    assert "- Дней без резервной копии: 8." in run("doctor").stdout
    assert run("backup", "x.tar.gz").exit_code == 0
    done = run("doctor").stdout
    assert ("резервной копии" in done, done.splitlines()[-1].partition(":")[0]) == (False, "Исправить")
    assert current_language.get() == "en"
