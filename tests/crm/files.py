"""Walking a file through its pages in tests."""

import csv
import io
from typing import Any

from fastapi.testclient import TestClient
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from tests.crm.pages import errors, one, words

USERS, LESSONS, COURSES, CODES = (
    f"/dashboard/{folder}/import" for folder in ("users", "lessons", "courses", "promo-codes")
)


def table(*lines: list[object]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows(lines)
    return out.getvalue().encode()


def upload(client: TestClient, place: str, body: bytes, name: str = "table.csv") -> str:
    """The address of the uploaded file."""
    answer = client.post(place, files={"file": (name, body)})
    assert answer.status_code == 303, errors(answer.text)
    return str(answer.headers["location"])


def columns(client: TestClient, address: str) -> tuple[list[str], str]:
    """What the page has guessed."""
    page = HTMLParser(client.get(f"{address}?columns=true").text)
    chosen = [select.css_first("option[selected]") for select in page.css("select")]
    values = [option.attributes["value"] or "" if option else "-" for option in chosen]
    return values[:-1], values[-1]


def check(client: TestClient, address: str, **changes: Any) -> dict[str, int]:
    """Checks with the guessed columns; the counts of the tabs that are not 0."""
    guessed, key = columns(client, address)
    answer = client.post(f"{address}/check", data={"columns": guessed, "key": key} | changes)
    assert answer.status_code == 303, errors(answer.text)
    return counts(client, address)


def counts(client: TestClient, address: str) -> dict[str, int]:
    tabs = [words(tab) for tab in HTMLParser(client.get(address).text).css(".ly-tabs a")]
    found = {name: int(number.replace(",", "")) for name, number in (tab.rsplit(" ", 1) for tab in tabs)}
    return {name: number for name, number in found.items() if number}


def start(client: TestClient, address: str) -> None:
    checks = one(client.get(address).text, 'input[name="checks"]').attributes["value"]
    answer = client.post(f"{address}/start", data={"checks": checks})
    assert (answer.status_code, answer.headers["location"]) == (303, address)


def shown(client: TestClient, address: str, kind: str) -> list[list[str]]:
    page = HTMLParser(client.get(f"{address}?show={kind}").text)
    return [[" ".join(cell.text(separator=" ").split()) for cell in row.css("td")] for row in page.css("tbody tr")]
