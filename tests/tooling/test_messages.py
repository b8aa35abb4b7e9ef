import json
from pathlib import Path

import pytest

from scripts import messages

PYTHON = '_("Lesson saved")\nngettext("%(num)s lesson", "%(num)s lessons", n)\n_(label)\n'
TEMPLATE = '<h1>{{ _("Lessons") }}</h1>{% trans name=a %}Hello, <b>{{ name }}</b>{% endtrans %}'
RUSSIAN = {
    "Lesson saved": "Урок сохранён",
    "Lessons": "Уроки",
    "Hello, <b>%(name)s</b>": "Здравствуйте, <b>%(name)s</b>",
    "%(num)s lesson": ["%(num)s урок", "%(num)s урока", "%(num)s уроков"],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Four texts, all translated."""
    for folder in ("backend", "templates"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "backend/a.py").write_text(PYTHON)
    (tmp_path / "templates/a.html").write_text(TEMPLATE)
    translate(tmp_path, RUSSIAN)
    return tmp_path


def translate(root: Path, texts: dict[str, str | list[str]]) -> list[str]:
    file = root / "texts.json"
    file.write_text(json.dumps(texts, ensure_ascii=False))
    messages.extract(root)
    return messages.fill(root, file)


def test_a_complete_catalogue_passes(project: Path) -> None:
    assert messages.check(project) == []


def test_the_catalogue_is_sorted_and_names_files_without_lines_or_dates(project: Path) -> None:
    po = messages.catalogue_path(project).read_text()
    assert [line for line in po.splitlines() if line.startswith(("#:", "msgid "))] == [
        'msgid ""',
        "#: backend/a.py",
        'msgid "%(num)s lesson"',
        "#: templates/a.html",
        'msgid "Hello, <b>%(name)s</b>"',
        "#: backend/a.py",
        'msgid "Lesson saved"',
        "#: templates/a.html",
        'msgid "Lessons"',
    ]
    assert "-Date" not in po
    messages.extract(project)
    assert messages.catalogue_path(project).read_text() == po


def test_an_untranslated_text_is_found(project: Path) -> None:
    (project / "templates/b.html").write_text('{{ _("New") }}')
    assert messages.check(project) == ["untranslated: 'New' (templates/b.html)"]
    messages.extract(project)
    assert messages.check(project) == ["untranslated: 'New' (templates/b.html)"]


def test_a_stale_text_is_found_and_then_dropped(project: Path) -> None:
    (project / "backend/a.py").write_text('_("Lesson saved")\n')
    assert messages.check(project) == ["stale: ('%(num)s lesson', '%(num)s lessons')"]
    messages.extract(project)
    assert messages.check(project) == []
    assert "lesson" not in messages.catalogue_path(project).read_text()


def test_a_fuzzy_text_is_found(project: Path) -> None:
    path = messages.catalogue_path(project)
    path.write_text(path.read_text().replace('msgid "Lessons"', '#, fuzzy\nmsgid "Lessons"'))
    assert messages.check(project) == ["fuzzy: 'Lessons' (templates/a.html)"]


def test_other_placeholders_and_tags_are_found(project: Path) -> None:
    hello = "Hello, <b>%(name)s</b>"
    translate(project, RUSSIAN | {hello: "Здравствуйте, <i>%(nam)s</i>"})
    assert messages.check(project) == [
        f"other placeholders in the translation: {hello!r} (templates/a.html)",
        f"other tags in the translation: {hello!r} (templates/a.html)",
    ]


def test_a_plural_form_without_its_number_is_found(project: Path) -> None:
    translate(project, RUSSIAN | {"%(num)s lesson": ["Урок", "%(num)s урока", "%(num)s уроков"]})
    lesson = ("%(num)s lesson", "%(num)s lessons")
    assert messages.check(project) == [f"other placeholders in the translation: {lesson!r} (backend/a.py)"]


def test_a_text_that_no_tool_can_read_is_found(project: Path) -> None:
    (project / "backend/b.py").write_text('_(f"Hello {name}")\n')
    assert messages.check(project) == ["backend/b.py:1: _() needs a plain string; fill it afterwards"]


def test_a_translation_that_nobody_uses_is_reported(project: Path) -> None:
    assert translate(project, {"Gone": "Нет"}) == ["nobody uses 'Gone'"]


def test_a_plural_with_a_plain_translation_is_reported(project: Path) -> None:
    assert translate(project, {"%(num)s lesson": "урок"}) == ["'%(num)s lesson' needs the other kind: plural or plain"]


def test_translations_survive_a_second_extraction(project: Path) -> None:
    messages.extract(project)
    assert messages.check(project) == []
