import hashlib
import json
from pathlib import Path

import pytest

from scripts import vendor

TOML = """
[[package]]
name = "tiny"
version = "1.0.0"
license = "MIT"
[package.files]
"tiny.js" = "static/vendor/tiny.js"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one vendored file, as locked."""
    (tmp_path / "static/vendor").mkdir(parents=True)
    (tmp_path / "static/vendor/tiny.js").write_text("let a = 1;\n")
    (tmp_path / "vendor.toml").write_text(TOML)
    digest = hashlib.sha256(b"let a = 1;\n").hexdigest()
    entry = {"version": "1.0.0", "files": {"static/vendor/tiny.js": digest}}
    (tmp_path / "vendor.lock.json").write_text(json.dumps({"tiny": entry}))
    return tmp_path


def test_our_own_files_are_as_locked() -> None:
    assert vendor.check(vendor.ROOT) == []


def test_every_package_brings_a_licence() -> None:
    for package in vendor.packages(vendor.ROOT):
        named = [*package.files.values(), *package.written]
        assert [path for path in named if "/licenses/" in path] != [], package.name


def test_files_as_locked_pass(project: Path) -> None:
    assert vendor.check(project) == []


def test_one_changed_byte_is_found(project: Path) -> None:
    (project / "static/vendor/tiny.js").write_text("let a = 2;\n")
    assert vendor.check(project) == ["static/vendor/tiny.js: changed"]


def test_a_missing_file_is_found(project: Path) -> None:
    (project / "static/vendor/tiny.js").unlink()
    assert vendor.check(project) == ["static/vendor/tiny.js: missing"]


def test_an_unlisted_file_is_found(project: Path) -> None:
    (project / "static/vendor/deep").mkdir()
    (project / "static/vendor/deep/miner.js").write_text("")
    assert vendor.check(project) == ["static/vendor/deep/miner.js: not in vendor.lock.json"]


def test_another_version_than_the_locked_one_is_found(project: Path) -> None:
    (project / "vendor.toml").write_text(TOML.replace("1.0.0", "1.0.1"))
    assert vendor.check(project) == ["tiny: vendor.toml says 1.0.1, vendor.lock.json says 1.0.0"]


def test_a_sprite_leaves_strokes_to_css_and_keeps_filled_icons_filled() -> None:
    frame = '<path stroke="none" d="M0 0h24v24H0z" fill="none" />'
    made = vendor.sprite(
        {
            "x": f'<svg fill="none">{frame}\n  <path d="M18 6l-12 12" />\n</svg>',
            "point-filled": f'<svg fill="currentColor">{frame}<path d="M12 7" /></svg>',
        }
    )
    assert made.decode().splitlines() == [
        '<svg xmlns="http://www.w3.org/2000/svg">',
        (
            '<symbol id="icon-point-filled" viewBox="0 0 24 24">'
            '<g fill="currentColor" stroke="none"><path d="M12 7"/></g></symbol>'
        ),
        '<symbol id="icon-x" viewBox="0 0 24 24"><path d="M18 6l-12 12"/></symbol>',
        "</svg>",
    ]
