"""Queries as they are typed when something goes wrong, or in another script.

None of this translates. ``other letters`` spells Latin words in Cyrillic letters, and Cyrillic
words in Latin ones, sign by sign: what is left when a keyboard is set to another language or
somebody writes by ear. ``foreign words`` takes words from the catalogue's own texts of another
script, at random: such a query is for something else, and what it tests is whether a mixed script
breaks anything. Real words of another language come from the ``words`` of a scenario, or from a
language model that is told another locale.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from footfall.eval.stress.scenario_tables import QueryChange
from footfall.personas.tokens import normalize
from footfall.simulator.behaviour import Rate
from footfall.simulator.language import language_of, letter_scripts
from footfall.simulator.typing_slips import TypingSlips

__all__ = ["QueryWriter", "foreign_words"]

_CYRILLIC: Final = {
    **dict(zip("abcdefghiklmnopqrstuvwyz", "абцдефгхиклмнопкрстуввйз", strict=True)),
    "j": "дж",
    "x": "кс",
}
_LATIN: Final = {
    **dict(zip("абвгдезийклмнопрстуфыэ", "abvgdeziyklmnoprstufye", strict=True)),
    "ё": "yo",
    "ж": "zh",
    "х": "kh",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "shch",
    "ю": "yu",
    "я": "ya",
}
#: The hard and the soft sign are not heard.
_LETTERS: Final = _CYRILLIC | _LATIN | {"ъ": "", "ь": ""}
#: Full-width forms lie this far above ASCII; the blank has one of its own.
_FULL_WIDTH: Final = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
_MOST_WORDS: Final = 500
_TEXTS: Final = 5000


@dataclass(frozen=True, slots=True)
class QueryWriter:
    """Changes queries; given to a crowd as what happens to them on their way to the target.

    Attributes
    ----------
    change:
        What the scenario asks for.
    slips:
        The log's kinds of slips.
    foreign:
        Words of the catalogue in another script than most.
    """

    change: QueryChange
    slips: TypingSlips
    foreign: tuple[str, ...] = ()

    def __call__(self, queries: list[str], rng: np.random.Generator) -> list[str]:
        """The queries as they are typed, in their order; none becomes empty.

        Two numbers are drawn for each query, and then what the changed ones need.
        """
        chances = rng.random((len(queries), 2))
        always = self.slips.model_copy(update={"rate": Rate(value=1.0, note="set by a scenario")})
        typed = list(queries)
        for place in np.flatnonzero(chances[:, 0] < self.change.share).tolist():
            typed[place] = self._otherwise(typed[place], rng)
        for place in np.flatnonzero(chances[:, 1] < self.change.slips).tolist():
            typed[place] = always.apply(typed[place], rng)
        return typed

    def _otherwise(self, query: str, rng: np.random.Generator) -> str:
        """In one of the ways, drawn of those that change anything."""
        ways = [*self.change.written, *(("instead",) if self.change.instead else ())]
        for place in rng.permutation(len(ways)).tolist():
            written = self._written(query, ways[place], rng)
            if written.strip() and written != query:
                return written
        return query

    def _written(self, query: str, way: str, rng: np.random.Generator) -> str:
        if way == "no accents":
            signs = unicodedata.normalize("NFD", query)
            # Only marks on Latin, Greek and Cyrillic letters: elsewhere they are vowels.
            kept = [s for s in signs if not "\u0300" <= s <= "\u036f"]
            return unicodedata.normalize("NFC", "".join(kept))
        if way == "full width":
            return query.translate(_FULL_WIDTH)
        if way == "other letters":
            return "".join(_LETTERS.get(sign, sign) for sign in query.lower())
        if way == "word list":
            known = {normalize(word): typed for word, typed in self.change.words.items()}
            return " ".join(known.get(normalize(word), word) for word in query.split())
        return self._drawn(query, way, rng)

    def _drawn(self, query: str, way: str, rng: np.random.Generator) -> str:
        if way == "instead":
            return self.change.instead[int(rng.integers(len(self.change.instead)))]
        words = query.split()
        if not self.foreign or not words:
            return query
        words[int(rng.integers(len(words)))] = self.foreign[int(rng.integers(len(self.foreign)))]
        return " ".join(words)


def foreign_words(texts: Sequence[str]) -> tuple[str, ...]:
    """Different words of ``texts`` in another script than that of most letters, sorted.

    At most 500 words of 5,000 texts, spread evenly over them.
    """
    step = max(1, len(texts) // _TEXTS)
    looked = list(texts[::step][:_TEXTS])
    main = language_of(looked).script
    own = {"Han", "Kana"} if main in {"Han", "Kana"} else {main}
    found = {word for text in looked for word in text.split() if _is_foreign(word, own)}
    words = sorted(found)
    return tuple(words[:: max(1, -(-len(words) // _MOST_WORDS))])


def _is_foreign(word: str, own: set[str]) -> bool:
    scripts = letter_scripts(word)
    return bool(scripts) and not own & set(scripts)
