"""Five hundred hostile texts in every text column at once, and every page looked at in Chromium (security.md B2).

Nothing runs, nothing is asked of anyone else, the policy has nothing to forbid, and htmx finds nothing to obey.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from jinja2 import Environment
from markdown_it import MarkdownIt
from playwright.sync_api import BrowserContext, Page

from backend.crm.table.declare import TABLES
from backend.database.crud.auth import SIGN_IN
from backend.database.session import Database
from main import create_app
from tests.access import PAGES
from tests.browser.planting import LINKS, PLANTED, SIGNED_UP, plant
from tests.browser.watching import FINDINGS, Watch
from tests.conftest import make_settings
from tests.figures import Figure
from tests.payloads import HIT, PAYLOADS, TEMPLATES, TEXTS
from tests.routes import routes_of, schemas

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

# Fields of forms and bodies that are kept under another name, and those that are not kept at all.
KEPT_AS = {"text": "messages.body", "tag": "tags.name", "promo_code": "promo_codes.code"}
NOT_KEPT = {
    "password", "repeat", "current", "otp", "code", "draft", "next", "carried", "answer", "ticket", "by", "thing",
    "total_price", "discount_price", "price", "expires_at", "alerts", "timezone", "key", "columns", "list_name",
    "scopes", "payload", "currency", "was", "holder", "refresh_token", "state",
}  # fmt: skip


def words(kind: Any) -> bool:
    """Whether a field of this kind may hold free text."""
    return kind is str or any(words(each) for each in get_args(kind))


def test_every_text_that_a_form_or_a_body_takes_has_its_payloads() -> None:
    app = create_app(make_settings("sqlite:///unused.db", Path("unused")))
    taken = {
        name
        for route in routes_of(app)
        for schema in schemas(route.dependant)
        for name, field in schema.model_fields.items()
        if "GET" not in route.methods and words(field.annotation)
    }
    assert set(KEPT_AS.values()) <= PLANTED
    assert taken - {column.partition(".")[2] for column in PLANTED} - KEPT_AS.keys() - NOT_KEPT == set()
    assert len(PLANTED) > 55
    assert len(set(TEXTS)) >= 500


# No page of their own: files, a stream, redirects, and links that need a secret: `addresses` knows it.
NOT_PAGES = re.compile(
    r"\.csv$|\.xlsx$|/events$|/media/|^/$|^/(enter|reset|confirm|welcome)/|^/login/(from|second)|/views/\{"
    r"|/(lessons|courses|promo-codes)/import/\{|^/register|^/(health|metrics|openapi.json|docs|redoc)"
)
# What no page shows as it is: keys for searching, what stands in a link, what is told in other words, in a file or to
# the bot alone.
UNSEEN = {
    "courses.search_key", "lessons.search_key", "promo_codes.search_key", "support_tickets.search_key",
    "users.search_key", "jobs.holder", "jobs.ip", "job_rows.data", "payments.raw", "telegram_files.file_id",
    "bot_chats.data", "sessions.user_agent", "saved_views.query", "support_tickets.message",
    "support_tickets.admin_response", "auth_identities.issuer", "auth_identities.subject", "registrations.last_name",
    "job_errors.message", "sessions.reason", "purchases.payment_id", "sign_in_places.network",
    "sign_in_places.user_agent",
}  # fmt: skip


def addresses(ids: dict[str, str]) -> Iterator[str]:
    """Of every page that can be looked at, by the rights that stand in tests/access.py."""
    for rule in PAGES:
        if rule.writes or NOT_PAGES.search(rule.path):
            continue
        own = ids | ({"user_id": ids["staff_id"]} if "/staff/" in rule.path else {})
        fitting = [table for table in TABLES.values() if rule.path.startswith(f"{table.prefix}/")]
        table = max(fitting, key=lambda table: len(table.prefix), default=None)
        if table and "/pick/" in rule.path:
            own["name"] = next(each.name for each in table.filters if each.find)
        if table and "/cell/" in rule.path:
            own |= {
                "name": next(each.name for each in table.columns if each.edit),
                "row_id": "2" if "users" in rule.path else "1",
            }
        yield rule.address(own) + ("?limit=100" if rule.path.endswith("/") else "")
    yield f"/dashboard/sales/{ids['gift_id']}"
    yield f"/dashboard/lessons/{ids['film_id']}"
    yield f"/dashboard/users/import/{ids['import_id']}?columns=true"
    yield f"/dashboard/users/import/{ids['import_id']}?show=changed"
    yield "/dashboard/search?q=xss"
    yield f"/enter/{LINKS[SIGN_IN]}"
    yield f"/reset/{LINKS['reset']}"
    yield f"/confirm/{LINKS['verify']}"
    yield f"/welcome/{SIGNED_UP}"


@pytest.fixture
def watch(context: BrowserContext, url: str) -> Watch:
    return Watch(context.new_page(), url)


@pytest.mark.slow
def test_no_payload_in_any_column_does_anything_on_any_page(
    watch: Watch, app: FastAPI, database: Database, figure: Figure
) -> None:
    ids, pages, shown = plant(database), dict[str, str](), set[str]()
    app.state.school.read()  # its name, which each process remembers for half a minute
    for path in addresses(ids):
        pages[path] = watch.look(path)
        shown |= set(re.findall(r"⟦([\w.]+)⟧", pages[path]))
    watch.page.context.add_cookies([{"name": "lyceum", "value": ids["halfway"], "url": watch.home}])
    second = watch.look("/login/second")
    assert "⟦users.login⟧" in second
    assert watch.seen == []
    assert PLANTED - shown == UNSEEN
    assert len(pages) > 80
    figure(
        "B2", f"pages where one of {len(set(TEXTS))} planted payloads does anything", len(watch.seen), "0", len(pages)
    )


# What a payload is written into to do its harm.
RAW = {
    "body": "<p>%s</p>", "double": '<p title="%s">x</p>', "single": "<p title='%s'>x</p>",
    "address": '<a href="%s">x</a>', "hidden": "<title>%s</title><textarea>%s</textarea>",
}  # fmt: skip


def test_the_watch_sees_each_payload_that_is_written_as_it_is(page: Page, figure: Figure) -> None:
    """The control: a page that escaped nothing would be noticed, whichever of them it shows."""
    page.add_init_script(FINDINGS)
    page.goto("about:blank")
    raw = [RAW[place].replace("%s", text) for place, text in PAYLOADS if place in RAW]
    look = "all => all.filter(html => !__findings(new DOMParser().parseFromString(html, 'text/html')).length)"
    assert page.evaluate(look, raw) == []
    assert len(raw) > 350
    figure("B2", "payloads that the watch misses where nothing is escaped", 0, "0", len(raw))


def test_the_watch_sees_what_uncleaned_markdown_and_a_rendered_template_would_make(page: Page) -> None:
    """The control of the others: the links that live when nobody looks at them, and what an engine would add up."""
    careless = MarkdownIt("commonmark", {"html": True})
    careless.validateLink = lambda _url: True
    page.add_init_script(FINDINGS)
    page.goto("about:blank")
    links = [careless.render(text) for place, text in PAYLOADS if place == "markdown"]
    look = "all => all.filter(html => __findings(new DOMParser().parseFromString(html, 'text/html')).length).length"
    assert page.evaluate(look, links) >= 50  # the rest are links in other dialects than ours
    ours = f"{{{{ {HIT} }}}}", f"{{% print({HIT}) %}}"
    reckoned = [Environment(autoescape=True).from_string(text).render() for text in ours if text in TEMPLATES]
    watch = Watch(page, "")
    page.goto("about:blank")
    for made in reckoned:
        page.set_content(made)
        watch.look_again(made)
    assert watch.seen == [("template", made) for made in reckoned]
    assert len(reckoned) == 2
