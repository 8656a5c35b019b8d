"""Words out of text, for scripts with and without spaces.

One tokeniser serves the persona vectorisers and the search engines, so that a shopper's history
and a shop's index agree on what a word is.

* Spaced scripts (Latin, Cyrillic, Devanagari, ...): runs of letters, marks and digits; a number
  with a decimal point stays whole (``1.5``).
* Scripts without spaces (Han, kana, Hangul, Thai, Lao, Khmer, Burmese): every character, and every
  overlapping pair of characters, as Lucene's CJK analyser does with unigram output switched on:
  ``纯牛奶`` gives ``纯 纯牛 牛 牛奶 奶``. Pairs carry most of the meaning; single characters let a
  one-character query find something.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Final

__all__ = ["normalize", "text_parts", "tokenize"]

#: What stands between the parts of a text that is a row of fields.
_PART_ENDS: Final = re.compile(r"(?<!\d),|,(?!\d)|[;|，；、｜]")
_MOST_PARTS: Final = 8

# Hangul has spaces, but its words carry glued-on particles, so pairs work better there too.
_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303b"  # ideographic marks and numerals
    "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U0003ffff"  # Han, supplementary planes
)


def normalize(text: str) -> str:
    """Lower-cased text in Unicode form NFKC: full-width ``Ａ１`` becomes ``a1``.

    Normalising twice changes nothing more.
    """
    # Lower-casing can take a text out of NFKC (and NFKC can bring back a capital), hence twice.
    text = unicodedata.normalize("NFKC", text).lower()
    return unicodedata.normalize("NFKC", text)


def text_parts(text: str) -> list[str]:
    """The normalised parts of a text between commas, semicolons and bars, the first eight.

    A comma between digits belongs to a number.
    """
    parts = (" ".join(normalize(part).split()) for part in _PART_ENDS.split(text))
    return [part for part in parts if part][:_MOST_PARTS]


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Regular expressions of a run, of its parts by script, and of a character with its marks."""
    # Python's \w leaves out combining marks, which would cut Hindi words at every vowel sign.
    marks = re.escape(
        "".join(
            chr(code)
            for code in range(0x300, 0x20000)
            if unicodedata.category(chr(code)) in {"Mn", "Mc"}
        )
    )
    run = re.compile(rf"\d+(?:\.\d+)+|(?:[^\W_]|[{marks}])+")
    part = re.compile(f"(?P<unspaced>[{_UNSPACED}]+)|[^{_UNSPACED}]+")
    return run, part, re.compile(f".[{marks}]*")


def _words(text: str) -> Iterator[str]:
    runs, parts, characters = _patterns()
    for run in runs.findall(normalize(text)):
        if run.isascii():
            yield run
            continue
        for part in parts.finditer(run):
            if part.lastgroup is None:
                yield part.group()
                continue
            previous = ""
            for character in characters.findall(part.group()):
                if previous:
                    yield previous + character
                yield character
                previous = character


def tokenize(text: str) -> list[str]:
    """Tokens of ``text`` in reading order, repeats kept; an empty list where there are none.

    Examples
    --------
    >>> tokenize("2% Milk, 1.5 L")
    ['2', 'milk', '1.5', 'l']
    >>> tokenize("纯牛奶250ml")
    ['纯', '纯牛', '牛', '牛奶', '奶', '250ml']
    """
    return list(_words(text))
