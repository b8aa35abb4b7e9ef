"""Addresses by name, lists with one thing changed, `next`, filters and the arithmetic of charts."""

from urllib.parse import urljoin, urlsplit

import pytest
from fastapi import FastAPI

from backend.core.figures import line_path, nice_top, sparse
from backend.core.links import Links, local_path, set_filters, url_with
from backend.crm.table import between, choice
from tests.core.gallery import Params, make_gallery

THINGS = "/dashboard/things/"


@pytest.fixture
def gallery() -> FastAPI:
    return make_gallery()


# --- addresses ---------------------------------------------------------------


def test_links_know_paths_and_turn_the_rest_into_a_query(gallery: FastAPI) -> None:
    links = Links(gallery)
    assert links.url("crm:things:detail", thing_id=7) == "/dashboard/things/7"
    assert links.url("crm:things:index") == THINGS
    assert (
        links.url("crm:things:index", q="а б&", status=None, active=True)
        == f"{THINGS}?q=%D0%B0%20%D0%B1%26&active=true"
    )
    assert (links.has("crm:things:index"), links.has("crm:nothing")) == (True, False)
    with pytest.raises(LookupError, match="crm:nothing"):
        links.url("crm:nothing")
    with pytest.raises(KeyError):
        links.url("crm:things:detail")


def test_a_path_parameter_cannot_leave_its_place(gallery: FastAPI) -> None:
    assert Links(gallery).url("crm:things:detail", thing_id="../../x?y#z") == "/dashboard/things/..%2F..%2Fx%3Fy%23z"


def test_url_with_changes_one_thing_and_starts_from_the_first_page() -> None:
    params = Params(q="a", status="good", cursor="abc", limit=20)
    assert url_with(params, THINGS, status="bad") == f"{THINGS}?q=a&limit=20&status=bad"
    assert url_with(params, THINGS, cursor="def") == f"{THINGS}?q=a&limit=20&cursor=def&status=good"
    assert url_with(params, THINGS, q=None, status=None, limit=50) == THINGS
    assert url_with(Params()) == "?"
    assert url_with(Params(active=False)) == "?active=false"
    assert set_filters(params) == {"q": "a", "status": "good"}
    assert set_filters(Params(active=False, sort="name")) == {"active": "false"}


def test_nothing_asked_for_is_the_dashboard() -> None:
    """What leads away has tests/test_doors_attacked.py."""
    assert (local_path(None), local_path("")) == ("/dashboard/", "/dashboard/")


@pytest.mark.parametrize(
    "target", ["/%2f/evil.example", "/%5cevil.example", "/.//evil.example", "/@evil.example", "/http://evil.example"]
)
def test_what_only_looks_foreign_is_a_path_of_ours(target: str) -> None:
    """A browser reads no host in them: the standard's own resolution says so."""
    assert local_path(target) == target
    assert urlsplit(urljoin("http://127.0.0.1:8000/login", target)).netloc == "127.0.0.1:8000"


def test_next_keeps_a_local_path() -> None:
    assert local_path("/dashboard/users/?q=я&page=2#x") == "/dashboard/users/?q=я&page=2#x"


# --- figures and filters -----------------------------------------------------


def test_lines_fill_their_box() -> None:
    assert line_path([0, 5, 10], 100, 30) == "M0 30 50 15 100 0"
    assert line_path([5, 10], 100, 30, top=20) == "M0 22.5 100 15"
    assert (line_path([], 100, 30), line_path([7], 100, 30), line_path([0, 0], 10, 10)) == (
        "M0 0",
        "M0 30 100 30",
        "M0 10 10 10",
    )


@pytest.mark.parametrize(
    ("values", "top"),
    [
        ([], 3),
        ([0], 3),
        ([3], 3),
        ([4], 6),
        ([2840], 3000),
        ([3001], 4500),
        ([4501], 6000),
        ([48], 60),
        ([95], 120),
    ],
)
def test_an_axis_ends_at_a_round_number(values: list[int], top: int) -> None:
    assert nice_top(values) == top


def test_labels_are_thinned_evenly() -> None:
    assert sparse(list(range(30)), 5) == [0, 7, 14, 22, 29]
    assert sparse(["a", "b"], 5) == ["a", "b"]


def test_filters_say_what_they_hold() -> None:
    status, spent = (
        choice("status", "Status", ("good", "Learning")),
        between("s", "Spent", "low", "high", unit=" ★"),
    )
    assert [status.shown(on) for on in ({}, {"status": "good"}, {"status": "odd"})] == [
        "",
        "Learning",
        "odd",
    ]
    shown = [spent.shown(on) for on in ({}, {"low": 1000}, {"high": 5}, {"low": 1, "high": 2})]
    assert shown == ["", "≥\u00a01,000 ★", "≤\u00a05 ★", "1–2 ★"]
