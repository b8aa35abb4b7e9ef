from typing import Any

import pytest

from scripts import reference


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    return reference.document()


def test_the_page_is_what_the_api_says(api: dict[str, Any]) -> None:
    assert reference.PAGE.read_text("utf-8") == reference.page(api)


def test_every_route_and_schema_is_there(api: dict[str, Any]) -> None:
    page = reference.page(api)
    routes = [f"| `{method.upper()} {path}` |" for path, item in api["paths"].items() for method in item]
    schemas = [f"\n## {name}\n" for name in api["components"]["schemas"]]
    assert [line for line in routes + schemas if line not in page] == []
    assert "| `title` | string | required; at least so long: 1; at most so long: 200 |" in page
    assert "Needs `bot` or `purchases:write`" in page


def test_a_field_more_changes_the_page(api: dict[str, Any]) -> None:
    before = reference.page(api)
    changed = {**api, "components": {"schemas": {"New": {"properties": {"price": {"type": "integer", "minimum": 0}}}}}}
    assert reference.page(changed) != before
    assert "| `price` | integer | at least 0 |" in reference.page(changed)
