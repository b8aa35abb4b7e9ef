from pathlib import Path

import pytest
from jinja2 import Environment, FileSystemLoader

from backend.core.compiled import BesideSources


def drawn(folder: Path) -> str:
    cache = BesideSources(folder)
    return (
        Environment(loader=FileSystemLoader(folder), bytecode_cache=cache, autoescape=True)
        .get_template("a.html")
        .render()
    )


def test_a_compiled_template_is_kept_until_its_source_changes(tmp_path: Path) -> None:
    source = tmp_path / "a.html"
    source.write_text("one")
    assert drawn(tmp_path) == "one"
    [kept] = (tmp_path / "__pycache__").iterdir()
    before = kept.stat().st_mtime_ns
    assert (drawn(tmp_path), kept.stat().st_mtime_ns) == ("one", before)
    source.write_text("two")
    assert drawn(tmp_path) == "two"


@pytest.mark.parametrize("broken", [b"", b"not ours"])
def test_a_damaged_file_is_made_again(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "a.html").write_text("one")
    drawn(tmp_path)
    [kept] = (tmp_path / "__pycache__").iterdir()
    kept.write_bytes(broken)
    assert drawn(tmp_path) == "one"
    assert kept.read_bytes() != broken


def test_a_folder_that_takes_no_files_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("one")
    (tmp_path / "__pycache__").write_text("a file in the place of the folder")
    assert drawn(tmp_path) == "one"
