"""What people say of themselves that is about a kind of item, such as how often they eat out.

Nothing here knows a log's columns or language: a field of a person is about a kind of item if its
name says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from footfall.personas.tokens import tokenize

__all__ = ["field_about"]

#: Between the words of a field's name, as in ``coffee_house`` and ``CoffeeHouse``.
_WORD_ENDS: Final = re.compile(r"_|(?<=[^\W_A-Z])(?=[A-Z])")
#: Share of its words that a name has to have in common with the category.
_LEAST_ALIKE: Final = 0.5


def field_about(category: str, names: Sequence[str]) -> str | None:
    """The field whose name shares most of its words with a category, half of them at least.

    Parameters
    ----------
    category:
        A path joined by ``" > "``, of which the last step is compared.
    names:
        Names of fields. Of equally good ones the first counts.

    Returns
    -------
    str or None
        None where no name is like the category.
    """
    kind = tokenize(category.rpartition(" > ")[2])
    best: tuple[float, str] | None = None
    for name in names:
        words = tokenize(_WORD_ENDS.sub(" ", name))
        shared = sum(any(_same_word(word, other) for other in kind) for word in words)
        alike = shared / max(len(words), 1)
        if alike >= _LEAST_ALIKE and (best is None or alike > best[0]):
            best = (alike, name)
    return None if best is None else best[1]


def _same_word(word: str, other: str) -> bool:
    """Whether one is the other with a short ending, as in a plural."""
    shorter, longer = sorted((word, other), key=len)
    return longer.startswith(shorter) and len(longer) - len(shorter) <= min(2, len(shorter) // 3)
