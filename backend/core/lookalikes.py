"""Names that read as another one though their letters differ: Cyrillic and Greek twins of Latin letters, digits."""

import re
import unicodedata

# Folded letters and digits, and the Latin letters that a reader takes them for, small or capital.
TWINS = str.maketrans("авекмнорстухіјѕһԁԛԝз" + "αβεζηικμνορτυχ01l|", "abekmhopctyxijshdqw3" + "abezhikmnoptyxoiii")
WORD = re.compile(r"[^\W\d_]+")


def skeleton(name: str) -> str:
    """What is left of a name when whatever looks alike is the same; blanks, accents and what is invisible go."""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(char for char in parts if char.isalnum() or char == "|").translate(TWINS)


def mixes_alphabets(name: str) -> bool:
    """Whether a word of it has letters of two alphabets: nobody writes so but to be taken for another."""
    return any(
        len({_alphabet(char) for char in word}) > 1 for word in WORD.findall(unicodedata.normalize("NFKC", name))
    )


def _alphabet(letter: str) -> str:
    return unicodedata.name(letter, "?").partition(" ")[0]
