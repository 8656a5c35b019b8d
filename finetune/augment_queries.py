"""Slates whose query is written in other words, each rewriting checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from footfall.errors import EngineAnswerError
from footfall.finetune.augmentation_settings import AugmentationSettings
from footfall.finetune.example_table import Examples
from footfall.finetune.query_rewriters import Rewriter
from footfall.progress import console
from footfall.simulator.language import Language, language_of
from footfall.simulator.queries import accept_query, query_key

__all__ = ["RewrittenSlates", "queries_of_slates", "rewrite_slates"]

Array = np.ndarray[Any, Any]

#: After so many slates in a row without a usable rewriting no more are tried.
_MOST_BARREN: Final = 100


@dataclass(frozen=True)
class RewrittenSlates:
    """Slates with another query each: slate numbers of shape (copies,), and the queries.

    ``refused`` counts the answers that could not be used, by reason.
    """

    slates: Array
    queries: list[str]
    asked: int
    refused: dict[str, int]


@dataclass
class _Rewritings:
    """Accepted rewritings by (query, variant)."""

    language: Language
    accepted: dict[tuple[str, int], str] = field(default_factory=dict)
    known: dict[str, set[str]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    asked: int = 0

    def take(self, query: str, variant: int, text: str) -> None:
        # In the query's own scripts: a brand written in Latin letters stays in them.
        own = language_of([query])
        known = self.known.setdefault(query, {query})
        verdict = accept_query(text, tried=known, language=own if own.shares else self.language)
        if verdict.query is None:
            reason = verdict.reason or "empty"
            same = query_key(text) == query_key(query)
            self.refused["unchanged" if same else "a repeat" if reason == "tried" else reason] += 1
            return
        known.add(verdict.query)
        self.accepted[query, variant] = verdict.query


def queries_of_slates(examples: Examples) -> list[str]:
    """The query of each slate in the order of slate numbers, empty when browsing."""
    numbers = examples.slate_numbers()
    _, first = np.unique(numbers, return_index=True)
    queries = examples.table["query"].to_pylist()
    return [" ".join((queries[row] or "").split()) for row in first]


def rewrite_slates(
    real: Examples,
    count: int,
    rng: np.random.Generator,
    rewriter: Rewriter,
    settings: AugmentationSettings,
) -> RewrittenSlates:
    """Choose slates with queries, ``count`` rows of them where there are, and write them anew.

    Slates are taken in seeded order; where all of them are too few, again with another rewriting,
    up to ``variants`` times. A refused rewriting is asked for again up to ``tries`` times, and then
    other slates take its place, until 100 in a row were in vain. Each query is asked for once a
    variant, however many slates have it.

    Raises
    ------
    EngineAnswerError
        If there are queries and not one rewriting could be used.
    """
    queries = queries_of_slates(real)
    sizes = np.bincount(real.slate_numbers())
    asking = np.flatnonzero([bool(query) for query in queries])
    plan = _plan(asking, rng, settings.variants)
    found = _Rewritings(language_of(queries))
    usable: list[tuple[int, str]] = []
    missing, barren = count, 0
    while missing > 0 and (part := _rows(plan, sizes, missing)):
        _ask(found, [(queries[slate], variant) for slate, variant in part], rewriter, settings)
        written = [(slate, found.accepted.get((queries[slate], each))) for slate, each in part]
        new = [(slate, query) for slate, query in written if query is not None]
        barren = 0 if new else barren + len(part)
        if barren >= _MOST_BARREN:
            break
        usable += new
        missing -= int(sum(sizes[slate] for slate, _ in new))
    if count and not usable:
        reasons = ", ".join(f"{reason}: {n}" for reason, n in found.refused.most_common())
        raise EngineAnswerError(
            f"None of {found.asked:,} rewritings of queries can be used ({reasons}).",
            hint="Use a larger or tuned model (--model); the scripted engine only echoes.",
        )
    return RewrittenSlates(
        np.array([slate for slate, _ in usable], np.int64),
        [query for _, query in usable],
        found.asked,
        dict(found.refused),
    )


def _plan(slates: Array, rng: np.random.Generator, variants: int) -> Iterator[tuple[int, int]]:
    """Pairs (slate, variant) in the order in which they are used."""
    for variant in range(variants):
        for slate in rng.permutation(slates):
            yield int(slate), variant


def _rows(plan: Iterator[tuple[int, int]], sizes: Array, rows: int) -> list[tuple[int, int]]:
    """The next pairs of the plan, until they have ``rows`` rows."""
    part: list[tuple[int, int]] = []
    while rows > 0 and (pair := next(plan, None)) is not None:
        part.append(pair)
        rows -= int(sizes[pair[0]])
    return part


def _ask(
    found: _Rewritings,
    pairs: list[tuple[str, int]],
    rewriter: Rewriter,
    settings: AugmentationSettings,
) -> None:
    """Ask for the pairs (query, variant), again where the answer cannot be used."""
    wanted = list(dict.fromkeys(pair for pair in pairs if pair not in found.accepted))
    console.print(
        f"Asking for {len(wanted):,} rewritings of {len({q for q, _ in wanted}):,} queries; "
        f"at most {len(wanted) * settings.tries:,} requests each way"
    )
    for attempt in range(settings.tries):
        missing = [pair for pair in wanted if pair not in found.accepted]
        if not missing:
            return
        draws = [variant + attempt * settings.variants for _, variant in missing]
        texts = rewriter.rewrite([query for query, _ in missing], draws)
        found.asked += len(missing)
        for (query, variant), text in zip(missing, texts, strict=True):
            found.take(query, variant, text)
