"""The rows of a fidelity report about words: distinctness and distances of embedded texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.errors import EngineMissingError, MissingPartError
from footfall.eval.counted_measures import LogMeasures
from footfall.eval.distinctness import DistinctShares, Queries
from footfall.eval.fidelity_models import Trial
from footfall.eval.fidelity_results import FidelityColumn, FidelityRow
from footfall.eval.fidelity_rows import centred_interval, counted_rows, floor_column, make_row
from footfall.eval.likeness_counts import Sides
from footfall.eval.likeness_results import NOT_RECORDED
from footfall.eval.real_parts import real_parts
from footfall.eval.text_frechet import SampledTexts, sample_texts, text_measures

if TYPE_CHECKING:
    from footfall.eval.text_frechet import Encoder

__all__ = ["TextSides", "distinct_row", "embedding_rows"]

QUERY_DISTANCE: Final = "embedding distance of queries"
ITEM_DISTANCE: Final = "embedding distance of items responded to"


class _Side(Protocol):
    sides: Sides
    read: LogMeasures
    queries: pa.Table


@dataclass(frozen=True, slots=True)
class TextSides:
    """Sampled texts of the real side, the run and the simple simulator, by measure."""

    sides: tuple[Sides, Sides]
    texts: dict[str, tuple[SampledTexts, SampledTexts, SampledTexts]]

    @classmethod
    def read(cls, run: _Side, simple: _Side, generator: np.random.Generator) -> TextSides:
        """Sample the queries, and the texts of the items responded to."""
        texts = {}
        items = [
            side.sides.response_texts(run.read.response, outside=run.read.outside)
            for side in (run, simple)
        ]
        for name, column, (own, other) in (
            (QUERY_DISTANCE, "query", (run.queries, simple.queries)),
            (ITEM_DISTANCE, "text", items),
        ):
            texts[name] = (
                sample_texts(own, column, synthetic=False, generator=generator),
                sample_texts(own, column, synthetic=True, generator=generator),
                sample_texts(other, column, synthetic=True, generator=generator),
            )
        return cls((run.sides, simple.sides), texts)


def distinct_row(
    size: int, run: Queries, simple: Queries, parts: npt.NDArray[np.bool_], trial: Trial
) -> FidelityRow:
    """Distinct-``size`` of queries on samples of equal size."""
    draws = [
        queries.distinct(size, parts, np.random.default_rng((trial.seed, size)))
        for queries in (run, simple)
    ]
    found, beside = draws
    empty = FidelityColumn()
    lacking = ""
    if found is None:
        lacking = "too few queries to compare" if run.real_count else NOT_RECORDED
    return make_row(
        f"distinct-{size} of queries",
        "queries",
        real=found.real if found else None,
        synthetic=_distinct_column(found),
        floor=floor_column(found.real, found.floors) if found else empty,
        simple=_distinct_column(beside),
        note=f"samples of {found.sample:,} queries" if found else "",
        lacking=lacking,
    )


def _distinct_column(found: DistinctShares | None) -> FidelityColumn:
    if found is None:
        return FidelityColumn()
    distance = abs(found.real - found.synthetic)
    interval = centred_interval(distance, found.gaps)
    return FidelityColumn(
        value=found.synthetic, distance=distance, low=interval.low, high=interval.high
    )


def embedding_rows(texts: TextSides, encoder: Encoder | None, trial: Trial) -> list[FidelityRow]:
    """Frechet distances of embedded queries and item texts; not measured without an encoder."""
    return [_embedding_row(name, texts, encoder, trial) for name in texts.texts]


def _embedding_row(
    name: str, texts: TextSides, encoder: Encoder | None, trial: Trial
) -> FidelityRow:
    real, *made = texts.texts[name]
    users = [sides.users for sides in texts.sides]
    lacking = "too few texts in the run"
    if not real.texts:
        lacking = NOT_RECORDED
    elif len(made[0].texts) > 1:
        try:
            found = text_measures(name, real, made, users, encoder or _bundled())
        except (MissingPartError, EngineMissingError) as error:
            lacking = f"not measured: {error.message}"
        else:
            lacking = "too few real texts"
            if found is not None:
                sizes = np.bincount(real.user, minlength=len(users[0].real))
                parts = real_parts(
                    sizes, len(made[0].texts), trial.splits, np.random.default_rng(trial.seed)
                )
                return counted_rows(
                    found[:1],
                    found[1:],
                    parts,
                    resamples=min(trial.resamples, 200),
                    seed=trial.seed,
                )[0].model_copy(update={"section": "queries"})
    empty = FidelityColumn()
    return make_row(
        name,
        "queries",
        real=None,
        synthetic=empty,
        floor=empty,
        simple=empty,
        kind="Frechet",
        lacking=lacking,
    )


def _bundled() -> Encoder:
    from footfall.personas.encoder import TextEncoder

    return TextEncoder()
