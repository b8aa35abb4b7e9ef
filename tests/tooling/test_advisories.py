"""Advisories are looked up over real HTTP at an OSV of our own, and in dumps as OSV makes them."""

import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts import advisories
from scripts.advisories import UnansweredError
from scripts.sbom import Part

OLD, NEW = Part("PyPI", "jinja2", "3.1.4"), Part("PyPI", "jinja2", "3.1.6")
DOTTED = Part("PyPI", "zope-interface", "5.0")
BROWSER = Part("npm", "htmx.org", "4.0.1")


def advisory(name: str, package: tuple[str, str], *events: tuple[str, str], **more: Any) -> dict[str, Any]:
    ecosystem, called = package
    span = {"type": "ECOSYSTEM", "events": [{kind: version} for kind, version in events]}
    affected = {"package": {"ecosystem": ecosystem, "name": called}, "ranges": [span]}
    return {"id": name, "summary": f"About {name}", "affected": [affected]} | more


JINJA = ("PyPI", "Jinja2")
CONTROLS = [
    advisory("GHSA-jinja", JINJA, ("introduced", "0"), ("fixed", "2.10.1")),
    advisory("GHSA-lodash", ("npm", "lodash"), ("introduced", "0"), ("last_affected", "4.17.20")),
]
ESCAPE = advisory("GHSA-escape", JINJA, ("introduced", "3.0"), ("fixed", "3.1.5"), aliases=["CVE-2024-56326"])


class Osv:
    """Answers like OSV: at most one advisory a page, ids first, the rest by id."""

    def __init__(self, *known: dict[str, Any]) -> None:
        self.known = known
        self.asked: list[Any] = []

    def ids(self, purl: str) -> list[str]:
        parts = [*advisories.CONTROLS.values(), OLD, NEW, BROWSER]
        part = next((each for each in parts if each.purl == purl), Part("PyPI", "none", "1"))
        return [
            each["id"]
            for each in self.known
            for affected in each["affected"]
            if affected["package"]["name"].lower() == part.name and advisories.affects(affected, part.version)
        ]

    def batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        return {"results": [self.page(query) for query in asked["queries"]]}

    def page(self, query: dict[str, Any]) -> dict[str, Any]:
        ids, at = self.ids(query["package"]["purl"]), int(query.get("page_token", "0"))
        page: dict[str, Any] = {"vulns": [{"id": each} for each in ids[at : at + 1]]} if ids else {}
        return page | ({"next_page_token": str(at + 1)} if len(ids) > at + 1 else {})


@pytest.fixture
def osv() -> Iterator[tuple[Osv, str]]:
    fake = Osv(*CONTROLS, ESCAPE, advisory("PYSEC-1", JINJA, ("introduced", "3.1.0"), aliases=["CVE-2024-56326"]))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.reply(fake.batch(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def do_GET(self) -> None:
            self.reply(next(each for each in fake.known if self.path == f"/v1/vulns/{each['id']}"))

        def reply(self, body: object) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield fake, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def dump(path: Path, *known: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for each in known:
            archive.writestr(f"{each['id']}.json", json.dumps(each))
    return path


@pytest.fixture
def dumps(tmp_path: Path) -> dict[str, Path]:
    """Of both ecosystems, with one advisory about a package of ours."""
    return {
        "PyPI": dump(tmp_path / "pypi.zip", CONTROLS[0], ESCAPE),
        "npm": dump(tmp_path / "npm.zip", CONTROLS[1]),
    }


def told(parts: list[Part], found: advisories.Found) -> list[str]:
    return list(advisories.lines(parts, found, {part.purl for part in parts}))


def test_osv_is_asked_for_each_package_page_by_page(osv: tuple[Osv, str]) -> None:
    fake, address = osv
    found = advisories.look_up([OLD, BROWSER], {}, address)

    assert [each["id"] for each in found[OLD.purl]] == ["GHSA-escape", "PYSEC-1"]
    assert found[BROWSER.purl] == []
    assert [query["package"]["purl"] for query in fake.asked[0]["queries"]][:2] == [OLD.purl, BROWSER.purl]
    assert fake.asked[1] == {"queries": [{"package": {"purl": OLD.purl}, "page_token": "1"}]}


def test_one_vulnerability_with_two_numbers_is_one_line(osv: tuple[Osv, str]) -> None:
    found = advisories.look_up([OLD], {}, osv[1])

    assert told([OLD], found) == ["jinja2 3.1.4: GHSA-escape, CVE-2024-56326 About GHSA-escape [mended in 3.1.5]"]


def test_an_address_that_nobody_answers_at_is_told() -> None:
    with pytest.raises(UnansweredError, match=r"cannot reach http://127\.0\.0\.1:1: "):
        advisories.look_up([OLD], {}, "http://127.0.0.1:1")


def test_a_service_that_knows_nothing_is_not_believed(osv: tuple[Osv, str]) -> None:
    osv[0].known = ()
    with pytest.raises(UnansweredError, match=r"jinja2 2\.4\.1 is known to be vulnerable, but not here"):
        advisories.look_up([OLD], {}, osv[1])


def test_another_service_at_that_address_is_told(osv: tuple[Osv, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(osv[0], "batch", lambda _asked: {"hello": "school"})
    with pytest.raises(UnansweredError, match="does not answer as OSV does"):
        advisories.look_up([OLD], {}, osv[1])


def test_dumps_answer_without_a_network(dumps: dict[str, Path]) -> None:
    found = advisories.look_up([OLD, NEW, BROWSER], dumps, "http://127.0.0.1:1")

    assert told([OLD, NEW, BROWSER], found) == [
        "jinja2 3.1.4: GHSA-escape, CVE-2024-56326 About GHSA-escape [mended in 3.1.5]"
    ]


def test_half_the_dumps_are_no_answer(dumps: dict[str, Path]) -> None:
    del dumps["npm"]
    with pytest.raises(UnansweredError, match="no dump of npm was given"):
        advisories.look_up([NEW], dumps, "")


def test_a_dump_of_something_else_is_no_answer(dumps: dict[str, Path]) -> None:
    dumps["npm"] = dumps["PyPI"]
    with pytest.raises(UnansweredError, match=r"lodash 4\.17\.15 is known to be vulnerable, but not here"):
        advisories.look_up([NEW], dumps, "")


def test_a_file_that_is_no_dump_is_told(dumps: dict[str, Path]) -> None:
    dumps["npm"].write_text("<html>")
    with pytest.raises(UnansweredError, match=r"cannot read .*npm\.zip as a dump of OSV"):
        advisories.look_up([NEW], dumps, "")


def test_names_of_python_are_compared_as_pypi_does(tmp_path: Path) -> None:
    about = advisory("GHSA-zope", ("PyPI", "zope.interface"), ("introduced", "0"))
    found = advisories.matched([DOTTED], "PyPI", dump(tmp_path / "all.zip", about))

    assert list(found) == [DOTTED.purl]


def test_a_withdrawn_advisory_is_none(tmp_path: Path) -> None:
    about = ESCAPE | {"withdrawn": "2025-01-01T00:00:00Z"}

    assert advisories.matched([OLD], "PyPI", dump(tmp_path / "all.zip", about)) == {}


@pytest.mark.parametrize(
    ("version", "events", "hit"),
    [
        ("1.0", [("introduced", "0")], True),
        ("1.0", [("introduced", "0"), ("fixed", "1.0")], False),
        ("1.0", [("introduced", "0"), ("last_affected", "1.0")], True),
        ("1.1", [("introduced", "0"), ("last_affected", "1.0")], False),
        ("1.10", [("introduced", "1.9"), ("fixed", "1.11")], True),  # as numbers, not as text
        ("2.5", [("introduced", "2.0"), ("fixed", "2.4"), ("introduced", "1.0"), ("fixed", "1.9")], False),
        ("2.0rc1", [("introduced", "2.0")], False),
        ("4.0.0-next.1", [("introduced", "4.0.0")], True),
    ],
)
def test_ranges_are_read_as_osv_reads_them(version: str, events: list[tuple[str, str]], hit: bool) -> None:
    (affected,) = advisory("X", JINJA, *events)["affected"]

    assert advisories.affects(affected, version) is hit


def test_versions_that_are_named_are_hit_without_a_range() -> None:
    assert advisories.affects({"versions": ["1.0", "1.2"]}, "1.2")
    assert not advisories.affects({"versions": ["1.0"], "ranges": [{"type": "GIT", "events": []}]}, "1.2")


def test_what_no_release_mends_is_told_so_and_what_only_developers_use(tmp_path: Path) -> None:
    about = advisory("GHSA-open", ("npm", "htmx.org"), ("introduced", "0"))
    found = advisories.matched([BROWSER], "npm", dump(tmp_path / "all.zip", about))

    assert list(advisories.lines([BROWSER], found, set())) == [
        "htmx.org 4.0.1 (development alone): GHSA-open About GHSA-open [no fix yet]"
    ]


def test_an_advisory_that_tells_everything_in_one_line_is_cut() -> None:
    told = advisory("PYSEC-long", JINJA, ("introduced", "0"), summary="", details=f"{'word ' * 200}\nmore")
    (line,) = advisories.lines([OLD], {OLD.purl: [told]}, {OLD.purl})
    about = line.partition("PYSEC-long ")[2].partition(" [")[0]
    assert (len(about) <= advisories.LONGEST, about.startswith("word word")) == (True, True)
    assert line.endswith("[no fix yet]")


def test_everything_that_is_locked_is_asked_about() -> None:
    names = {(part.ecosystem, part.name) for part in advisories.everything(advisories.ROOT)}

    assert {("PyPI", "fastapi"), ("PyPI", "pytest"), ("npm", "htmx.org"), ("npm", "axe-core")} <= names


def test_an_advisory_that_was_looked_at_can_be_left_out(osv: tuple[Osv, str]) -> None:
    found = advisories.look_up([OLD], {}, osv[1])

    assert len(advisories.report([OLD], found, [])) == 1
    assert advisories.report([OLD], found, ["CVE-2024-56326"]) == []


def run(monkeypatch: pytest.MonkeyPatch, service: str) -> object:
    """The exit code of the command, about one old package."""
    monkeypatch.setattr(advisories, "everything", lambda _root: [OLD])
    monkeypatch.setattr("sys.argv", ["advisories", "--service", service])
    with pytest.raises(SystemExit) as left:
        advisories.main()
    return left.value.code


def test_the_command_ends_with_one_and_the_list(
    osv: tuple[Osv, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, osv[1]) == 1
    assert capsys.readouterr().out.startswith("jinja2 3.1.4 (development alone): GHSA-escape, CVE-2024-56326")


def test_the_command_ends_with_two_when_it_could_not_ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "http://127.0.0.1:1") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("advisories: cannot reach http://127.0.0.1:1: ")
    assert printed.err.endswith(" Nothing was checked.\n")
