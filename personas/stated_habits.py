"""What people say of themselves that is about a kind of item, such as how often they eat out.

Nothing here knows a log's columns or language: a field of a person is about a kind of item if its
name says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from footfall.personas.tokens import normalize, tokenize

__all__ = ["stated_habit"]

#: Between the words of a field's name, as in ``coffee_house`` and ``CoffeeHouse``.
_WORD_ENDS: Final = re.compile(r"_|(?<=[^\W_A-Z])(?=[A-Z])")


def stated_habit(demographics: Mapping[str, str], category: str) -> str | None:
    """Normalised value of the field whose name shares most of its words with a category.

    Parameters
    ----------
    demographics:
        Names and values. Of equally good names the first counts.
    category:
        A path joined by ``" > "``, of which the last step is compared.

    Returns
    -------
    str or None
        None where no field's name shares a word with the category.
    """
    field = _field_named_like(category, tuple(demographics))
    return None if field is None else normalize(demographics[field])


@lru_cache(maxsize=65536)
def _field_named_like(category: str, names: tuple[str, ...]) -> str | None:
    kind = tokenize(category.rpartition(" > ")[2])
    best: tuple[float, str] | None = None
    for name in names:
        words = tokenize(_WORD_ENDS.sub(" ", name))
        alike = sum(any(_same_word(word, other) for other in kind) for word in words)
        if alike and (best is None or alike / len(words) > best[0]):
            best = (alike / len(words), name)
    return None if best is None else best[1]


def _same_word(word: str, other: str) -> bool:
    """Whether one is the other with a short ending, as in a plural."""
    shorter, longer = sorted((word, other), key=len)
    return longer.startswith(shorter) and len(longer) - len(shorter) <= min(2, len(shorter) // 3)
