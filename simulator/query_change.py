"""What the second of two queries does to the first.

The kinds follow Huang & Efthimiadis (2009), who sort the second query of a pair by what it does to
the first: words added, words dropped, words replaced, spelling corrected (with their white space
and stemming), or another query altogether. Words in scripts without blanks are compared sign by
sign: ``小米手机`` to ``小米`` drops, ``汽车`` to ``火车`` is another query.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from difflib import SequenceMatcher
from itertools import groupby
from typing import Final, Literal

from footfall.personas.tokens import normalize
from footfall.simulator.language import is_unspaced

__all__ = ["ReformulationKind", "is_reformulation", "reformulation_kind"]

ReformulationKind = Literal["same", "added", "dropped", "replaced", "corrected", "new"]

#: Queries that share this much of the shorter one are about the same thing.
_COMMON: Final = 0.5
#: Letters of the shortest word with one corrected letter, and with two.
_ONE_LETTER: Final = 4
_TWO_LETTERS: Final = 8


def is_reformulation(first: str, second: str) -> bool:
    """Whether ``second`` asks for the same as ``first`` in other words."""
    return reformulation_kind(first, second) not in {"same", "new"}


def reformulation_kind(first: str, second: str) -> ReformulationKind:
    """What ``second`` does to ``first``.

    Returns
    -------
    ReformulationKind
        ``same``: the same words in any order, case and width. ``corrected``: blanks apart the same,
        or one word differs by one letter (two in words of eight and more), numbers never.
        ``added`` and ``dropped``: all of one query is in the other. ``replaced``: half of the
        shorter query is in the other, numbers not counted. Else ``new``.
    """
    one, other = _Words(first), _Words(second)
    if one.all == other.all:
        return "same"
    if one.solid == other.solid or _respelt(one, other):
        return "corrected"
    if other.has(one):
        return "added"
    if one.has(other):
        return "dropped"
    return "replaced" if one.common(other) >= _COMMON else "new"


class _Words:
    """A query taken apart.

    ``words`` are runs of letters and digits, ``runs`` those of scripts without blanks; ``units``
    are the words with letters and digits parted (``halo4`` is ``halo 4``) that are no numbers.
    """

    def __init__(self, query: str) -> None:
        self.words: list[str] = []
        self.runs: list[str] = []
        text = normalize(query).replace("'", "").replace("’", "")
        for kind, run in groupby(text, key=_sign_kind):
            if kind != "gap":
                (self.runs if kind == "unspaced" else self.words).append("".join(run))
        self.solid = "".join(sign for sign in text if _sign_kind(sign) != "gap")
        parted = ("".join(run) for word in self.words for _, run in groupby(word, str.isdigit))
        self.parted = Counter(parted)
        self.units = {unit for unit in self.parted if not unit.isdigit()}

    @property
    def all(self) -> list[str]:
        return sorted([*self.words, *self.runs])

    def has(self, other: _Words) -> bool:
        """Whether all of ``other`` is in here."""
        runs = all(any(run in mine for mine in self.runs) for run in other.runs)
        return runs and other.parted <= self.parted

    def common(self, other: _Words) -> float:
        """Share of the shorter query that both have; a sign of an unspaced script is a word."""
        shared = len(self.units & other.units)
        mine, theirs = "".join(self.runs), "".join(other.runs)
        match = SequenceMatcher(None, mine, theirs, autojunk=False).find_longest_match()
        # One sign in common is chance: a word has two.
        shared += match.size if match.size > 1 else 0
        shorter = min(len(self.units) + len(mine), len(other.units) + len(theirs))
        return shared / shorter if shorter else 0.0


def _sign_kind(sign: str) -> str:
    if unicodedata.category(sign)[0] not in "LMN":
        return "gap"
    return "unspaced" if is_unspaced(sign) else "word"


def _respelt(one: _Words, other: _Words) -> bool:
    """Whether one word differs, and by no more than a correction does."""
    if one.runs != other.runs or len(one.words) != len(other.words):
        return False
    differing = [pair for pair in zip(one.words, other.words, strict=True) if pair[0] != pair[1]]
    if len(differing) != 1:
        return False
    first, second = differing[0]
    shorter = min(len(first), len(second))
    if shorter < _ONE_LETTER or any(sign.isdigit() for sign in first + second):
        return False
    return _distance(first, second) <= (2 if shorter >= _TWO_LETTERS else 1)


def _distance(one: str, other: str) -> int:
    """Letters dropped, added, replaced or swapped with a neighbour (Damerau 1964)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, sign in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, letter in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (sign != letter))
            if i > 1 and j > 1 and sign == other[j - 2] and letter == one[i - 2]:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]
