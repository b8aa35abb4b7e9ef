"""`python -m backend.bot`, killed without warning and started again."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.core.config import ROOT
from backend.database.models.orders import Payment
from backend.database.models.purchases import Purchase
from backend.database.models.system import Lease
from backend.sandbox.testing import served
from tests.bot.conftest import School
from tests.bot.test_payments import invoiced
from tests.conftest import SECRET
from tests.factories import make_lesson
from tests.figures import Figure

# Starting Python and aiogram takes seconds, on a busy machine many.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
BEGUN = 100.0
Start = Callable[[], "subprocess.Popen[bytes]"]


def environment(school: School, origin: str, folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": SECRET,
        "DATABASE_URL": f"sqlite:///{folder}/unused.db",
        "BASE_URL": origin,
        "TELEGRAM_BOT_TOKEN": school.account.token,
        "TELEGRAM_API_URL": school.box.api,
        "BOT_API_TOKEN": school.token,
        "SCHOOL_NAME": "Window Light",
    }


@pytest.fixture
def start(school: School, app: FastAPI, tmp_path: Path) -> Iterator[Start]:
    """Starts the bot as a process of its own."""
    processes: list[subprocess.Popen[bytes]] = []
    with served(app) as origin:
        env = environment(school, origin, tmp_path)

        def begin() -> "subprocess.Popen[bytes]":
            command = [sys.executable, "-m", "backend.bot"]
            processes.append(subprocess.Popen(command, cwd=ROOT, env=env))
            return processes[-1]

        yield begin
        for process in processes:
            process.kill()
            process.wait()


def test_a_killed_bot_loses_no_payment_and_grants_none_twice(
    school: School, start: Start, db: Session, figure: Figure
) -> None:
    for number in (1, 2):
        make_lesson(db, title=f"Lesson {number}", price=10 * number, text_content="Turn.")
    process = start()
    student = school.student("Olga")
    student.ask("/start", timeout=BEGUN)
    charges = []
    for number in (1, 2):
        invoiced(student, number)
        paid = student.pay()
        process.kill()
        assert process.wait() == -9
        charges.append((paid.charge_id, 10 * number))
        db.rollback()
        db.execute(delete(Lease))  # the dead one's lease would end in a quarter of a minute
        db.commit()
        process = start()
        student.wait(f"The lesson “Lesson {number}”", timeout=BEGUN)

    db.rollback()
    bought = db.execute(select(Purchase.payment_id, Purchase.amount).order_by(Purchase.id)).all()
    assert [tuple(each) for each in bought] == charges
    assert len(db.scalars(select(Payment)).all()) == 2
    figure("A8", "payments lost or granted twice by a killed bot", abs(len(charges) - len(bought)), "0", len(charges))


def test_it_ends_on_a_signal_and_gives_the_lease_back(school: School, start: Start, db: Session) -> None:
    process = start()
    student = school.student("Olga")
    assert student.ask("/start", timeout=BEGUN).text.startswith("Olga, welcome to Window Light.")

    process.terminate()

    assert process.wait(timeout=30.0) == 0
    assert db.scalars(select(Lease)).all() == []
    assert [line["confirmed"] for line in school.box.updates(school.account)] == [True]
