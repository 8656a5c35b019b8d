"""Asking the engine about real slates: its scores, and how much of them is owed to the asking."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from footfall.progress import track
from footfall.simulator.behaviour import Floats
from footfall.simulator.engines.protocol import (
    Answer,
    Engine,
    LikelihoodAnswer,
    LikelihoodRequest,
    ask,
)
from footfall.simulator.prompts import LARGEST_SLATE, PromptBook, wording_language
from footfall.simulator.real_slates import RealSlate
from footfall.simulator.scoring import (
    Correction,
    ScoringCall,
    ScoringKind,
    SlateScores,
    ask_scores,
    measure_correction,
    read_labels,
    read_scores,
)
from footfall.simulator.scoring_bias import Bias, agreement, label_bias, label_effects, shift

__all__ = ["ScoredSlates", "answers_likelihoods", "full_correction", "measure_bias"]

#: Slates asked about at once: enough to keep an engine full, few enough to show progress.
_BLOCK: Final = 16
#: Fewest slates of mixed items for the labels' effects to be subtracted.
_FEWEST_SLATES: Final = 10
#: Of the generators: slates of mixed items, and the order in which slates are asked about again.
_MIXED, _AGAIN = 1, 2


@dataclass(frozen=True, slots=True)
class ScoredSlates:
    """What was asked about each slate in one way, and what was answered."""

    calls: list[ScoringCall]
    answers: list[list[Answer]]

    @classmethod
    def ask(
        cls,
        slates: Sequence[RealSlate],
        engine: Engine,
        prompts: PromptBook,
        kind: ScoringKind,
        seed: Sequence[int],
    ) -> Self:
        """Ask about every slate, in an order drawn for it from ``seed``."""
        asked = cls([], [])
        words = {
            "slate": "all items at once",
            "item": "item by item",
            "query": "by what was typed",
        }[kind]
        with track(f"Asking about slates, {words}", total=len(slates)) as progress:
            for start in range(0, len(slates), _BLOCK):
                calls = [
                    ask_scores(
                        prompts,
                        slate.persona,
                        slate.query,
                        slate.texts,
                        kind,
                        np.random.default_rng([*seed, place]),
                    )
                    for place, slate in enumerate(slates[start : start + _BLOCK], start=start)
                ]
                answers = iter(ask(engine, [r for call in calls for r in call.requests]))
                asked.calls.extend(calls)
                asked.answers.extend([next(answers) for _ in call.requests] for call in calls)
                progress.advance(len(calls))
        return asked

    def scores(self, correction: Correction | None) -> list[SlateScores]:
        """Scores of all slates, items in the slates' own order."""
        pairs = zip(self.calls, self.answers, strict=True)
        return [read_scores(call, answers, correction) for call, answers in pairs]

    def log_odds(self, correction: Correction | None) -> list[Floats]:
        """Log-odds of all slates, items in the slates' own order."""
        return [scores.log_odds for scores in self.scores(correction)]

    def by_label(self, correction: Correction | None) -> list[Floats]:
        """Log-odds of all requests, items in the order shown."""
        pairs = zip(self.calls, self.answers, strict=True)
        return [row for call, answers in pairs for row in read_labels(call, answers, correction)]


def answers_likelihoods(engine: Engine) -> bool:
    """Whether the engine tells the likelihood of a text: asked once.

    Some servers do not repeat a prompt, and a plug-in may know the other requests only: such a one
    raises ``AttributeError``, ``TypeError`` or ``NotImplementedError``.
    """
    try:
        (answer,) = ask(engine, [LikelihoodRequest("Query:", " tea\n")])
    except (AttributeError, TypeError, NotImplementedError):
        return False
    return isinstance(answer, LikelihoodAnswer) and answer.usable


def full_correction(
    engine: Engine,
    prompts: PromptBook,
    slates: Sequence[RealSlate],
    kind: ScoringKind,
    *,
    page_size: int = 0,
    locales: Collection[str] = (),
    seed: int = 0,
) -> Correction:
    """Content-free correction, and for slates what is left of the labels' effects after it.

    The latter is measured on slates of mixed items: a real shopper and query before items drawn at
    random from all slates, as many as a page has or a real slate had, so that every label meets
    every item alike. It is not the real slates themselves, on which the bias is measured later.

    Parameters
    ----------
    slates:
        Real slates to come; fewer than ten are too few to measure labels on.
    page_size:
        Items on a simulated page; 0 where only these slates are to come.
    locales:
        Of simulated shoppers, beside those of the slates.
    seed:
        Of the mixing.
    """
    known = {wording_language(slate.persona.locale): slate.persona.locale for slate in slates}
    by_language = {wording_language(locale): locale for locale in locales} | known
    sizes = {*range(1, page_size + 1), *(len(slate.rows) for slate in slates)}
    correction = measure_correction(engine, prompts, by_language.values(), sizes, kind)
    if kind != "slate" or len(slates) < _FEWEST_SLATES:
        return correction
    labels = {}
    for language, locale in by_language.items():
        mixed = _mixed(slates, page_size, locale, np.random.default_rng([seed, _MIXED]))
        asked = ScoredSlates.ask(mixed, engine, prompts, kind, [seed, _MIXED])
        effects, _, _ = label_effects(asked.by_label(correction))
        labels[language] = tuple(float(value) for value in effects)
    return correction.model_copy(update={"labels": labels})


def _mixed(
    slates: Sequence[RealSlate], page_size: int, locale: str, rng: np.random.Generator
) -> list[RealSlate]:
    """Of each slate two: one of a page's length and one of its own, both of any slate's items.

    A slate of one item does not tell labels apart and is left out.
    """
    pool = [row for slate in slates for row in slate.rows]
    found = []
    for slate in slates:
        sizes = {min(size, LARGEST_SLATE) for size in (page_size, len(slate.rows))}
        for size in sorted(sizes - {0, 1}):
            drawn = rng.choice(len(pool), size, replace=len(pool) < size)
            persona = slate.persona.model_copy(update={"locale": locale})
            found.append(replace(slate, persona=persona, rows=[pool[i] for i in drawn]))
    return found


def measure_bias(
    asked: ScoredSlates,
    correction: Correction,
    slates: Sequence[RealSlate],
    engine: Engine,
    prompts: PromptBook,
    *,
    seed: int = 0,
) -> Bias:
    """Ask again about the same slates, in another order and in other words, and compare."""
    kind = correction.kind
    if kind == "query":  # the items stand alone, and there are no other words for a query
        return Bias(kind=kind, slates=len(slates))
    words = replace(prompts, wording="second" if prompts.wording == "first" else "first")
    own = full_correction(engine, words, slates, kind, seed=seed)
    other = ScoredSlates.ask(slates, engine, words, kind, [seed, _AGAIN])
    bias = Bias(
        kind=kind,
        slates=len(slates),
        wording=agreement(asked.log_odds(correction), other.log_odds(own)),
        wording_shift_before=shift(asked.log_odds(None), other.log_odds(None)),
        wording_shift_after=shift(asked.log_odds(correction), other.log_odds(own)),
    )
    if kind == "item":
        return bias
    again = ScoredSlates.ask(slates, engine, prompts, kind, [seed, _AGAIN])
    content_free = correction.model_copy(update={"labels": {}})
    return bias.model_copy(
        update={
            "before": label_bias(asked.by_label(None)),
            "content_free": label_bias(asked.by_label(content_free)),
            "after": label_bias(asked.by_label(correction)),
            "order": agreement(asked.log_odds(correction), again.log_odds(correction)),
        }
    )
