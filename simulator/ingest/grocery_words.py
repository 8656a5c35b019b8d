"""Readable English for the shortened capitals of a grocery catalogue."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["readable", "readable_size"]

#: Shortened words that occur often, written out. Words that are not here keep their letters.
_LONG: Final = {
    "ADHES": "adhesives",
    "BBQ": "BBQ",
    "BEV": "beverages",
    "BN": "beans",
    "BRD": "bread",
    "BRKFST": "breakfast",
    "CAN": "canned",
    "CATFD": "cat food",
    "CHIX": "chicken",
    "CHOC": "chocolate",
    "CHOCOCLATE": "chocolate",
    "CNTRL": "control",
    "CONV": "convenience",
    "DISP": "disposable",
    "DNRS": "dinners",
    "DRNKNG": "drinking",
    "DRSNG": "dressing",
    "DSH": "dishes",
    "ELECT": "electrical",
    "FD": "food",
    "FLVRD": "flavoured",
    "FRZ": "frozen",
    "FRZN": "frozen",
    "GM": "general merchandise",
    "GOURM": "gourmet",
    "HBC": "health and beauty care",
    "JCE": "juice",
    "LUNCHMT": "lunch meat",
    "MEMORABLILIA": "memorabilia",
    "MERCH": "merchandise",
    "MISC": "miscellaneous",
    "MNRL": "mineral",
    "MT": "meat",
    "NAT": "natural",
    "PCKGD": "packaged",
    "PKG": "packaged",
    "PKT": "packet",
    "PLY": "party supply",
    "PNT": "peanut",
    "PREM": "premium",
    "PROD": "produce",
    "REFRGRATD": "refrigerated",
    "REFRIG": "refrigerated",
    "RTS": "ready-to-serve",
    "SALD": "salad",
    "SFT": "soft",
    "SNDWCH": "sandwich",
    "SPLY": "supply",
    "SPRD": "spread",
    "SUP": "supplies",
    "SWEETNERS": "sweeteners",
    "TRSH": "trash",
    "VEG": "vegetables",
    "WHS": "warehouse",
    "WT": "weight",
}
_KEPT: Final = frozenset({"BBQ", "DVD", "CD", "DXM", "TV", "USA"})
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_SEPARATORS: Final = " -:;,/&.("


def readable(text: str | None) -> str:
    """Write a label in small letters with a capital first, shortened words in full.

    Separators left over at either end (labels are cut at 30 characters) are dropped, and so is a
    bracket that is never closed. The empty text stands for a missing label.

    Examples
    --------
    >>> readable("FRZN ICE")
    'Frozen ice'
    >>> readable("SOUP:  CRACKERS & BREADING -")
    'Soup: crackers & breading'
    """
    words = " ".join((text or "").split())
    if words.count("(") > words.count(")"):
        words = words.replace("(", " ", words.count("(") - words.count(")"))
    words = _WORD.sub(lambda match: _written(match.group()), words)
    words = re.sub(r":(?=\S)", ": ", " ".join(words.split()))
    words = words.strip(_SEPARATORS).lstrip(")")
    return words[:1].upper() + words[1:]


def readable_size(text: str | None) -> str:
    """Write a package size in small letters: ``22 LB`` becomes ``22 lb``."""
    words = " ".join((text or "").split()).strip(_SEPARATORS)
    return words.lower()


def _written(word: str) -> str:
    capitals = word.upper()
    if capitals in _LONG:
        return _LONG[capitals]
    return capitals if capitals in _KEPT else word.lower()
