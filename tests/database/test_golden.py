"""60 golden queries: what people type, and whom of a whole school they mean; in the first three of at least 57."""

import pytest
from sqlalchemy.orm import Session

from backend.database.crud.users import StudentCRUD
from backend.database.schemas.users import StudentFilters
from tests.factories import make_user

TOP, WANTED = 3, 57
FIRST = (
    "Анна", "Мария", "Екатерина", "Юлия", "Наталья", "Ольга", "Татьяна", "Ксения", "Полина", "Светлана", "Алёна",
    "Жанна", "Иван", "Сергей", "Дмитрий", "Алексей", "Андрей", "Фёдор", "Пётр", "Евгений", "Илья", "Юрий",
    "Михаил", "Тимур",
)  # fmt: skip
LAST = (
    "Орлов", "Ковалёв", "Щукин", "Цветков", "Соловьёв", "Хабаров", "Жуков", "Медведев", "Левитин", "Мартынов",
    "Чернышёв", "Юдин", "Яковлев", "Журавлёв", "Ефимов", "Шишкин", "Гончаров",
)  # fmt: skip
WOMEN = 12  # of FIRST
# The person meant -> what is typed.
QUERIES: dict[str, tuple[str, ...]] = {
    "Мария Ковалёва": (
        "Мария Ковалёва", "мария ковалева", "МАРИЯ КОВАЛЁВА", "ковалёва мария", "мар ковал", "maria kovaleva",
        "Mariya Kovalyova", "vfhbz rjdfktdf", "ьфкшф лщмфдумф", "Мария Кавалева", "марья ковалева", "мария ковлева",
    ),
    "Фёдор Щукин": (
        "фёдор щукин", "федор щукин", "ФЕДОР ЩУ", "fedor shchukin", "fyodor schukin", "atljh oerby", "щук фед",
        "фдор щукин", "федро щукин", "федор щюкин",
    ),
    "Юлия Цветкова": (
        "юлия цветкова", "julia tsvetkova", "yuliya tsvetkova", "юли цвет", "цв юл", ".kbz wdtnrjdf", "юлия цыеткова",
        "юлия цвткова", "Цветкова Ю", "iuliia cvetkova",
    ),
    "Евгений Хабаров": (
        "евгений хабаров", "evgeny khabarov", "Yevgeniy Habarov", "tdutybq [f,fhjd", "хаб евг", "евгеий хабаров",
        "евгений хабароов", "evgenii habarov",
    ),
    "Сергей Яковлев": (
        "@sergey_yakovlev", "sergey_yakovlev", "@sergey_ya", "сергей яколвев", "sergei iakovlev", "як серг",
    ),
    "Жанна Журавлёва": ("жанна журавлева", "zhanna zhuravleva", "ж журавл", ";fyyf ;ehfdktdf", "жана журавлева"),
    "Илья Соловьёв": ("илья соловьев", "ilya solovyov", "ilia soloviev", "илья соловёв", "418 220 907", "+418-220-907"),
    "Пётр Чернышёв": ("петр чернышев", "petr chernyshev", "gtnh xthysitd"),
}  # fmt: skip
HANDLES = {"Сергей Яковлев": {"username": "sergey_yakovlev"}, "Илья Соловьёв": {"telegram_id": 418_220_907}}


@pytest.fixture
def school(db: Session) -> dict[str, int]:
    """Everybody of every family: who is meant is one of four hundred, and not the newest."""
    made = {}
    for surname in LAST:
        for place, first in enumerate(FIRST):
            last = f"{surname}а" if place < WOMEN else surname
            name = f"{first} {last}"
            given = {"username": f"user{len(made)}x", "telegram_id": 500_000_000 + len(made) * 7} | HANDLES.get(
                name, {}
            )
            made[name] = make_user(db, first_name=first, last_name=last, **given).id
    return made


def test_the_queries_are_sixty() -> None:
    assert sum(map(len, QUERIES.values())) == 60


def test_golden_queries_find_their_person_in_the_first_three(db: Session, school: dict[str, int]) -> None:
    crud, missed = StudentCRUD(db), []
    for name, typed in QUERIES.items():
        for q in typed:
            found = [row.id for row in crud.get_all(StudentFilters(q=q, limit=TOP)).items]
            if school[name] not in found:
                missed.append(q)
    assert 60 - len(missed) >= WANTED, missed
    # A "c" is a "к" for us, and every Журавлёв begins with an Ж of his own. The same on both databases.
    assert missed == ["iuliia cvetkova", "ж журавл"]
