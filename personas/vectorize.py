"""Users' histories to vectors: TF-IDF, bag of words or BERT.

Rows are first counted per user and distinct text; every distinct text is tokenised or encoded
once. The work per log row is one SQL aggregation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.errors import EmptyLogError, MissingPartError, SettingError
from footfall.personas.arrow_sql import select
from footfall.personas.encoder import TextEncoder
from footfall.personas.tokens import tokenize

__all__ = ["UserVectors", "Vectorizer", "reduce_vectors", "vectorize_histories"]

Vectorizer: TypeAlias = Literal["tfidf", "bow", "bert"]


@dataclass(frozen=True)
class UserVectors:
    """One vector a user, each of length one (or zero where the history has no words).

    ``matrix`` has shape ``(len(user_ids), features)``: a SciPy CSR matrix for TF-IDF and bag of
    words, a float32 array for BERT.
    """

    user_ids: list[str]
    matrix: Any


def vectorize_histories(
    histories: pa.Table, kind: Vectorizer = "tfidf", *, encoder: TextEncoder | None = None
) -> UserVectors:
    """Vectors of all users in ``histories``, users in sorted order.

    ``bow`` counts tokens over a user's rows; ``tfidf`` weights log-damped counts by inverse
    document frequency over users (scikit-learn's smoothed form); ``bert`` averages the vectors of
    a user's items, weighted by how often each was bought.

    Parameters
    ----------
    histories:
        Columns ``user_id`` and ``text``, one row per purchase or click.
    kind:
        ``tfidf``, ``bow`` or ``bert``.
    encoder:
        The text encoder of ``bert``; MiniLM by default.

    Raises
    ------
    EmptyLogError
        If no row has both a user and a text.
    SettingError
        If ``kind`` is none of the three.
    """
    if kind not in ("tfidf", "bow", "bert"):
        raise SettingError(f"vectorizer is {kind!r}.", hint="Use one of 'tfidf', 'bow' and 'bert'.")
    user_ids, texts, counts = _count_texts(histories)
    if kind == "bert":
        return UserVectors(user_ids, _mean_vectors(counts, texts, encoder or TextEncoder()))
    return UserVectors(user_ids, _weigh_tokens(counts, texts, damp=kind == "tfidf"))


def _count_texts(histories: pa.Table) -> tuple[list[str], list[str], Any]:
    """Sorted users, sorted distinct texts, and their counts as CSR of shape (users, texts)."""
    from scipy.sparse import csr_matrix

    counts = select(
        "SELECT user_id, text, count(*)::DOUBLE AS rows FROM histories"
        " WHERE user_id IS NOT NULL AND text IS NOT NULL GROUP BY ALL",
        histories=histories.select(["user_id", "text"]),
    )
    if not counts.num_rows:
        raise EmptyLogError(
            "No history row has both a user_id and a text.",
            hint="Ingest a log with purchases or clicks, and items with text.",
        )
    user_ids, user_codes = np.unique(counts["user_id"].to_numpy(), return_inverse=True)
    texts, text_codes = np.unique(counts["text"].to_numpy(), return_inverse=True)
    matrix = csr_matrix(
        (counts["rows"].to_numpy(), (user_codes, text_codes)), shape=(len(user_ids), len(texts))
    )
    return user_ids.tolist(), texts.tolist(), matrix


def _weigh_tokens(counts: Any, texts: list[str], *, damp: bool) -> Any:
    """Token weights per user: CSR of shape (users, tokens), rows of length one."""
    try:
        from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
        from sklearn.preprocessing import normalize
    except ImportError as error:
        raise MissingPartError(
            "Vectorising histories needs scikit-learn.", hint="pip install scikit-learn"
        ) from error
    try:
        tokens = CountVectorizer(analyzer=tokenize, dtype=np.float64).fit_transform(texts)
    except ValueError as error:  # scikit-learn's "empty vocabulary"
        raise EmptyLogError(
            "No text in the histories holds a word.", hint="Check the mapping of the item text."
        ) from error
    users = (counts @ tokens).tocsr()
    if damp:
        return TfidfTransformer(sublinear_tf=True).fit_transform(users)
    return normalize(users)


def _mean_vectors(counts: Any, texts: list[str], encoder: TextEncoder) -> npt.NDArray[np.float32]:
    vectors = counts @ encoder.encode(texts, description="Encoding item texts")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: npt.NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return result


def reduce_vectors(matrix: Any, dimensions: int, *, seed: int = 0) -> npt.NDArray[np.float64]:
    """Truncated SVD of a dense or sparse matrix (latent semantic analysis).

    At most ``dimensions`` columns; fewer where the matrix is smaller. Rows are scaled to length
    one, so that Euclidean k-means groups by direction and not by how much somebody bought.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.preprocessing import normalize

    width = min(dimensions, matrix.shape[1] - 1, matrix.shape[0] - 1)
    if width >= 1:
        # fit_transform divides by a variance that is zero when all users are alike: not needed.
        model = TruncatedSVD(width, random_state=seed)
        with np.errstate(invalid="ignore", divide="ignore"):
            matrix = model.fit_transform(matrix)
    elif hasattr(matrix, "toarray"):
        matrix = matrix.toarray()
    reduced: npt.NDArray[np.float64] = normalize(np.asarray(matrix, dtype=np.float64))
    return reduced
