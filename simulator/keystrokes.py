"""A query as it is typed: its words, their letters, and the keys beside a key."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Final

from footfall.simulator.language import is_unspaced

__all__ = ["KEY_NEIGHBOURS", "letter_runs", "signs_of", "swapped"]

_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def letter_runs(query: str) -> Iterator[tuple[int, int]]:
    """Start and end of every word of letters alone, of scripts with blanks between words."""
    start = 0
    for inside, run in groupby(query, key=_in_word):
        word = "".join(run)
        if inside and not any(unicodedata.category(sign)[0] == "N" for sign in word):
            yield start, start + len(word)
        start += len(word)


def _in_word(sign: str) -> bool:
    if unicodedata.category(sign)[0] not in "LMN":
        return False
    return not is_unspaced(sign)


def signs_of(word: str) -> list[str]:
    """The letters of ``word``, each with the marks that stand on it."""
    signs: list[str] = []
    for sign in word:
        if signs and unicodedata.category(sign)[0] == "M":
            signs[-1] += sign
        else:
            signs.append(sign)
    return signs


def swapped(signs: list[str], place: int) -> list[str] | None:
    """``signs`` with the one at ``place`` and a neighbour exchanged, capitals left where they are.

    None where no two neighbours differ, or in scripts without capitals, whose signs may lean on
    their neighbours.
    """
    order = [*range(place, len(signs) - 1), *range(min(place, len(signs) - 1))]
    for left in order:
        one, other = signs[left], signs[left + 1]
        if one.lower() == other.lower() or one.lower() == one.upper():
            continue
        pair = [other.upper() if one.isupper() else other, one if other.isupper() else one.lower()]
        return [*signs[:left], *pair, *signs[left + 2 :]]
    return None


def _key_neighbours() -> Mapping[str, str]:
    """For every letter of a QWERTY keyboard the letters whose keys touch its key."""
    found: dict[str, str] = {}
    for row, letters in enumerate(_ROWS):
        for column, letter in enumerate(letters):
            near = [(row, column - 1), (row, column + 1)]
            # Each row is shifted to the right of the one above it by less than a key.
            near += [(row - 1, column), (row - 1, column + 1)]
            near += [(row + 1, column - 1), (row + 1, column)]
            found[letter] = "".join(
                _ROWS[r][c] for r, c in near if 0 <= r < len(_ROWS) and 0 <= c < len(_ROWS[r])
            )
    return found


#: The letters whose keys touch a letter's key on a QWERTY keyboard.
KEY_NEIGHBOURS: Final = _key_neighbours()
