"""Texts that look like those of a corpus, and are not: the same ones for the same random numbers."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 4_000  # characters of an input
# What has broken parsers before.
NASTY = (
    "\0", "\ud800", "\udfff", "\ufeff", "\u202e", "\u2028", "\x85", "\r\n", "\n", "\t", " ", "\xa0", "\x1f",
    "\x7f", "ё", "İ", "ß", "ﷺ", "\u0301" * 20, "👩‍👩‍👧‍👦", "𝕏", "٣", "①", "＇", "'", '"', "`", "\\", "/", "//",
    "../", "%00", "%", "%s", "{}", "[]", "[" * 300, "(" * 200, "{" * 200, ">" * 200, "*" * 200, "_" * 99,
    "`" * 99, "- " * 60, "![](", "](", "[a]: ", "<script>", "<!--", "]]>", "&#0;", "&#x110000;", "&amp;", "=",
    "&", ";", ":", ",", ".", "..", "-", "--", "+", "@", "#", "0", "-0", "-1", "1e999", "NaN", "Infinity",
    "0x10", "1_000", "9" * 25, "9" * 400, str(2** 31), str(2** 63), "0.1", "null", "true", "false", "None",
    "2026-02-30", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "T24:00:00", "=1+1", "' OR 1=1--",
    "PK\x03\x04", "sep=;", '"' * 9, "\x1b[0m", "ftypisom", "lyc_", "==", "a" * 500,
)  # fmt: skip


@dataclass
class Mutator:
    """Inputs that look like those of a corpus, and are not."""

    random: random.Random

    def of(self, corpus: Sequence[str]) -> str:
        made = self.random.choice(corpus)
        for _time in range(self.random.choice((1, 1, 1, 2, 3, 6))):
            made = self._changed(made, corpus)
        return made[:LONGEST]

    def _changed(self, made: str, corpus: Sequence[str]) -> str:
        pick = self.random.randrange
        at = pick(len(made) + 1)
        to = min(len(made), at + pick(12))
        ways = (
            lambda: made[:at] + made[to:],
            lambda: made[:to] + made[at:],
            lambda: made[:at] + self.random.choice(NASTY) + made[at:],
            lambda: made[:at] + self.random.choice(NASTY) + made[to:],
            lambda: made[:at] + chr(pick(0x110000) if pick(4) == 0 else pick(0x100)) + made[at + 1 :],
            lambda: made[:at] + self._part(self.random.choice(corpus)) + made[to:],
            lambda: made[:at] + made[at:to] * pick(2, 40) + made[to:],
            lambda: made[:at] + made[at:to].swapcase() + made[to:][::-1],
            lambda: self._part(made),
        )
        return ways[pick(len(ways))]()

    def _part(self, whole: str) -> str:
        ends = sorted(self.random.randrange(len(whole) + 1) for _end in range(2))
        return whole[ends[0] : ends[1]]
