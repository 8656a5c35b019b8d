"""What a shopper, a query and an item are to the response model: hashed fields, words, crosses.

Nothing here knows a log's columns or language. An *atom* is one thing that is the case: a
demographic value, a part of the query, a level of the item's category. A *cross* is two atoms
together, such as a kind of item and a kind of person. A *habit* is what a person is known for with
this very kind of item, such as how often they eat out when the offer is a restaurant's: the same
atom for every kind, so that it speaks of kinds without a response, too. Atoms are hashed from their
text, crosses from their atoms' hashes, into one space of :data:`HASH_SPACE` places (Weinberger et
al. 2009, "Feature hashing for large scale multitask learning").

Every feature belongs to a *group*, which says what it is about and not what it says: "the person's
age", "first part of the query and the category". The model learns how much each group tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.utils import murmurhash3_32

from footfall.personas.persona import Persona
from footfall.personas.stated_habits import field_about
from footfall.personas.tokens import normalize, text_parts, tokenize
from footfall.simulator.needs import category_prefixes

__all__ = ["HASH_SPACE", "Features", "slate_features"]

Codes: TypeAlias = npt.NDArray[np.uint64]
Floats: TypeAlias = npt.NDArray[np.float64]
Row: TypeAlias = Mapping[str, Any]

#: Places of the hash space; a place fits two bytes.
HASH_SPACE: Final = 2**16

#: Interests of a persona, and words of a text that are read, at most.
_MOST_INTERESTS: Final = 3
_MOST_WORDS: Final = 16
#: Prices are told apart in this number of steps from one price to its tenfold.
_PRICE_STEPS: Final = 4


class Features(NamedTuple):
    """Features of one slate, one entry a feature of an item; all arrays of the same length.

    ``rows`` is the item's index in the slate, ``places`` lies in ``[0, HASH_SPACE)``, ``groups``
    holds hashes, and ``values`` are 1, or ``1 / sqrt(n)`` each for ``n`` words of one text, so
    that a long text does not speak louder than a short one.
    """

    rows: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    groups: Codes
    values: Floats


class _Atoms(NamedTuple):
    codes: Codes
    groups: Codes
    values: Floats


class _Query(NamedTuple):
    parts: _Atoms
    pairs: _Atoms
    words: _Atoms
    tokens: frozenset[str]


class _Item(NamedTuple):
    kinds: _Atoms
    words: _Atoms
    tokens: frozenset[str]


def slate_features(persona: Persona, query: str | None, rows: Sequence[Row]) -> Features:
    """Atoms and crosses of one slate.

    Parameters
    ----------
    persona:
        Its demographics and heaviest interests are read.
    query:
        What was asked, or a situation in words; its parts between commas count as fields.
    rows:
        Rows of a catalogue: ``text``, ``category``, ``brand`` and ``price``, each of which may be
        missing or null.
    """
    known = _known(persona)
    person = _person(persona, known)
    asked = _query(query or "")
    items = [_item(*_read(row)) for row in rows]
    every = np.arange(len(items))
    kinds, kind_rows = _stacked([item.kinds for item in items])
    words, word_rows = _stacked([item.words for item in items])
    matches, match_rows = _stacked([_match(asked.tokens, item.tokens) for item in items])
    whole = _joined([person, asked.parts, asked.pairs, asked.words])
    habits, habit_rows = _stacked([_habit(known, row.get("category") or "") for row in rows])
    blocks = [
        (_repeated(whole, len(items)), np.repeat(every, len(whole.codes))),
        (kinds, kind_rows),
        (words, word_rows),
        (matches, match_rows),
        (habits, habit_rows),
    ]
    for left, left_rows, right in (
        (kinds, kind_rows, _joined([person, asked.parts])),
        (words, word_rows, asked.words),
    ):
        blocks.append((_crossed(left, right), np.repeat(left_rows, len(right.codes))))
    atoms = _joined([block for block, _ in blocks])
    return Features(
        np.concatenate([of for _, of in blocks]).astype(np.int64),
        (atoms.codes % np.uint64(HASH_SPACE)).astype(np.int64),
        atoms.groups,
        atoms.values,
    )


def _read(row: Row) -> tuple[str, str, str, int | None]:
    """Text, category, brand and price step of a row, as they are kept in memory."""
    price = row.get("price")
    step = None
    if price is not None and math.isfinite(price) and price > 0:
        step = round(_PRICE_STEPS * math.log10(price))
    return row.get("text") or "", row.get("category") or "", row.get("brand") or "", step


def _known(persona: Persona) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in persona.demographics.items() if value)


@lru_cache(maxsize=65536)
def _habit(fields: tuple[tuple[str, str], ...], category: str) -> _Atoms:
    field = field_about(category, [name for name, _ in fields])
    return _atoms([] if field is None else [("habit", normalize(dict(fields)[field]))])


def _person(persona: Persona, known: tuple[tuple[str, str], ...]) -> _Atoms:
    heaviest = sorted(persona.interests.items(), key=lambda pair: (-pair[1], pair[0]))
    return _person_atoms(known, tuple(path for path, _ in heaviest[:_MOST_INTERESTS]))


@lru_cache(maxsize=8192)
def _person_atoms(demographics: tuple[tuple[str, str], ...], interests: tuple[str, ...]) -> _Atoms:
    return _atoms(
        [(f"person {name}", normalize(value)) for name, value in demographics]
        + [("interest", path) for path in interests]
    )


@lru_cache(maxsize=8192)
def _query(query: str) -> _Query:
    """A query's parts between commas, numbered, their pairs, and its words."""
    tokens = list(dict.fromkeys(tokenize(query)))
    parts = _atoms(
        [(f"query {place}", part) for place, part in enumerate(text_parts(query) or [""])]
    )
    first, second = np.triu_indices(len(parts.codes), k=1)
    return _Query(
        parts,
        _mixed(_taken(parts, first), _taken(parts, second)),
        _words("query words", tokens),
        frozenset(tokens),
    )


@lru_cache(maxsize=65536)
def _item(text: str, category: str, brand: str, price_step: int | None) -> _Item:
    tokens = list(dict.fromkeys(tokenize(text)))
    parts = text_parts(text)
    kinds = [
        (f"category {depth}", prefix) for depth, prefix in enumerate(category_prefixes(category))
    ]
    if len(parts) > 1:
        kinds += [(f"item {place}", part) for place, part in enumerate(parts)]
    if brand:
        kinds.append(("brand", normalize(brand)))
    if price_step is not None:
        kinds.append(("price", str(price_step)))
    return _Item(_atoms(kinds), _words("item words", tokens), frozenset(tokens))


def _match(asked: frozenset[str], item: frozenset[str]) -> _Atoms:
    """How much of the query the item's text holds, in quarters; nothing where nothing is asked."""
    return _match_atoms(4 * len(asked & item) // len(asked) if asked else None)


@lru_cache(maxsize=8)
def _match_atoms(quarters: int | None) -> _Atoms:
    return _atoms([] if quarters is None else [("match", str(quarters))])


def _words(group: str, tokens: Sequence[str]) -> _Atoms:
    atoms = _atoms([(group, token) for token in tokens[:_MOST_WORDS]])
    return atoms._replace(values=atoms.values / math.sqrt(max(len(atoms.codes), 1)))


def _atoms(named: Sequence[tuple[str, str]]) -> _Atoms:
    """Atoms of (group, text): the group is part of what is hashed."""
    codes = [_code(f"{group}={text}") for group, text in named]
    groups = [_code(group) for group, _ in named]
    return _Atoms(np.array(codes, np.uint64), np.array(groups, np.uint64), np.ones(len(named)))


@lru_cache(maxsize=65536)
def _code(text: str) -> int:
    return int(murmurhash3_32(text, 0, True))


def _joined(several: Sequence[_Atoms]) -> _Atoms:
    return _Atoms(
        np.concatenate([atoms.codes for atoms in several]),
        np.concatenate([atoms.groups for atoms in several]),
        np.concatenate([atoms.values for atoms in several]),
    )


def _stacked(several: Sequence[_Atoms]) -> tuple[_Atoms, npt.NDArray[np.int64]]:
    """Atoms of all items of a slate, and the item of each."""
    sizes = [len(atoms.codes) for atoms in several]
    return _joined([_atoms([]), *several]), np.repeat(np.arange(len(several)), sizes)


def _taken(atoms: _Atoms, places: npt.NDArray[np.int64]) -> _Atoms:
    return _Atoms(atoms.codes[places], atoms.groups[places], atoms.values[places])


def _repeated(atoms: _Atoms, times: int) -> _Atoms:
    return _taken(atoms, np.tile(np.arange(len(atoms.codes)), times))


def _crossed(left: _Atoms, right: _Atoms) -> _Atoms:
    """Every atom of ``left`` with every one of ``right``, the latter running fastest."""
    each = np.repeat(np.arange(len(left.codes)), len(right.codes))
    return _mixed(_taken(left, each), _repeated(right, len(left.codes)))


def _mixed(left: _Atoms, right: _Atoms) -> _Atoms:
    return _Atoms(
        _hashed(left.codes, right.codes),
        _hashed(left.groups, right.groups),
        left.values * right.values,
    )


def _hashed(left: Codes, right: Codes) -> Codes:
    """Hash of two hashes; their order counts (the mixer of SplitMix64, Steele et al. 2014)."""
    mixed = left * np.uint64(0x9E3779B97F4A7C15) + right
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)
