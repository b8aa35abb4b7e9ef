"""Search by fragments over one normalised column, indexed by trigrams on both databases.

`keys`: what a row's key holds and what a typed word may mean. `lookup`: texts in a key as SQL. `index`: who fits.
`near`: who does but for a typo. `ranking`: who fits best, a page at a time.
"""

from backend.database.search.index import SearchIndex, asks, matches
from backend.database.search.keys import (
    SEARCH_LENGTH,
    SOUND,
    Key,
    Searchable,
    alternatives,
    fill,
    key_of,
    normalise,
    sound,
)
from backend.database.search.ranking import Ranking

__all__ = [
    "SEARCH_LENGTH",
    "SOUND",
    "Key",
    "Ranking",
    "SearchIndex",
    "Searchable",
    "alternatives",
    "asks",
    "fill",
    "key_of",
    "matches",
    "normalise",
    "sound",
]
