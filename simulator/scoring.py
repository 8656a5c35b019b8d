"""How the engine's preferences over a slate are asked for, and freed of what the words favour.

Three ways of asking:

``slate``
    One prompt shows all items of the page, labelled by letters, and one forward pass weighs the
    letters and "none". A letter's place favours or hinders its item, so the order is drawn anew
    for every slate.
``item``
    One prompt an item, answered by Yes or No.
``query``
    How likely somebody who looks for the item types the query that was typed, against somebody of
    whom it is not said what they look for: query likelihood (Ponte & Croft 1998), by the language
    model's own query prompt. Small models that cannot choose among labels can do this. It asks
    nothing of the shopper, so that everybody who types the same shares the answers, and has nothing
    to say where nothing was typed.

The first two are corrected by what the same prompt answers when its items say nothing ("N/A";
Zhao et al. 2021, "Calibrate before use"), and slates by what each label still gets on average over
slates of real items in random order (Zhou et al. 2024, "Batch calibration"; measured by
:mod:`footfall.simulator.scored_slates`). What is left of the bias is measured by
:mod:`footfall.simulator.scoring_bias`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import logsumexp

from footfall.personas.persona import Persona
from footfall.simulator.behaviour import Floats
from footfall.simulator.engines.protocol import (
    Answer,
    ChoiceAnswer,
    ChoiceRequest,
    Engine,
    LikelihoodAnswer,
    LikelihoodRequest,
    Request,
    ask,
)
from footfall.simulator.prompts import LARGEST_SLATE, PromptBook, wording_language

__all__ = [
    "Correction",
    "ScoringCall",
    "ScoringKind",
    "SlateScores",
    "ask_scores",
    "measure_correction",
    "read_labels",
    "read_scores",
]

ScoringKind: TypeAlias = Literal["item", "slate", "query"]

#: Texts that say nothing, by language: the first two kinds are those of Zhao et al. 2021.
_CONTENT_FREE = {"en": ("N/A", "[MASK]", "-"), "zh": ("无内容", "[MASK]", "-")}
_LOCALES = {"en": "en_US", "zh": "zh_CN"}


@dataclass(frozen=True, slots=True)
class SlateScores:
    """What the engine thinks of one slate.

    Attributes
    ----------
    log_odds
        Of choosing the item against choosing none, shape (slate,), in the order of the texts; not
        a number where an answer was unusable.
    attraction
        Logarithm of the mean odds (``slate``, ``query``) or mean log-odds (``item``): how much the
        slate as a whole appeals, whatever its length. Not a number where nothing was usable.
    unusable
        How many answers could not be used.
    """

    log_odds: Floats
    attraction: float
    unusable: int


@dataclass(frozen=True, slots=True)
class ScoringCall:
    """Requests about one slate of ``size`` items.

    ``orders[i]`` holds the indices of the items that request ``i`` shows, first label first; the
    last request of the ``query`` way shows none.
    """

    requests: list[Request]
    orders: tuple[tuple[int, ...], ...]
    size: int
    kind: ScoringKind
    language: str


class Correction(BaseModel):
    """What the words favour whatever the items are; subtracted from every answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ScoringKind = Field(description="How it was asked.")
    log_odds: dict[str, dict[int, tuple[float, ...]]] = Field(
        default_factory=dict,
        description="By language and number of items: log-odds of each label against none, where "
        "the items say nothing.",
    )
    labels: dict[str, tuple[float, ...]] = Field(
        default_factory=dict,
        description="By language: what each label still gets on slates of real items.",
    )

    def of(self, language: str, size: int) -> Floats:
        """Log-odds to subtract, shape (size,).

        Of a size that was not measured: those of the next larger one, or of the largest with its
        last label repeated. Zeros where the language was not measured. What labels get on slates
        of real items moves them against one another and not the slate as a whole.
        """
        values = np.zeros(size)
        if measured := self.log_odds.get(language, {}):
            nearest = min((n for n in measured if n >= size), default=max(measured))
            values += [measured[nearest][min(label, nearest - 1)] for label in range(size)]
        labels = np.zeros(size)
        known = self.labels.get(language, ())[:size]
        labels[: len(known)] = known
        return np.asarray(values + labels - labels.mean() if size else values)


def ask_scores(
    prompts: PromptBook,
    persona: Persona,
    query: str | None,
    texts: Sequence[str],
    kind: ScoringKind,
    rng: np.random.Generator,
    *,
    draws: int = 1,
) -> ScoringCall:
    """Requests that score ``texts`` for ``persona``, who typed ``query`` or browses (``None``).

    Slates are shown in an order drawn from ``rng``, ``draws`` times; more than
    :data:`~footfall.simulator.prompts.LARGEST_SLATE` items are asked in blocks of even size. The
    ``item`` and ``query`` ways have no order: they ask once and draw nothing.
    """
    language = wording_language(persona.locale)
    if kind == "query":
        # Nothing to ask where nothing was typed.
        wanted = [*texts, None] if query is not None and texts else []
        likelihoods: list[Request] = [
            LikelihoodRequest(*prompts.typed(persona.locale, text, query)) for text in wanted
        ]
        shown_alone = tuple((index,) for index in range(len(wanted) - 1))
        orders = (*shown_alone, ()) if wanted else ()
        return ScoringCall(likelihoods, orders, len(texts), kind, language)
    if kind == "item":
        questions, options = prompts.choices(persona, query, texts)
        requests: list[Request] = [ChoiceRequest(question, options) for question in questions]
        orders = tuple((index,) for index in range(len(texts)))
        return ScoringCall(requests, orders, len(texts), kind, language)
    requests, shown = [], []
    for _ in range(draws if texts else 0):
        for block in np.array_split(rng.permutation(len(texts)), _blocks(len(texts))):
            order = tuple(int(index) for index in block)
            prompt, labels = prompts.slate(persona, query, [texts[index] for index in order])
            requests.append(ChoiceRequest(prompt, labels))
            shown.append(order)
    return ScoringCall(requests, tuple(shown), len(texts), kind, language)


def _blocks(size: int) -> int:
    """How many prompts a slate of this size needs."""
    return -(-size // LARGEST_SLATE)


def read_labels(
    call: ScoringCall, answers: Sequence[Answer], correction: Correction | None
) -> list[Floats]:
    """Corrected log-odds of each request's items, in the order shown; nan where unusable."""
    if call.kind == "query":
        return _read_likelihoods(answers)
    found = []
    for order, answer in zip(call.orders, answers, strict=True):
        values = np.full(len(order), np.nan)
        if isinstance(answer, ChoiceAnswer) and answer.usable:
            logs = np.asarray(answer.log_probabilities, dtype=np.float64)
            values = logs[:-1] - logs[-1]
            if correction is not None:
                values = values - correction.of(call.language, len(order))
        found.append(values)
    return found


def _read_likelihoods(answers: Sequence[Answer]) -> list[Floats]:
    values = [
        answer.log_probability
        if isinstance(answer, LikelihoodAnswer) and answer.usable
        else float("nan")
        for answer in answers
    ]
    # The last one is the query's own likelihood, whatever is looked for.
    return [np.array([value - values[-1]]) for value in values[:-1]] + [
        np.zeros(0) for _ in values[-1:]
    ]


def read_scores(
    call: ScoringCall, answers: Sequence[Answer], correction: Correction | None
) -> SlateScores:
    """Scores of one slate in the original order of its texts; the mean over several draws."""
    labels = read_labels(call, answers, correction)
    total, known = np.zeros(call.size), np.zeros(call.size)
    for order, values in zip(call.orders, labels, strict=True):
        usable = np.isfinite(values)
        total[list(order)] += np.where(usable, values, 0.0)
        known[list(order)] += usable
    log_odds = np.where(known > 0, total / np.maximum(known, 1), np.nan)
    usable = log_odds[known > 0]
    if not usable.size:
        attraction = float("nan")
    elif call.kind != "item":
        attraction = float(logsumexp(usable) - np.log(usable.size))
    else:
        attraction = float(usable.mean())
    unusable = sum(bool(values.size) and not np.isfinite(values).any() for values in labels)
    return SlateScores(log_odds, attraction, unusable)


def measure_correction(
    engine: Engine,
    prompts: PromptBook,
    locales: Iterable[str],
    sizes: Iterable[int],
    kind: ScoringKind,
) -> Correction:
    """Ask about items that say nothing, and keep the mean log-odds of each label against none.

    Parameters
    ----------
    engine, prompts:
        Who is asked, in which words.
    locales:
        Of the shoppers; each language is measured once.
    sizes:
        Numbers of items of the slates to come. Not used by the ``item`` way.
    kind:
        The way of asking. Query likelihood is compared with what is typed anyway: it has nothing to
        correct.
    """
    if kind == "query":
        return Correction(kind=kind)
    counts = sorted(
        {
            len(block)
            for size in set(sizes)
            if size > 0
            for block in np.array_split(np.arange(size), _blocks(size))
        }
    )
    cases = [
        (language, size, text, wanted)
        for language in sorted({wording_language(locale) for locale in locales})
        for size in (counts if kind == "slate" else [1])
        for text in _CONTENT_FREE[language]
        for wanted in (text, None)
    ]
    # The order of equal items does not matter; the generator is only there to be asked.
    rng = np.random.default_rng(0)
    calls = [
        ask_scores(prompts, _nobody(language, text), wanted, [text] * size, kind, rng)
        for language, size, text, wanted in cases
    ]
    answers = ask(engine, [call.requests[0] for call in calls])
    measured: dict[tuple[str, int], list[Floats]] = {}
    for (language, size, _, _), call, answer in zip(cases, calls, answers, strict=True):
        (values,) = read_labels(call, [answer], None)
        if np.isfinite(values).all():
            measured.setdefault((language, size), []).append(values)
    log_odds: dict[str, dict[int, tuple[float, ...]]] = {}
    for (language, size), rows in measured.items():
        mean = np.mean(rows, axis=0)
        log_odds.setdefault(language, {})[size] = tuple(float(value) for value in mean)
    return Correction(kind=kind, log_odds=log_odds)


def _nobody(language: str, text: str) -> Persona:
    return Persona(
        persona_id="nobody", locale=_LOCALES[language], demographics={"description": text}
    )
