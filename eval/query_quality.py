"""How like those that real shoppers type are generated queries.

Every figure stands beside what one half of the real shoppers scores against the other half, on
samples of the same size: distinct-1 and distinct-2 (Li et al. 2016), the share that real shoppers
also typed, and the Frechet distance of their embeddings (Heusel et al. 2017, there of images).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import EmptyLogError
from footfall.eval.distinctness import query_words
from footfall.eval.frechet import frechet_distance
from footfall.eval.intervals import DEFAULT_RESAMPLES
from footfall.eval.user_means import UserMean, user_mean
from footfall.finetune.tuning_examples import TuningExample
from footfall.personas.tokens import normalize

if TYPE_CHECKING:
    from footfall.simulator.search.dense import Encoder

__all__ = [
    "QueryFigure",
    "QueryLikelihood",
    "TypedQueries",
    "distinct_share",
    "query_likelihood",
    "query_quality",
]

Floats: TypeAlias = npt.NDArray[np.float64]

_SPLITS: Final = 20
_SMALLEST: Final = 10


class QueryLikelihood(BaseModel):
    """How well a model foresees real queries, their end included."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    nats_per_token: UserMean = Field(description="Mean negative log-likelihood of a token.")
    perplexity: float = Field(description="Its exponential.")
    tokens: int = Field(description="Tokens that were foreseen.")


class QueryFigure(BaseModel):
    """One measure of generated queries, beside that of real ones; means over splits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: str = Field(description="What is measured.")
    generated: float = Field(description="Of the generated queries.")
    real: float = Field(description="Of real queries in their place: what could be reached.")
    real_low: float = Field(description="2.5 % quantile of that over splits.")
    real_high: float = Field(description="97.5 % quantile.")
    sample: int = Field(description="Queries a side.")
    better: str = Field(description="`near real`, or `low`.")


@dataclass(frozen=True, slots=True)
class TypedQueries:
    """Real queries and who typed them, in one order."""

    queries: tuple[str, ...]
    user_ids: tuple[str, ...]


def query_likelihood(
    model: Any,
    tokenizer: Any,
    examples: Sequence[TuningExample],
    *,
    max_tokens: int = 1024,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> QueryLikelihood:
    """Negative log-likelihood per token of real queries after their prompts.

    Figures of two models can be compared only if they share a tokeniser.

    Parameters
    ----------
    model, tokenizer:
        A causal language model of transformers.
    examples:
        Query examples.
    max_tokens:
        Of a longer prompt the end is read.
    resamples, seed:
        Of the interval over users.

    Raises
    ------
    EmptyLogError
        If there is no example.
    """
    from footfall.finetune.tuning_network import answer_log_probabilities, pad_token
    from footfall.finetune.tuning_tokens import tokenize_example

    if not examples:
        raise EmptyLogError("There is no query to foresee.", hint="Give more of the log.")
    rows = [tokenize_example(tokenizer, example, max_tokens=max_tokens) for example in examples]
    found = answer_log_probabilities(model, rows, pad_token(tokenizer))
    sizes = np.array([len(values) for values in found])
    mean = user_mean(
        [-values.mean() for values in found],
        [example.user_id for example in examples],
        weights=sizes,
        resamples=resamples,
        seed=seed,
    )
    return QueryLikelihood(
        nats_per_token=mean, perplexity=float(np.exp(mean.value)), tokens=int(sizes.sum())
    )


def distinct_share(queries: Sequence[str], size: int) -> float:
    """Share of distinct runs of ``size`` words among all; not a number where there is none."""
    runs = [
        tuple(words[place : place + size])
        for words in map(query_words, queries)
        for place in range(len(words) - size + 1)
    ]
    return len(set(runs)) / len(runs) if runs else float("nan")


def query_quality(
    generated: Sequence[str],
    later: TypedQueries,
    earlier: TypedQueries,
    encoder: Encoder,
    *,
    splits: int = _SPLITS,
    seed: int = 0,
) -> list[QueryFigure]:
    """Compare generated queries with those typed later, beside real against real.

    The later shoppers are split into halves at random, ``splits`` times. In each split the second
    half is the reference; a sample of generated queries and a sample of the first half, of one
    size, are held against it.

    Parameters
    ----------
    generated:
        Queries that a model wrote; it may have learned from ``earlier`` only.
    later, earlier:
        Real queries of the test part and of the training part.
    encoder:
        Embeds queries.

    Returns
    -------
    list of QueryFigure
        Means over the splits; a measure that is not defined on either side is left out.

    Raises
    ------
    EmptyLogError
        If either side has too few queries.
    """
    made, real = _cleaned(generated), _cleaned(later.queries)
    rng = np.random.default_rng(seed)
    users, owner = np.unique(np.asarray(later.user_ids, dtype=str), return_inverse=True)
    size = min(len(made), len(real) // 3)
    if size < _SMALLEST or len(users) < 2:
        raise EmptyLogError(
            f"{len(made)} generated and {len(real)} real queries are too few to compare.",
            hint=f"Generate {_SMALLEST} or more, and give three times as many real ones.",
        )
    vectors = _Vectors(encoder, [*made, *real])
    before = set(_cleaned(earlier.queries))
    rows: list[dict[str, tuple[float, float]]] = []
    for _ in range(splits):
        half = rng.permutation(len(users)) < len(users) // 2
        first = [query for query, user in zip(real, owner, strict=True) if half[user]]
        second = [query for query, user in zip(real, owner, strict=True) if not half[user]]
        common = min(size, len(first), len(second))
        samples = [_sample(side, common, rng) for side in (made, first)]
        reference = _sample(second, common, rng)
        rows.append(_measure(samples, reference, set(second), before, vectors))
    figures = {name: np.asarray([row[name] for row in rows]) for name in rows[0]}
    # Of queries of one word each there are no pairs of words to count.
    return [
        _figure(name, values, size)
        for name, values in figures.items()
        if not np.isnan(values).all(axis=0).any()
    ]


def _cleaned(queries: Sequence[str]) -> list[str]:
    """Letter case, width and blanks aside; queries without a word are left out."""
    texts = (" ".join(normalize(query).split()) for query in queries)
    return [text for text in texts if text]


def _sample(queries: Sequence[str], size: int, rng: np.random.Generator) -> list[str]:
    return [queries[int(place)] for place in rng.permutation(len(queries))[:size]]


class _Vectors:
    """Embeddings of all queries, each distinct one computed once."""

    def __init__(self, encoder: Encoder, queries: Sequence[str]) -> None:
        distinct = sorted(set(queries))
        self._place = {query: place for place, query in enumerate(distinct)}
        self._table = encoder.encode(distinct, description="Encoding queries")

    def of(self, queries: Sequence[str]) -> Floats:
        places = [self._place[query] for query in queries]
        return np.asarray(self._table[places], dtype=np.float64)


def _measure(
    samples: Sequence[Sequence[str]],
    reference: Sequence[str],
    typed_later: set[str],
    typed_before: set[str],
    vectors: _Vectors,
) -> dict[str, tuple[float, float]]:
    target = vectors.of(reference)
    pairs: dict[str, list[float]] = {}
    for sample in samples:
        for name, value in (
            ("distinct-1", distinct_share(sample, 1)),
            ("distinct-2", distinct_share(sample, 2)),
            ("also typed by later shoppers", _share(sample, typed_later)),
            ("also typed in the training part", _share(sample, typed_before)),
            ("embedding Frechet distance", frechet_distance(vectors.of(sample), target)),
        ):
            pairs.setdefault(name, []).append(value)
    return {name: (values[0], values[1]) for name, values in pairs.items()}


def _share(queries: Sequence[str], known: set[str]) -> float:
    return float(np.mean([query in known for query in queries]))


def _figure(name: str, table: Floats, size: int) -> QueryFigure:
    low, high = np.nanquantile(table[:, 1], [0.025, 0.975])
    return QueryFigure(
        measure=name,
        generated=float(np.nanmean(table[:, 0])),
        real=float(np.nanmean(table[:, 1])),
        real_low=float(low),
        real_high=float(high),
        sample=size,
        better="low" if "distance" in name else "near real",
    )
