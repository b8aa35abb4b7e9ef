"""Every page in both themes, wide and narrow: axe finds nothing, nothing overflows, first loads are light.

The pages are found from the routers, so a new page is looked at without anyone remembering to add it.
"""

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from playwright.sync_api import Browser, Page, ViewportSize, expect

from backend.core.navigation import FOOT, SECTIONS
from backend.crm.table.declare import TABLES
from backend.routes import CRM
from tests.browser.axe import violations
from tests.browser.conftest import School
from tests.figures import Figure

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# Parts of pages, files and redirects have no page of their own; jobs and imports, of which the demo has none, are
# looked at in tests/browser/test_jobs.py and test_imports.py.
NOT_PAGES = re.compile(
    r"\.(csv|xlsx)$|/badge$|/thread$|/media/|/enter/|^/$|^/login$|/bulk$|/views/|/jobs/\{|/import/\{|/problems"
    r"|^/(forgot|reset|confirm|welcome)/?|^/login/|/letters/|/invite/"
)
Looks = tuple[tuple[ViewportSize, str], ...]
WIDE, NARROW = ViewportSize(width=1440, height=800), ViewportSize(width=320, height=800)
LOOKS = ((WIDE, "light"), (NARROW, "dark"))  # each size and each theme once: axe takes longer than everything else
OTHER_LOOKS = ((WIDE, "dark"), (NARROW, "light"))
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PAPER = "getComputedStyle(document.body).backgroundColor"
LATELY = ("/dashboard/settings", "/sandbox/")  # had grown beyond it
LIMIT = 125_000  # bytes of a first load, compressed, fonts included (performance goals)


def paths() -> list[str]:
    found = {
        route.path
        for router in CRM
        for route in router.routes
        if isinstance(route, APIRoute) and "GET" in route.methods and not NOT_PAGES.search(route.path)
    }
    return sorted(path for path in found if f"{path}/" not in found)  # with and without a last slash it is one page


def address(path: str) -> str:
    """Number 3 exists in every table of the demo school (there are three courses), but for the one sign-in."""
    fitting = [table for table in TABLES.values() if path.startswith(f"{table.prefix}/")]
    table = max(fitting, key=lambda table: len(table.prefix), default=None)
    names = [each.name for each in table.filters if each.find] if table and "/pick/" in path else []
    names += [column.name for column in table.columns if column.edit] if table and "/cell/" in path else []
    path = path.replace("{name}", names[0] if names else "")
    return re.sub(r"\{\w+\}", "7" if "users" in path else "1" if "/audit/" in path else "3", path)


@pytest.fixture(scope="module")
def entered(browser: Browser, school: School) -> dict[str, object]:
    """The cookies of a signed-in admin."""
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.goto(school.link)
    page.get_by_role("button", name=re.compile("Sign in as")).click()
    expect(page).to_have_url(re.compile("/dashboard/"))
    state = context.storage_state()
    context.close()
    return {"storage_state": state}


@pytest.fixture(scope="module")
def look(browser: Browser, entered: dict[str, object]) -> Iterator[Page]:
    context = browser.new_context(locale="ru-RU", reduced_motion="reduce", **entered)
    page = context.new_page()
    yield page
    context.close()


def looked_at(look: Page, url: str, status: int, looks: Looks) -> Iterator[str]:
    """What is wrong with the page. One load for all looks: a second load would show nothing else."""
    look.set_viewport_size(WIDE)
    look.emulate_media(color_scheme="light")
    answer = look.goto(url)
    if answer is None or answer.status != status:
        yield f"status {answer and answer.status}"
        return
    yield from seen(look, looks)


def seen(look: Page, looks: Looks) -> Iterator[str]:
    """The same of the page that stands there."""
    look.set_viewport_size(WIDE)
    look.emulate_media(color_scheme="light")
    if (titles := look.locator("h1").count()) != 1:
        yield f"{titles} titles"
    paper = look.evaluate(PAPER)
    for size, scheme in looks:
        look.set_viewport_size(size)
        look.emulate_media(color_scheme=scheme)  # type: ignore[arg-type] # one of the two
        yield from (f"{size['width']} {scheme}: {broken}" for broken in violations(look))
        if (look.evaluate(PAPER) == paper) is not (scheme == "light"):
            yield f"{scheme} looks like the other theme"
        if (wide := look.evaluate(OVERFLOW)) > 0:
            yield f"{wide} px too wide at {size['width']}"


@pytest.mark.figures  # the daily ones belong to the whole
@pytest.mark.parametrize("looks", [LOOKS, pytest.param(OTHER_LOOKS, marks=pytest.mark.slow)], ids=["daily", "others"])
@pytest.mark.parametrize("third", range(3))
def test_every_page_is_accessible_and_fits(
    look: Page, school: School, third: int, looks: Looks, figure: Figure
) -> None:
    pages = [*paths(), "/sandbox/", "/login", "/forgot", "/forgot/sent", "/dashboard/nowhere"][third::3]
    status = {"/dashboard/nowhere": 404}
    found = {path: [*looked_at(look, school.url + address(path), status.get(path, 200), looks)] for path in pages}
    assert len(found) > 15
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
    figure("D1", "views of pages where axe finds anything, or that are too wide", 0, "0", len(pages) * len(looks))


def test_the_sidebar_leads_to_pages_that_exist(look: Page, school: School) -> None:
    look.goto(f"{school.url}/dashboard/")
    links = look.locator(".ly-side a[href]").evaluate_all("links => links.map(link => link.getAttribute('href'))")

    assert len(set(links)) >= sum(len(section.items) for section in (*SECTIONS, FOOT)) - 2
    for link in sorted(set(links)):
        answer = look.request.get(school.url + link)
        assert (link, answer.status) == (link, 200)


@pytest.mark.parametrize("path", ["/login", "/dashboard/", "/dashboard/users/", "/dashboard/tickets/", *LATELY])
def test_a_first_load_is_light(browser: Browser, school: School, entered: dict[str, object], path: str) -> None:
    context = browser.new_context(locale="ru-RU", **(entered if path != "/login" else {}))
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    sizes: list[float] = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))

    page.goto(school.url + path, wait_until="networkidle")

    assert sum(sizes) <= LIMIT, sum(sizes)
    context.close()
