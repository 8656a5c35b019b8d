"""Texts as short vectors, with or without a neural encoder; any language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from footfall.errors import SettingError
from footfall.personas.tokens import tokenize

__all__ = ["EncoderName", "NeuralVectors", "TextVectors", "WordVectors", "fit_vectors"]

Vectors: TypeAlias = npt.NDArray[np.float32]
EncoderName: TypeAlias = Literal["words", "minilm"]

#: Length of a vector; shorter where the texts have fewer different words.
_DIMENSIONS: Final = 32
#: Texts that the encoder's directions are fitted on at most, evenly spread over the catalogue.
_MOST_FITTED: Final = 20_000


class TextVectors(Protocol):
    """Turns texts into vectors of length one; into zeros where nothing of a text is known."""

    @property
    def dimensions(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of ``texts``, shape (texts, dimensions)."""


class WordVectors:
    """Latent semantic analysis: TF-IDF of the words, reduced by truncated SVD.

    (Deerwester et al. 1990.) Words are those of :mod:`footfall.personas.tokens`, so that no
    language needs anything of its own. A word that the fitted texts lack counts for nothing.
    """

    def __init__(self, texts: Sequence[str], *, seed: int = 0) -> None:
        self._place: dict[str, int] = {}
        # Words are only added while the texts are read that the vectors are fitted on.
        counts = self._counts(list(dict.fromkeys(texts)), add=True)
        seen = np.bincount(counts.indices, minlength=counts.shape[1])
        self._weight = np.log((1.0 + counts.shape[0]) / (1.0 + seen)) + 1.0
        self._directions = _directions(self._weighed(counts), seed)

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._directions.shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of ``texts``, shape (texts, dimensions); each distinct text is read once."""
        distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        found = self._weighed(self._counts(list(distinct))) @ self._directions
        return _unit(found)[[distinct[text] for text in texts]]

    def _counts(self, texts: Sequence[str], *, add: bool = False) -> Any:
        place = self._place
        columns: list[int] = []
        starts = [0]
        for text in texts:
            words = tokenize(text)
            if add:
                columns += [place.setdefault(word, len(place)) for word in words]
            else:
                columns += [place[word] for word in words if word in place]
            starts.append(len(columns))
        shape = (len(texts), len(place))
        matrix = sparse.csr_matrix((np.ones(len(columns)), columns, starts), shape=shape)
        matrix.sum_duplicates()
        return matrix

    def _weighed(self, counts: Any) -> Any:
        weighed = counts.copy()
        weighed.data = (1.0 + np.log(weighed.data)) * self._weight[weighed.indices]
        lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1))).ravel()
        return sparse.diags(1.0 / np.maximum(lengths, 1e-12)) @ weighed


class NeuralVectors:
    """Sentence vectors of MiniLM, turned so that the first directions tell the items apart.

    Raises
    ------
    MissingPartError
        If torch, transformers or the bundled encoder is not installed.
    """

    def __init__(self, texts: Sequence[str], *, seed: int = 0) -> None:
        from footfall.personas.encoder import TextEncoder

        self._encoder = TextEncoder()
        distinct = list(dict.fromkeys(texts))
        step = max(1, len(distinct) // _MOST_FITTED)
        told = self._encoder.encode(distinct[::step])
        self._mean = told.mean(axis=0)
        self._directions = _directions(told - self._mean, seed)

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self._directions.shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of ``texts``, shape (texts, dimensions)."""
        return _unit((self._encoder.encode(texts) - self._mean) @ self._directions)


def fit_vectors(texts: Sequence[str], encoder: EncoderName = "words", *, seed: int = 0) -> Any:
    """Vectors fitted on the texts of a catalogue.

    Parameters
    ----------
    encoder:
        ``words`` (TF-IDF and SVD) or ``minilm``.

    Raises
    ------
    SettingError
        If ``encoder`` is neither.
    MissingPartError
        If ``minilm`` needs a package that is not installed.
    """
    if encoder == "words":
        return WordVectors(texts, seed=seed)
    if encoder == "minilm":
        return NeuralVectors(texts, seed=seed)
    raise SettingError(f"encoder is {encoder!r}.", hint="Use 'words' or 'minilm'.")


def _directions(matrix: Any, seed: int) -> npt.NDArray[np.float64]:
    """Main directions of the rows, shape (columns, dimensions); one of zeros where there are none.

    Small matrices are decomposed exactly: randomised methods need more columns than directions.
    """
    width = min(_DIMENSIONS, *matrix.shape)
    if not width:
        return np.zeros((matrix.shape[1], 1))
    if min(matrix.shape) <= 2 * _DIMENSIONS:
        dense = matrix.toarray() if sparse.issparse(matrix) else matrix
        return np.asarray(np.linalg.svd(dense, full_matrices=False)[2][:width].T, dtype=np.float64)
    from sklearn.utils.extmath import randomized_svd

    found = randomized_svd(matrix, width, random_state=seed, n_iter=4)[2]
    return np.asarray(found.T, dtype=np.float64)


def _unit(vectors: npt.NDArray[Any]) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    # Rounding leaves a trace of texts that no direction tells anything of.
    kept = np.where(lengths > 1e-6, vectors / np.maximum(lengths, 1e-6), 0.0)
    return np.asarray(kept, dtype=np.float32)
