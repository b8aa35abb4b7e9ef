"""No text is a formula in a downloaded table, in its heading or below it: 5,000 texts that would like to be one."""

import csv
import io
import re
import zipfile
from datetime import UTC
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from backend.core import exports
from tests.figures import Figure

TEXTS, AT_ONCE = 5_000, 100
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")
BLANKS = ("", " ", "   ", "\xa0", "\u3000", "\u2003", " \t", "'", '"', "\r\n ")
HARM = ("1+1", "cmd|' /C calc'!A0", 'HYPERLINK("http://evil.example")', "SUM(A1:A9)", "", "1,2;3", '""', "=", "_x0041_")
storable = st.characters(exclude_categories=["Cs"])
text = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(BLANKS),
        st.sampled_from((*STARTS, "", "a")),
        st.one_of(st.sampled_from(HARM), st.text(storable, max_size=8)),
    ),
)
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")


def would_run(text: str) -> bool:
    """A spreadsheet may read it as a formula, perhaps after it has cut the blanks off."""
    return any(text.startswith(start) or text.lstrip().startswith(start) for start in STARTS)


def cells_of(body: bytes) -> list[tuple[str, str]]:
    """(type, text) of every cell of a workbook, from its XML; the type of a formula is "formula"."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    found = []
    for cell in sheet.iter(f"{SHEET}c"):
        told = "".join(part.text or "" for part in cell.iter(f"{SHEET}t"))
        plain = ESCAPED.sub(lambda code: chr(int(code[1], 16)), told)
        formula = cell.find(f"{SHEET}f") is not None
        found.append(("formula" if formula else cell.attrib.get("t", "n"), plain))
    return found


def test_no_text_is_a_formula_in_any_file(figure: Figure) -> None:
    seen = formulas = 0

    @settings(max_examples=TEXTS // AT_ONCE, deadline=None, derandomize=True, database=None)
    @given(st.lists(text, min_size=AT_ONCE, max_size=AT_ONCE))
    def holds(texts: list[str]) -> None:
        nonlocal seen, formulas
        seen += len(texts)
        formulas += sum(map(would_run, texts))
        header, rows = texts[:5], [texts[at : at + 5] for at in range(5, len(texts), 5)]

        told = b"".join(exports._csv(header, iter(rows))).decode("utf-8-sig")
        back = [value for row in csv.reader(io.StringIO(told, newline="")) for value in row]
        assert back == [f"'{value}" if would_run(value) else value for value in texts]
        assert not any(value.startswith(STARTS) for value in back)

        cells = cells_of(b"".join(exports._xlsx(header, iter(rows), UTC)))
        assert {kind for kind, _text in cells} == {"inlineStr"}
        assert [value for _kind, value in cells if value] == [value for value in texts if value]

    holds()
    assert seen >= TEXTS
    assert formulas > TEXTS // 2
    figure("B15", "texts that are a formula in CSV or XLSX", 0, "0", seen)
