"""How often a scorer puts the item first that a real shopper chose among those shown.

A scorer is a function from slates to one score an item, larger for likelier choices. Every
scorer sees the same slates. Where the other candidates are reconstructed, so are the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import EmptyLogError, SettingError
from footfall.eval.intervals import DEFAULT_RESAMPLES
from footfall.eval.user_means import UserMean, user_mean
from footfall.finetune.tuning_slates import Slate
from footfall.simulator.engines.protocol import Engine, Request, ask
from footfall.simulator.prompts import PromptBook
from footfall.simulator.scoring import Correction, ScoringKind, ask_scores, read_scores
from footfall.simulator.search.protocol import SearchEngine

if TYPE_CHECKING:
    from footfall.simulator.catalog import Catalog
    from footfall.simulator.search.dense import Encoder

__all__ = [
    "ChoiceAccuracy",
    "Scorer",
    "accuracy_difference",
    "choice_accuracy",
    "cosine_scorer",
    "engine_scorer",
    "hits",
    "popularity_scorer",
    "search_scorer",
]

Floats: TypeAlias = npt.NDArray[np.float64]
#: From slates to scores, one array of shape (items,) a slate; not-a-number where there is none.
Scorer: TypeAlias = Callable[[Sequence[Slate]], list[Floats]]


class ChoiceAccuracy(BaseModel):
    """One scorer's figure."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scorer: str = Field(description="What scored.")
    accuracy: UserMean = Field(description="Share of slates whose chosen item scored highest.")
    chance: float = Field(description="The share that drawing at random would reach.")
    candidates: str = Field(description="How the shown items are known.")


def hits(slates: Sequence[Slate], scores: Sequence[Floats]) -> Floats:
    """For each slate 1 where the chosen item alone scored highest, 1/k among k equals, else 0.

    An item without a score comes last; where no item has one, all are equal.

    Raises
    ------
    SettingError
        If a slate has another number of scores than items, or nothing was chosen from it.
    """
    found = np.zeros(len(slates))
    for place, (slate, values) in enumerate(zip(slates, scores, strict=True)):
        if slate.chosen is None or len(values) != len(slate.item_ids):
            raise SettingError(
                f"The slate {slate.search_id} cannot be judged: {len(values)} scores for "
                f"{len(slate.item_ids)} items, chosen: {slate.chosen}.",
                hint="Take slates from which an item was chosen, and score every item.",
            )
        known = np.where(np.isnan(values), -np.inf, values)
        best = known == known.max()
        found[place] = best[slate.chosen] / best.sum()
    return found


def choice_accuracy(
    slates: Sequence[Slate],
    scorers: Mapping[str, Scorer],
    *,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> tuple[list[ChoiceAccuracy], dict[str, Floats]]:
    """Accuracy of every scorer on the same slates, with intervals over users.

    Returns
    -------
    tuple
        The figures in the scorers' order, and each scorer's hits, shape (slates,), by name.

    Raises
    ------
    EmptyLogError
        If there is no slate.
    """
    if not slates:
        raise EmptyLogError("There is no slate to judge choices on.", hint="Give more of the log.")
    users = [slate.user_id for slate in slates]
    chance = float(np.mean([1.0 / len(slate.item_ids) for slate in slates]))
    kinds = ", ".join(sorted({slate.candidates for slate in slates}))
    found = {name: hits(slates, scorer(slates)) for name, scorer in scorers.items()}
    figures = [
        ChoiceAccuracy(
            scorer=name,
            accuracy=user_mean(values, users, resamples=resamples, seed=seed),
            chance=chance,
            candidates=kinds,
        )
        for name, values in found.items()
    ]
    return figures, found


def accuracy_difference(
    slates: Sequence[Slate],
    one: Floats,
    other: Floats,
    *,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> UserMean:
    """Mean of ``one`` less ``other`` (hits of the same slates), paired over users."""
    users = [slate.user_id for slate in slates]
    return user_mean(one - other, users, resamples=resamples, seed=seed)


def popularity_scorer(catalog: Catalog) -> Scorer:
    """Responses before the moment that ``catalog`` was read at; unknown items have none."""
    known = dict(
        zip(catalog.item_ids.tolist(), catalog.table["popularity"].to_pylist(), strict=True)
    )

    def score(slates: Sequence[Slate]) -> list[Floats]:
        return [
            np.array([float(known.get(item, 0)) for item in slate.item_ids]) for slate in slates
        ]

    return score


def search_scorer(search: SearchEngine, items: int) -> Scorer:
    """Rank in the answer of ``search`` to the query; ``items`` is the catalogue's size.

    Items that are not found come last together; so do all when nothing was typed.
    """

    def score(slates: Sequence[Slate]) -> list[Floats]:
        found = search.search([slate.query or "" for slate in slates], limit=items)
        scores = []
        for slate, ids in zip(slates, found, strict=True):
            rank = {item: float(-place) for place, item in enumerate(ids)}
            scores.append(np.array([rank.get(item, float(-items)) for item in slate.item_ids]))
        return scores

    return score


def cosine_scorer(encoder: Encoder) -> Scorer:
    """Cosine of query and item text; the shopper's history stands in for a missing query."""

    def score(slates: Sequence[Slate]) -> list[Floats]:
        asked = encoder.encode(
            [slate.query or ", ".join(slate.persona.history) for slate in slates]
        )
        texts = encoder.encode([text for slate in slates for text in slate.texts])
        ends = np.cumsum([len(slate.texts) for slate in slates])
        return [
            np.asarray(block @ query, dtype=np.float64)
            for block, query in zip(np.split(texts, ends[:-1]), asked, strict=True)
        ]

    return score


def engine_scorer(
    engine: Engine,
    kind: ScoringKind,
    *,
    prompts: PromptBook | None = None,
    correction: Correction | None = None,
    seed: int = 0,
) -> Scorer:
    """The language model's log-odds, asked as the simulation asks."""
    book = prompts or PromptBook()

    def score(slates: Sequence[Slate]) -> list[Floats]:
        calls = [
            ask_scores(
                book,
                slate.persona,
                slate.query,
                slate.texts,
                kind,
                np.random.default_rng([seed, place]),
            )
            for place, slate in enumerate(slates)
        ]
        requests: list[Request] = [request for call in calls for request in call.requests]
        answers = ask(engine, requests)
        ends = np.cumsum([len(call.requests) for call in calls])
        starts = ends - [len(call.requests) for call in calls]
        return [
            read_scores(call, answers[start:end], correction).log_odds
            for call, start, end in zip(calls, starts, ends, strict=True)
        ]

    return score
