"""What the models behind fusion weights read of a row: numbers, closeness of texts, words.

Words are hashed n-grams of characters, so no language's words need splitting; or vectors of an
encoder, where one is given. Each distinct text is turned into numbers once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from scipy import sparse

from footfall.finetune.example_table import FEATURE_NAMES, Examples

__all__ = ["Encode", "LogisticPairs", "PairInputs", "group_folds"]

Array = np.ndarray[Any, Any]
#: Texts to vectors, shape (texts, dimensions).
Encode = Callable[[Sequence[str]], Array]

_BUCKETS: Final = 2**15
_LONGEST_GRAM: Final = 4
#: More rows than this make a linear model no better, only slower.
_MOST_ROWS: Final = 50_000
_CHUNK: Final = 20_000


@dataclass(frozen=True)
class _Texts:
    """Vectors of distinct texts of length one or zero, and which text each row has."""

    vectors: Any
    codes: Array

    def rows(self, rows: Array) -> Any:
        return self.vectors[self.codes[rows]]


@dataclass(frozen=True)
class PairInputs:
    """Rows as inputs of a linear model; ``numbers`` has the shape (rows, names)."""

    numbers: Array
    texts: tuple[_Texts, ...]

    @classmethod
    def of(
        cls,
        parts: Sequence[Examples],
        *,
        names: Sequence[str] = (),
        texts: Sequence[str] = (),
        closeness: Sequence[tuple[str, str]] = (),
        encode: Encode | None = None,
    ) -> PairInputs:
        """Inputs of the rows of all ``parts``.

        Parameters
        ----------
        parts:
            Examples, whose rows follow one another.
        names:
            Numeric columns to read.
        texts:
            Text columns whose words are read.
        closeness:
            Pairs of text columns; their cosine becomes a number.
        encode:
            An encoder, in place of hashed n-grams of one to four characters.
        """
        examples = Examples.concat(parts)
        columns = [examples.features[:, FEATURE_NAMES.index(name)] for name in names]
        read = sorted({*texts, *(name for pair in closeness for name in pair)})
        vectors = dict(zip(read, _vectors(examples, read, encode), strict=True))
        columns += [_cosines(vectors[one], vectors[other]) for one, other in closeness]
        numbers = np.column_stack(columns) if columns else np.zeros((len(examples), 0))
        return cls(np.nan_to_num(numbers), tuple(vectors[name] for name in texts))

    def __len__(self) -> int:
        return len(self.numbers)


def _vectors(examples: Examples, names: Sequence[str], encode: Encode | None) -> list[_Texts]:
    if not names:
        return []
    joined = pa.chunked_array(
        [
            chunk
            for name in names
            for chunk in examples.table[name].fill_null("").cast(pa.string()).chunks
        ],
        pa.string(),
    )
    coded = joined.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    distinct = coded.dictionary.to_pylist()
    codes = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    vectors = _hashed(distinct) if encode is None else np.asarray(encode(distinct), np.float64)
    return [_Texts(vectors, part) for part in codes.reshape(len(names), len(examples))]


def _hashed(texts: list[str]) -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(
        analyzer="char", ngram_range=(1, _LONGEST_GRAM), n_features=_BUCKETS, alternate_sign=False
    )
    return hashing.transform(texts)


def _cosines(one: _Texts, other: _Texts) -> Array:
    parts = []
    for start in range(0, len(one.codes), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(one.codes)))
        left, right = one.rows(rows), other.rows(rows)
        product = left.multiply(right).sum(axis=1) if sparse.issparse(left) else left * right
        parts.append(np.asarray(product).reshape(len(rows), -1).sum(axis=1))
    return np.concatenate(parts) if parts else np.zeros(0)


class LogisticPairs:
    """Logistic regression on numbers with squares and products, and on words.

    Parameters
    ----------
    seed:
        Of the choice of rows where there are more than 50,000.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, inputs: PairInputs, rows: Array, target: Array, weight: Array) -> LogisticPairs:
        """Learn ``target`` (bool) of the given rows, all three of shape (rows,)."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import PolynomialFeatures, StandardScaler
        from threadpoolctl import threadpool_limits

        if len(rows) > _MOST_ROWS:
            chosen = np.random.default_rng(self._seed).permutation(len(rows))[:_MOST_ROWS]
            rows, target, weight = rows[chosen], target[chosen], weight[chosen]
        self._scaling = None
        if inputs.numbers.shape[1]:
            self._scaling = make_pipeline(
                StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler()
            ).fit(inputs.numbers[rows])
        matrix = self._matrix(inputs, rows)
        # Words of none of these rows have the coefficient 0; without them the fit is quick.
        self._seen = np.unique(matrix.indices) if sparse.issparse(matrix) else slice(None)
        self._model = LogisticRegression(C=1.0, tol=1e-3, max_iter=1000)
        with threadpool_limits(1):
            self._model.fit(matrix[:, self._seen], target, sample_weight=weight)
        return self

    def log_odds(self, inputs: PairInputs, rows: Array) -> Array:
        """Natural log-odds of the target, shape (rows,)."""
        parts = [
            self._model.decision_function(
                self._matrix(inputs, rows[start : start + _CHUNK])[:, self._seen]
            )
            for start in range(0, len(rows), _CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _matrix(self, inputs: PairInputs, rows: Array) -> Any:
        parts: list[Any] = [texts.rows(rows) for texts in inputs.texts]
        if self._scaling is not None:
            parts.insert(0, self._scaling.transform(inputs.numbers[rows]))
        if not any(sparse.issparse(part) for part in parts):
            return np.hstack(parts)
        return sparse.hstack([sparse.csr_matrix(part) for part in parts], format="csr")


def group_folds(groups: Array, folds: int, seed: int) -> Array:
    """Number of the fold of each row, shape (rows,); rows of one group share a fold."""
    names, places = np.unique(groups.astype(str), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    turns: Array = order[places] % folds
    return turns
