"""Which of the old one-byte encodings a Russian text is in: read in a wrong one it has odd letters in odd places."""

import mmap
import re
from itertools import islice
from math import log
from pathlib import Path

ENCODINGS = ("cp1251", "koi8-r", "mac-cyrillic", "cp866")  # of two that fit alike, the first
WORDS = re.compile(rb"[\x80-\xff]{1,40}")
ENOUGH, FEW = 2_000, 4  # words; letters that say too little
# How often a letter stands in Russian texts, of a thousand; ё as people write it.
OFTEN = {
    "о": 110, "е": 84, "а": 80, "и": 74, "н": 67, "т": 63, "с": 55, "р": 47, "в": 45, "л": 44, "к": 35, "м": 32,
    "д": 30, "п": 28, "у": 26, "я": 20, "ы": 19, "ь": 17, "г": 17, "з": 16, "б": 16, "ч": 14, "й": 12, "х": 10,
    "ж": 9, "ш": 7, "ю": 6, "ц": 5, "щ": 4, "э": 3, "ф": 3, "ё": 3, "ъ": 1,
}  # fmt: skip
WEIGHTS = {letter: log(often) for letter, often in OFTEN.items()} | dict.fromkeys("«»№–—\u00a0", log(3))
DASH = log(20)  # by itself: of the same byte others make a capital, which seldom stands alone
STRANGE = log(0.2)  # no letter of ours, or a capital behind a small one
LOUD = 0.1  # whole words in capitals are rarer: what KOI8 has as small letters others have as capitals


def guess(path: Path) -> str:
    """The encoding of a file that is not in UTF-8."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        words = [found[0] for found in islice(WORDS.finditer(text), ENOUGH)]
    if sum(map(len, words)) < FEW:
        return ENCODINGS[0]
    return max(ENCODINGS, key=lambda encoding: sum(likely(word.decode(encoding, "replace")) for word in words))


def likely(word: str) -> float:
    """The more the better; the same bytes have as many letters in each encoding."""
    if word in ("–", "—"):
        return DASH
    found, before = 0.0, ""
    for letter in word:
        odd = letter.isupper() and before.islower()
        found += STRANGE if odd else WEIGHTS.get(letter.lower(), STRANGE)
        found -= LOUD if letter.isupper() and before.isupper() else 0
        before = letter
    return found
