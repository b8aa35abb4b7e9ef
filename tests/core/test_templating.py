"""render, toasts, addresses and the navigation, on the real environment with a made-up domain."""

import re
from collections.abc import Iterator

import pytest
import time_machine
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from jinja2 import UndefinedError
from markupsafe import Markup
from selectolax.lexbor import LexborHTMLParser as HTMLParser
from selectolax.lexbor import LexborNode as Node

from backend.core import clock, templating
from backend.core.atoms import badge, icon, person
from backend.core.context import Principal
from backend.core.static import assets
from backend.core.templating import FLASH_COOKIE, env
from tests.core.gallery import ME, make_gallery

THINGS = "/dashboard/things/"
SWAP = {
    "HX-Request": "true",
    "HX-Request-Type": "partial",
    "HX-Current-URL": "http://testserver/dashboard/things/?q=a",
}


@pytest.fixture
def gallery() -> FastAPI:
    return make_gallery()


@pytest.fixture
def client(gallery: FastAPI) -> Iterator[TestClient]:
    with TestClient(gallery, follow_redirects=False) as client:
        yield client


def one(tree: HTMLParser | Node, selector: str) -> Node:
    found = tree.css(selector)
    assert len(found) == 1, f"{selector}: {len(found)} times"
    return found[0]


def text_of(client: TestClient, path: str, selector: str, **options: object) -> str:
    return one(HTMLParser(client.get(path, **options).text), selector).text(strip=True)  # type: ignore[arg-type] # httpx's own


@time_machine.travel("2026-11-21T08:12:30Z", tick=False)
def test_one_address_answers_a_page_or_a_fragment(client: TestClient) -> None:
    page, part = client.get(THINGS), client.get(THINGS, headers=SWAP)
    assert (page.headers["Vary"], part.headers["Vary"]) == ("HX-Request-Type", "HX-Request-Type")
    assert page.text.startswith("<!doctype html>")
    assert "<html" not in part.text
    tree = HTMLParser(page.text)
    rows = [row.html for row in tree.css("#list-rows tr")]
    assert len(rows) == 25
    assert [row.html for row in HTMLParser(part.text).css("#list-rows tr")] == rows


def test_a_full_request_of_htmx_is_answered_with_a_page(client: TestClient) -> None:
    page = client.get(THINGS, headers=SWAP | {"HX-Request-Type": "full"})
    assert page.text.startswith("<!doctype html>")


def test_a_page_says_language_theme_token_and_who_is_here(client: TestClient) -> None:
    tree = HTMLParser(client.get(THINGS, params={"theme": "dark"}).text)
    assert one(tree, "html").attributes == {"lang": "en", "data-bs-theme": "dark"}
    assert one(tree, "body").attributes == {"hx-headers:inherited": '{"X-CSRF-Token": "token-1"}'}
    assert one(tree, "title").text() == "Students · Lyceum"
    assert one(tree, "#profile .ly-pop-who").text(separator="|", strip=True) == "Анна Соколова|anna"
    forms = tree.css("form[method=post]")
    assert all(one(form, "input[name=csrf_token]").attributes["value"] == "token-1" for form in forms)
    assert len(forms) == 3


def test_the_system_decides_the_theme_of_those_who_chose_none(client: TestClient) -> None:
    assert one(HTMLParser(client.get(THINGS).text), "html").attributes == {"lang": "en"}


def test_values_are_escaped_in_pages_and_fragments() -> None:
    hostile = "<img src=x onerror=alert(1)>\"'"
    me = Principal(**{**ME.__dict__, "name": hostile})
    with TestClient(make_gallery(me, school_name=hostile)) as client:
        for path in (THINGS, f"{THINGS}?q=nobody%22%3E%3Cscript%3E", "/login"):
            text = client.get(path).text
            assert "<img src=x" not in text
            assert '"><script>' not in text


def test_a_missing_value_is_an_error_not_an_empty_place() -> None:
    with pytest.raises(UndefinedError):
        env.from_string("{{ nobody.name }}").render()


# --- lists -------------------------------------------------------------------


def test_a_choice_and_a_first_letter_add_a_step_to_the_history_and_the_next_letters_none(client: TestClient) -> None:
    chosen = client.get(f"{THINGS}?q=&status=good&spent_min=", headers=SWAP | {"HX-Source": "a"})
    assert chosen.headers["HX-Push-Url"] == f"{THINGS}?status=good"
    assert "HX-Replace-Url" not in chosen.headers
    begun = {"HX-Source": "input#q", "HX-Current-URL": f"http://127.0.0.1:8000{THINGS}?status=good"}
    first = client.get(f"{THINGS}?q=a&status=good", headers=SWAP | begun)
    assert first.headers["HX-Push-Url"] == f"{THINGS}?q=a&status=good"
    on = {"HX-Source": "input#q", "HX-Current-URL": f"http://127.0.0.1:8000{THINGS}?q=a&status=good"}
    typed = client.get(f"{THINGS}?q=an&status=good", headers=SWAP | on)
    assert typed.headers["HX-Replace-Url"] == f"{THINGS}?q=an&status=good"
    assert "HX-Push-Url" not in typed.headers
    assert "HX-Push-Url" not in client.get(THINGS).headers


def test_scrolling_answers_the_next_rows_and_a_new_pager(client: TestClient) -> None:
    more = client.get(f"{THINGS}?cursor=25", headers=SWAP)
    assert "HX-Push-Url" not in more.headers
    assert 'id="list"' not in more.text
    tree = HTMLParser(more.text)
    partial = one(tree, "hx-partial")
    assert partial.attributes == {"hx-target": "#list-rows", "hx-swap": "beforeend"}
    assert more.text.count('<tr id="thing-') == 25
    assert one(tree, "#list-more").attributes["hx-get"] == f"{THINGS}?cursor=50"
    assert [link.attributes["href"] for link in tree.css("#list-more a[rel]")] == [
        f"{THINGS}?cursor=0",
        f"{THINGS}?cursor=50",
    ]


def test_headings_say_and_turn_the_order(client: TestClient) -> None:
    tree = HTMLParser(client.get(f"{THINGS}?sort=-spent&status=good&cursor=25").text)
    heading = one(tree, "th[aria-sort]")
    assert (heading.attributes["aria-sort"], heading.text(strip=True)) == ("descending", "Spent")
    links = {link.text(strip=True): link.attributes["href"] for link in tree.css("thead a")}
    assert links == {
        "Student": f"{THINGS}?sort=name&status=good",
        "Spent": f"{THINGS}?sort=spent&status=good",
        "Seen": f"{THINGS}?sort=-seen&status=good",
    }


def test_chips_take_off_one_filter_and_the_search_keeps_them(client: TestClient) -> None:
    tree = HTMLParser(client.get(f"{THINGS}?q=a&status=good&spent_min=1000&sort=name").text)
    chips = [(one(chip, "button").text(), one(chip, "a").attributes["href"]) for chip in tree.css(".ly-chip.is-on")]
    assert chips == [
        ("Status: Learning", f"{THINGS}?q=a&sort=name&spent_min=1000"),
        ("Spent: ≥\u00a01,000 ★", f"{THINGS}?q=a&sort=name&status=good"),
    ]
    kept = {
        field.attributes["name"]: field.attributes["value"] for field in tree.css("#list-search input[type=hidden]")
    }
    assert kept == {"status": "good", "spent_min": "1000", "sort": "name"}


def test_an_empty_list_and_an_empty_search_look_different(client: TestClient) -> None:
    assert text_of(client, f"{THINGS}?nothing=1", "#list .ly-state h2") == "Nobody is here yet"
    assert text_of(client, f"{THINGS}?q=nobody", "#list .ly-state h2") == "No results for “nobody”"
    assert "#list-search" not in client.get(f"{THINGS}?nothing=1").text


def test_a_count_over_the_cap_says_so(client: TestClient) -> None:
    assert text_of(client, THINGS, "#list-count") == "1,000+"
    assert text_of(client, THINGS, "#list-count", params={"lang": "ru"}) == "1\u00a0000+"


# --- forms -------------------------------------------------------------------


def test_a_refused_form_keeps_its_values_and_ties_its_messages(client: TestClient) -> None:
    sent = {
        "title": "<long>",
        "description": "a\nb",
        "course_id": "3",
        "is_free": "true",
        "csrf_token": "token-1",
    }
    for headers in ({}, SWAP):
        answer = client.post("/dashboard/things/save", data=sent, headers=headers)
        assert answer.status_code == 422
        tree = HTMLParser(answer.text)
        form = one(tree, "#thing-form")
        title = one(form, "#title")
        assert (title.attributes["value"], title.attributes["aria-invalid"]) == ("<long>", "true")
        assert title.attributes["aria-describedby"] == "title-error"
        assert one(form, "#title-error").text(strip=True) == "Longer than 32 characters."
        assert one(form, "#description").text() == "a\nb"
        assert one(form, "#course_id option[selected]").attributes["value"] == "3"
        assert "checked" in one(form, "#is_free").attributes
        assert "checked" not in one(form, "#is_active").attributes
        assert [link.attributes["href"] for link in one(form, "[data-errors]").css("a")] == [
            "#title",
            "#price",
        ]
        assert ("<html" in answer.text) is (headers == {})


def test_a_moment_is_shown_on_the_persons_clock() -> None:
    with TestClient(make_gallery(Principal(**{**ME.__dict__, "timezone": "Europe/Moscow"}))) as client:
        field = one(HTMLParser(client.get("/dashboard/things/new").text), "#expires_at")
    assert (field.attributes["type"], field.attributes["value"]) == (
        "datetime-local",
        "2026-11-21T11:12",
    )


def test_a_form_with_files_is_sent_by_the_upload_script(client: TestClient) -> None:
    form = one(HTMLParser(client.get("/dashboard/things/new?upload=1").text), "#thing-form")
    assert form.attributes["enctype"] == "multipart/form-data"
    assert "data-upload" in form.attributes
    assert "hx-post" not in form.attributes
    assert one(form, "#video").attributes["data-limit"] == "50000000"


# --- toasts ------------------------------------------------------------------

GOOD = {"title": "good", "csrf_token": "token-1"}


def test_a_toast_survives_the_redirect_once(client: TestClient) -> None:
    answer = client.post("/dashboard/things/save", data=GOOD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/things/1")
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("max-age=60", "httponly", "samesite=lax", "path=/"))
    assert "secure" not in cookie
    page = client.get("/dashboard/things/1")
    toast = one(HTMLParser(page.text), "[data-toast]")
    assert one(toast, "p").text() == "Saved <b>it</b>"
    assert one(toast, "form").attributes["action"] == "/dashboard/history/12/undo"
    assert one(toast, "[name=next]").attributes["value"] == "/dashboard/things/1"
    assert "max-age=0" in page.headers["set-cookie"].lower()
    assert HTMLParser(client.get("/dashboard/things/1").text).css("[data-toast]") == []


def test_under_htmx_the_redirect_is_a_header_and_the_toast_still_arrives(
    client: TestClient,
) -> None:
    answer = client.post("/dashboard/things/save", data=GOOD, headers=SWAP)
    assert (answer.status_code, answer.headers["HX-Redirect"], answer.text) == (
        204,
        "/dashboard/things/1",
        "",
    )
    fragment = client.get(THINGS, headers=SWAP)
    assert "data-toast" not in fragment.text
    assert text_of(client, "/dashboard/things/1", "[data-toast] p") == "Saved <b>it</b>"


def test_the_cookie_is_secure_where_the_site_is() -> None:
    with TestClient(make_gallery(base_url="https://school.example"), follow_redirects=False) as client:
        assert "; secure" in client.post("/dashboard/things/save", data=GOOD).headers["set-cookie"].lower()


def test_a_toast_beside_a_fragment_is_a_partial_of_its_own(client: TestClient) -> None:
    answer = client.post("/dashboard/order", data={"id": "1", "position": "2"}, headers=SWAP)
    assert answer.text.lstrip().startswith('<ol class="ly-sort" id="order"')
    partial = one(HTMLParser(answer.text), "hx-partial")
    assert partial.attributes == {"hx-target": "#toasts", "hx-swap": "beforeend"}
    assert one(partial, "p").text() == "Мария Ковалёва is number 2 now"
    assert one(partial, "[name=next]").attributes["value"] == "/dashboard/things/?q=a"


@pytest.mark.parametrize("cookie", ["", "nonsense", "eyJ0ZXh0IjoiaGkifQ.aSBhbQ.forged"])
def test_a_forged_toast_is_not_shown(client: TestClient, cookie: str) -> None:
    client.cookies.set(FLASH_COOKIE, cookie)
    assert HTMLParser(client.get(THINGS).text).css("[data-toast]") == []


def test_a_toast_is_forgotten_after_a_minute(client: TestClient) -> None:
    cookie = client.post("/dashboard/things/save", data=GOOD).cookies[FLASH_COOKIE]
    for seconds, count in ((50, 1), (70, 0)):
        with time_machine.travel(clock.now().timestamp() + seconds):
            answer = client.get(THINGS, headers={"Cookie": f"{FLASH_COOKIE}={cookie}"})
        assert len(HTMLParser(answer.text).css("[data-toast]")) == count


def test_two_messages_in_one_request_leave_the_last() -> None:
    request = Request({"type": "http", "headers": [], "state": {}})
    templating.flash(request, "first")
    templating.flash(request, "x" * 600, kind="warn", undo=3)
    assert request.state.toast == templating.Toast("x" * 500, "warn", 3)


# --- errors ------------------------------------------------------------------


def test_errors_are_a_page_or_a_toast_and_name_the_request(client: TestClient) -> None:
    page = client.get("/broken")
    tree = HTMLParser(page.text)
    assert page.status_code == 500
    assert one(tree, "h1").text() == "Something went wrong on our side"
    assert one(tree, "#request-id").text() == "01KAJ3-7F2C-9Q4D"
    assert one(tree, "a.btn-primary").attributes["href"] == "/broken"
    toast = client.get("/broken", headers=SWAP)
    partial = one(HTMLParser(toast.text), "hx-partial")
    assert partial.attributes["hx-target"] == "#toasts"
    assert one(partial, "code").text() == "01KAJ3-7F2C-9Q4D"
    assert text_of(client, "/dashboard/lessons/", "h1") == "Page not found"


# --- navigation --------------------------------------------------------------


def shown(client: TestClient, path: str) -> list[tuple[str, bool]]:
    links = HTMLParser(client.get(path).text).css(".ly-nav a")
    return [(" ".join(link.text().split()), link.attributes.get("aria-current") == "page") for link in links]


def test_the_sidebar_shows_what_exists_and_marks_the_place(client: TestClient) -> None:
    names = [
        "Overview",
        "Tickets waiting: 7",
        "Purchases",
        "Promo codes",
        "Lessons",
        "Courses",
        "Students",
        "Sandbox",
        "Settings",
    ]
    assert shown(client, "/dashboard/users/") == [(name, name == "Students") for name in names]
    assert shown(client, "/dashboard/") == [(name, name == "Overview") for name in names]
    assert shown(client, THINGS) == [(name, False) for name in names]


def test_the_sidebar_marks_where_a_page_of_settings_belongs(admin: TestClient) -> None:
    """The pages of roles and of security events are of the staff; those of one's own account are settings."""
    found = {
        path: [name for name, current in shown(admin, f"/dashboard/settings/{path}") if current]
        for path in ("", "security/", "accounts/", "staff/", "staff/new", "roles/", "roles/matrix", "audit/")
    }
    assert list(found.values()) == [["Settings"]] * 3 + [["Staff"]] * 5
    assert [name for name, current in shown(admin, "/dashboard/search?q=a") if current] == []


def test_the_sidebar_hides_what_a_person_may_not_see() -> None:
    me = Principal(**{**ME.__dict__, "permissions": frozenset({"lessons:read", "dashboard:read"})})
    with TestClient(make_gallery(me)) as client:
        assert [name for name, _current in shown(client, THINGS)] == [
            "Overview",
            "Lessons",
            "Sandbox",
        ]


def test_banners_warn_of_plain_http_and_of_practice_mode() -> None:
    cases = [
        ({}, []),
        ({"sandbox": True}, ["Test mode"]),
        ({"base_url": "http://school.lan", "allow_http": True}, ["Warning"]),
    ]
    for settings, labels in cases:
        with TestClient(make_gallery(**settings)) as client:  # type: ignore[arg-type] # settings by name
            found = HTMLParser(client.get(THINGS).text).css(".ly-banner")
        assert [banner.attributes["aria-label"] for banner in found] == labels


# --- the environment ---------------------------------------------------------


def test_icons_come_from_the_sprite() -> None:
    sprite = assets.url("vendor/sprite.svg")
    assert icon("plus", "icon-sm") == (
        f'<svg class="icon icon-sm" aria-hidden="true"><use href="{sprite}#icon-plus"/></svg>'
    )
    assert icon('x"><b') == f'<svg class="icon" aria-hidden="true"><use href="{sprite}#icon-x&#34;&gt;&lt;b"/></svg>'


def test_atoms_escape_what_they_are_given_but_not_twice() -> None:
    hostile = "<b>&\"'"
    assert str(person(7, hostile, "/x?a=1&b", "@<i>")) == (
        '<span class="ly-person"><span class="ly-ava" data-hue="2" aria-hidden="true">B</span>'
        '<span><a class="ly-cut" href="/x?a=1&amp;b">&lt;b&gt;&amp;&#34;&#39;</a>'
        '<small class="ly-cut">@&lt;i&gt;</small></span></span>'
    )
    assert badge("good", "check", "<b>").endswith("</svg>&lt;b&gt;</span>")
    assert badge("good", "check", Markup("<b>")).endswith("</svg><b></span>")
    assert badge("", "check", "x").startswith('<span class="badge"><svg')


def test_every_template_compiles_and_names_only_icons_that_exist() -> None:
    templating.prepare(debug=False)
    sprite = (assets.root / "vendor" / "sprite.svg").read_text()
    for name in env.list_templates(extensions=["html"]):
        source = env.loader.get_source(env, name)[0] if env.loader else ""
        for sign in re.findall(r'icon\("([a-z0-9-]+)"', source):
            assert f'id="icon-{sign}"' in sprite, f"{name}: icon {sign}"


def test_debug_lets_templates_follow_their_files() -> None:
    templating.prepare(debug=True)
    assert env.auto_reload is True
    templating.prepare(debug=False)
    assert env.auto_reload is False
