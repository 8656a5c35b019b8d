"""How varied queries are: their length, and the share of distinct words and word pairs.

Words come from the tokeniser of the personas; in scripts without spaces every character is a
word. Distinct-n falls with the number of queries, so both sides and all parts are compared on
samples of equal size (Li et al. 2016, "A diversity-promoting objective function", distinct-1/2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.eval.likeness_counts import Counts, SideUsers

__all__ = ["DistinctShares", "Queries", "query_words"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

_LARGEST_SAMPLE: Final = 1000
_SMALLEST_SAMPLE: Final = 10


def query_words(query: str) -> list[str]:
    """Words of a query; in scripts without spaces each character is one.

    Examples
    --------
    >>> query_words("纯牛奶 250ml")
    ['纯', '牛', '奶', '250ml']
    """
    from footfall.personas.tokens import tokenize

    tokens = tokenize(query)
    # The tokeniser puts each overlapping pair between its two characters; those are dropped.
    return [
        token
        for place, token in enumerate(tokens)
        if not (
            0 < place < len(tokens) - 1
            and not token.isascii()
            and token == tokens[place - 1] + tokens[place + 1]
        )
    ]


@dataclass(frozen=True, slots=True)
class DistinctShares:
    """Distinct-n of both sides, and distances, each of shape ``(splits,)``.

    ``floors`` are the distances of real parts to the rest, ``gaps`` those of the samples of the
    run to the samples of the real log.
    """

    real: float
    synthetic: float
    floors: Floats
    gaps: Floats
    sample: int


class Queries:
    """The queries of both sides as word numbers.

    Parameters
    ----------
    rows:
        Columns synthetic, user (its index within its side) and query, one row per query typed.
    users:
        The users of both sides.
    """

    def __init__(self, rows: pa.Table, users: SideUsers) -> None:
        encoded = rows["query"].combine_chunks().dictionary_encode()
        texts = [query_words(text) for text in encoded.dictionary.to_pylist()]
        numbers: dict[str, int] = {}
        self._words = [
            np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.int64)
            for words in texts
        ]
        self._vocabulary = len(numbers)
        self._query: Integers = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        self._synthetic: npt.NDArray[np.bool_] = rows["synthetic"].to_numpy()
        self._user: Integers = rows["user"].to_numpy().astype(np.int64)
        self._users = users

    @property
    def real_count(self) -> int:
        """Queries typed by real users."""
        return int((~self._synthetic).sum())

    def lengths(self) -> Counts:
        """Two bins: words, and queries."""
        from scipy.sparse import csr_array

        length = np.array([len(words) for words in self._words], dtype=np.float64)[self._query]
        sides = []
        for chosen, users in (
            (~self._synthetic, self._users.real),
            (self._synthetic, self._users.made),
        ):
            user, count = self._user[chosen], len(users)
            words = np.bincount(user, length[chosen], count)
            typed = np.bincount(user, minlength=count)
            sides.append(csr_array(np.column_stack([words, typed.astype(np.float64)])))
        return Counts(sides[0], sides[1], ("words", "queries"))

    def distinct(
        self, size: int, parts: npt.NDArray[np.bool_], generator: np.random.Generator
    ) -> DistinctShares | None:
        """Distinct-``size`` on samples of equal size; ``None`` where a side has too few queries.

        ``parts`` has the shape ``(splits, real users)``; values are means over one sample per
        split. A sample is of users in random order, with all their queries, up to half of the
        smaller side's queries: drawing with replacement would itself make queries less distinct.
        """
        real, synthetic = np.flatnonzero(~self._synthetic), np.flatnonzero(self._synthetic)
        sample = min(len(real) // 2, len(synthetic) // 2, _LARGEST_SAMPLE)
        if sample < _SMALLEST_SAMPLE:
            return None
        values: list[tuple[float, float, float]] = []
        for part in parts:
            in_part = part[self._user[real]]
            value = self._sampled(real, sample, size, generator)
            other = self._sampled(synthetic, sample, size, generator)
            # Parts of users need not hold equally many queries: the smaller one sets the size.
            common = min(sample, int(in_part.sum()), int((~in_part).sum()))
            gap = np.nan
            if common >= _SMALLEST_SAMPLE:
                one = self._sampled(real[in_part], common, size, generator)
                two = self._sampled(real[~in_part], common, size, generator)
                gap = abs(one - two)
            values.append((value, other, gap))
        table: Any = np.array(values)
        if np.isnan(table[:, :2]).any():
            return None
        means = table[:, :2].mean(axis=0)
        gaps: Floats = np.abs(table[:, 0] - table[:, 1])
        return DistinctShares(float(means[0]), float(means[1]), table[:, 2], gaps, sample)

    def _sampled(
        self, rows: Integers, sample: int, size: int, generator: np.random.Generator
    ) -> float:
        _, user = np.unique(self._user[rows], return_inverse=True)
        turn = generator.permutation(int(user.max()) + 1)[user]
        chosen = rows[np.lexsort((generator.random(len(rows)), turn))[:sample]]
        words = [self._words[query] for query in self._query[chosen]]
        if size == 2:
            words = [each[:-1] * self._vocabulary + each[1:] for each in words if len(each) > 1]
        together = np.concatenate(words) if words else np.zeros(0, dtype=np.int64)
        return len(np.unique(together)) / len(together) if len(together) else np.nan
