from pathlib import Path

import pytest

from scripts import check_style


def written(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return root


def messages(root: Path) -> list[str]:
    """The problems without their places."""
    return [problem.split(": ", 1)[1] for problem in check_style.check(root)]


@pytest.mark.parametrize(
    ("html", "message"),
    [
        ('<p style="color: red">', "an inline style: the CSP drops it, use a class"),
        ("<style>p {}</style>", "an inline <style>: the CSP drops it"),
        ("<a onclick='go()'>", "an inline event handler: bind it in static/js"),
        (
            "<script>go()</script>",
            "an inline <script>: the CSP drops it, use a module in static/js",
        ),
        ('<a hx-on:click="go()">', "hx-on needs eval, which the CSP forbids"),
        ("<a hx-vals='js:{a: 1}'>", "js: needs eval, which the CSP forbids"),
        ('<a href="javascript:go()">', "js: needs eval, which the CSP forbids"),
        ('<a hx-trigger="click[ctrlKey]">', "an event filter needs eval (CSP)"),
        ('<div hx-ext="sse">', "an attribute of htmx 2 that htmx 4 does not know"),
        ('<a hx-disabled-elt="this">', "an attribute of htmx 2 that htmx 4 does not know"),
        ('<div sse-connect="/live">', "an attribute of htmx 2: write hx-sse:connect"),
        (
            '<script src="https://cdn.example/a.js"></script>',
            "a file from another host: put it into static/vendor",
        ),
    ],
)
def test_what_the_csp_or_htmx_4_forbids_is_found_in_templates(tmp_path: Path, html: str, message: str) -> None:
    root = written(tmp_path, "templates/lessons/index.html", f"<h1></h1>\n{html}\n")
    assert check_style.check(root) == [f"templates/lessons/index.html:2: {message}"]


@pytest.mark.parametrize(
    "html",
    [
        '<script type="module" src="{{ static("js/app.js") }}"></script>',
        '<script type="application/json" id="chart">{}</script>',
        '{# onclick= and style="..." in a comment #}',
        "{% set style = 1 %}{% set one = 2 %}{{ button(once=1, style='x') }}",
        '<a hx-get="/x" hx-trigger="click delay:150ms" hx-disable="this">',
    ],
)
def test_harmless_templates_pass(tmp_path: Path, html: str) -> None:
    assert check_style.check(written(tmp_path, "templates/a.html", html)) == []


def test_safe_may_stand_in_one_place(tmp_path: Path) -> None:
    root = written(tmp_path, "templates/a.html", "{{ a|safe }}\n")
    assert messages(root) == []
    written(tmp_path, "templates/b.html", "{{ b | safe }}\n")
    assert messages(root) == ["|safe, which one place alone may use (templates/a.html:1)"]


@pytest.mark.parametrize(
    ("name", "lines", "budget"),
    [
        ("backend/a.py", 401, 400),
        ("static/js/a.js", 401, 400),
        ("static/css/a.css", 401, 400),
        ("templates/a.html", 121, 120),
    ],
)
def test_files_over_the_budget_are_found(tmp_path: Path, name: str, lines: int, budget: int) -> None:
    root = written(tmp_path, name, "\n" * lines)
    assert messages(root) == [f"{lines} lines, the budget is {budget}: make it two files"]
    assert messages(written(tmp_path, name, "\n" * budget)) == []


def test_vendored_files_have_no_budget(tmp_path: Path) -> None:
    assert messages(written(tmp_path, "static/vendor/a.js", "eval(1)\n" * 500)) == []


def function(name: str, lines: int) -> str:
    return f"def {name}() -> None:\n" + "    a = 1\n" * (lines - 1)


def test_a_function_over_sixty_lines_is_found(tmp_path: Path) -> None:
    short = "".join(function(f"short_{number}", 2) for number in range(50))
    root = written(tmp_path, "backend/a.py", short + function("long", 61))
    assert check_style.check(root) == ["backend/a.py:101: long has 61 lines, the budget is 60"]


def test_many_functions_over_forty_lines_are_found(tmp_path: Path) -> None:
    root = written(tmp_path, "backend/a.py", function("f", 41) + function("g", 5))
    assert check_style.check(root) == ["one function in twenty has 41 lines or more, the budget is 40"]


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "# noqa: S104",
        "# type: ignore",
        "# type: ignore[arg-type]",
        "# pragma: no cover",
        "# ruff: noqa",
        "# noqa: S104 - compared, not bound  # type: ignore[arg-type]",
    ],
)
def test_an_opt_out_without_code_or_reason_is_found(tmp_path: Path, comment: str) -> None:
    root = written(tmp_path, "backend/a.py", f"a = 1  {comment}\n")
    assert messages(root) == [
        ("an opt-out needs a code and a reason: # noqa: S104 - why, or # type: ignore[arg-type] # why")
    ]


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa: S104 - compared, not bound",
        "# type: ignore[arg-type,call-arg] # pydantic checks the values",
        "# pragma: no cover - the process is killed here",
        "# an ordinary remark",
    ],
)
def test_an_opt_out_with_a_reason_passes(tmp_path: Path, comment: str) -> None:
    assert messages(written(tmp_path, "backend/a.py", f"a = 1  {comment}\n")) == []


def test_an_undated_migration_is_found(tmp_path: Path) -> None:
    written(tmp_path, "migrations/versions/2026-11-21-1030_create_lessons.py", "")
    root = written(tmp_path, "migrations/versions/8f3a_create_users.py", "")
    assert messages(root) == ["write 2026-11-21-1030_create_lessons.py"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("on('htmx:afterSwap')", "an event name of htmx 2: write htmx:after:swap"),
        ("htmx.addClass(a)", "a function of htmx 2"),
        ("eval('1')", "eval, which the CSP forbids"),
    ],
)
def test_leftovers_of_htmx_2_are_found_in_scripts(tmp_path: Path, script: str, message: str) -> None:
    root = written(tmp_path, "static/js/a.js", f"{script}\n")
    assert check_style.check(root) == [f"static/js/a.js:1: {message}"]


def test_a_class_belongs_to_one_file_of_styles(tmp_path: Path) -> None:
    own = "@layer parts { .ly-card { color: red } }"
    elsewhere = "@layer pages {\n  @media print { .ly-card { color: blue } }\n  .ly-page .ly-card { color: blue }\n"
    written(tmp_path, "static/css/60-parts.css", own)
    written(tmp_path, "static/css/70-pages.css", elsewhere + "}")
    assert check_style.check(tmp_path) == []
    written(tmp_path, "static/css/70-pages.css", elsewhere + "  .ly-card { color: blue }\n}")
    assert check_style.check(tmp_path) == [
        "static/css/70-pages.css:4: .ly-card is a class of static/css/60-parts.css already"
    ]
