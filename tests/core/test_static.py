"""Static files: hashed addresses, what is served and what is not, the weight of a first visit."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from backend.core.static import BUNDLE, PREFIX, ROOT, Assets, assets
from scripts import tabler
from tests.core.gallery import make_gallery

KB = 1024
FIRST_LOAD = 125 * KB
PAGE = 30 * KB


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "js/app.js": 'import "./part.js";',
        "js/part.js": "export const a = 1;",
        "vendor/LICENSE": "MIT",
        "vendor/font.woff2": "font",
        "css/00-a.css": '@layer a, b;\n/* note */\n@font-face { src: url("vendor/font.woff2"); }',
        "css/10-b.css": '@layer b { .x { background: url("data:image/svg+xml,%3csvg/%3e"); } }',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "outside.txt").write_text("secret")
    (tmp_path / "js" / "link.js").symlink_to("/etc/passwd")
    return tmp_path


@pytest.fixture
def made(folder: Path) -> Assets:
    return Assets(folder)


@pytest.fixture
def client(made: Assets) -> Iterator[TestClient]:
    app = FastAPI()
    app.mount(PREFIX, made)
    with TestClient(app) as client:
        yield client


def test_modules_share_a_hash_so_that_imports_find_their_neighbours(made: Assets) -> None:
    app, part = made.url("js/app.js"), made.url("js/part.js")
    assert app.rsplit("/", 1)[0] == part.rsplit("/", 1)[0]
    assert re.fullmatch(r"/static/[0-9a-f]{10}/js/app\.js", app)


def test_an_address_changes_with_the_content_and_only_then(made: Assets, folder: Path) -> None:
    (folder / "js" / "part.js").write_text("export const a = 2;")
    changed = Assets(folder)
    assert changed.url("js/app.js") != made.url("js/app.js")
    assert changed.url("vendor/font.woff2") == made.url("vendor/font.woff2")


def test_an_unknown_name_is_named_in_the_error(made: Assets) -> None:
    with pytest.raises(LookupError, match=r"static/js/none\.js does not exist"):
        made.url("js/none.js")


def test_a_file_is_served_for_ever_and_packed_for_those_who_take_it(client: TestClient, made: Assets) -> None:
    packed = client.get(made.url("js/app.js"), headers={"Accept-Encoding": "br, gzip;q=0.8"})
    assert packed.text == 'import "./part.js";'
    assert dict(packed.headers) == {
        "content-type": "text/javascript; charset=utf-8",
        "cache-control": "public, max-age=31536000, immutable",
        "vary": "Accept-Encoding",
        "content-encoding": "gzip",
        "content-length": str(len(gzip.compress(b'import "./part.js";', 9, mtime=0))),
    }
    for refused in ("identity", "gzip;q=0", ""):
        plain = client.get(made.url("js/app.js"), headers={"Accept-Encoding": refused})
        assert "content-encoding" not in plain.headers
        assert plain.headers["content-length"] == "19"


def test_fonts_are_not_packed_twice(client: TestClient, made: Assets) -> None:
    font = client.get(made.url("vendor/font.woff2"))
    assert (font.headers["content-type"], font.content) == ("font/woff2", b"font")
    assert "content-encoding" not in font.headers


def test_head_has_the_length_and_no_body(client: TestClient, made: Assets) -> None:
    head = client.head(made.url("vendor/font.woff2"))
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "4", b"")


def test_other_methods_are_refused(client: TestClient, made: Assets) -> None:
    refused = client.post(made.url("js/app.js"))
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/static/js/app.js",
        "/static/0000000000/js/app.js",
        "/static/",
        "/static/x/..%2f..%2foutside.txt",
        "/static/x/vendor/LICENSE",
        "/static/x/js/link.js",
    ],
)
def test_everything_else_is_not_found_and_not_cached(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.text, answer.headers["cache-control"]) == (
        404,
        "Not found",
        "no-store",
    )


def test_the_right_hash_of_another_file_does_not_open_a_third(client: TestClient, made: Assets) -> None:
    digest = made.url("js/app.js").split("/")[2]
    assert [client.get(f"/static/{digest}/{name}").status_code for name in ("vendor/LICENSE", "outside.txt")] == [
        404,
        404,
    ]


def test_the_stylesheets_are_one_in_order_with_hashed_addresses(client: TestClient, made: Assets) -> None:
    sheet = client.get(made.url(BUNDLE)).text
    font = made.url("vendor/font.woff2")
    assert sheet == (
        f'@layer a, b;\n@font-face {{ src: url("{font}"); }}\n'
        '@layer b { .x { background: url("data:image/svg+xml,%3csvg/%3e"); } }'
    )
    with pytest.raises(LookupError):
        made.url("css/00-a.css")


def test_our_own_bundle_names_only_files_that_exist() -> None:
    sheet = assets._assets[assets.url(BUNDLE).removeprefix("/static/")].plain.decode()
    assert "@import" not in sheet
    assert set(re.findall(r'url\("(/static/[^"]+)"\)', sheet)) == {
        assets.url("vendor/inter-latin.woff2"),
        assets.url("vendor/inter-cyrillic.woff2"),
    }


def test_every_import_of_our_modules_exists() -> None:
    root = Path(assets.root)
    for module in root.glob("js/*.js"):
        for name in re.findall(r'(?:from|import)\s*\(?"(\./[^"]+)"', module.read_text()):
            assert (module.parent / name).is_file(), f"{module.name} imports {name}"


def test_the_kept_part_of_tabler_is_what_the_script_makes() -> None:
    assert tabler.TARGET.read_text() == tabler.build(tabler.SOURCE.read_text())


def test_templates_use_no_class_of_tabler_that_was_left_out() -> None:
    assert tabler.missing(tabler.TARGET.read_text(), tabler.SOURCE.read_text()) == {}


def test_a_first_visit_is_light() -> None:
    """The longest page of the gallery, everything that it loads, both fonts, with gzip."""
    with TestClient(make_gallery()) as client:
        page = client.get("/dashboard/things/")
    loaded = set(re.findall(r'(?:href|src)="(/static/[^"#]+)', page.text))
    loaded |= {assets.url(name) for name in ("vendor/inter-latin.woff2", "vendor/inter-cyrillic.woff2")}
    names = {url.split("/", 3)[3] for url in loaded}
    assert "css/lyceum.css" in names
    assert len(gzip.compress(page.content)) < PAGE
    assert sum(assets.weight(name) for name in names) + len(gzip.compress(page.content)) < FIRST_LOAD


def test_scripts_come_without_what_only_we_read(tmp_path: Path) -> None:
    (tmp_path / "js").mkdir()
    (tmp_path / "js/app.js").write_text(
        '// What it does.\n// And why.\nrun(() => {\n  // Once.\n\n  go("//x"); // now\n});\n'
    )
    made = Assets(tmp_path)
    served = TestClient(made, base_url="http://testserver").get(made.url("js/app.js"))
    assert served.text == 'run(() => {\ngo("//x"); // now\n});\n'


def test_no_text_of_a_script_goes_over_several_lines() -> None:
    """What is left out of scripts on their way must be no part of a text."""
    lines = [line for path in (ROOT / "js").glob("*.js") for line in path.read_text("utf-8").splitlines()]
    assert len(lines) > 1000
    assert [line for line in lines if line.count("`") % 2 or "/*" in line] == []
