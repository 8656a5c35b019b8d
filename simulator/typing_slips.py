"""Slips of the keyboard and of spelling, at the log's own rate.

A model writes cleaner than people do, and a search engine that is only asked clean queries looks
better than it is. How often a real query has a slip, of which kind, and which letters are confused,
is counted in the log (:mod:`footfall.simulator.spelling` says how, and what that misses); the same
share of the simulated queries gets one. A log that cannot tell gets none.

Scripts without blanks between words, and Hangul, are left alone: their slips are made in an input
method (homophones, for one) and cannot be told from the text. Of other scripts than Latin, letters
are replaced only by those that the log shows in their place; for Latin, the neighbours on a QWERTY
keyboard are added, and other layouts come in through the log alone. Blanks *added* within a word
(``x box``) are not made: people add them between the parts of a compound, which only a vocabulary
could tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from footfall.simulator.behaviour import Rate
from footfall.simulator.keystrokes import KEY_NEIGHBOURS, letter_runs, signs_of, swapped
from footfall.simulator.language import Language
from footfall.simulator.log import Log
from footfall.simulator.spelling import SHORTEST_WORD, SlipCounts, Vocabulary, count_slips

__all__ = ["SlipKind", "TypingSlips", "measure_slips"]

SlipKind = Literal["doubled", "dropped", "inserted", "joined", "replaced", "swapped"]

#: Fewer queries, slips or share of words in common use than this tell no rate.
_LEAST_QUERIES: Final = 500
_LEAST_COVERAGE: Final = 0.5
_LEAST_SLIPS: Final = 30


def _share_prior(value: float) -> Rate:
    return Rate(value=value, note="assumed equal: too few slips in the log to tell")


class TypingSlips(BaseModel):
    """How often a query has a slip, and of which kind.

    ``rate`` is of the queries that have a word of four or more letters; others get none. The
    kinds' shares sum to 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: Rate = Field(
        Rate(value=0.0, note="not recorded: no slips are made"),
        description="Share of queries with a slip.",
    )
    doubled: Rate = Field(_share_prior(1 / 6), description="Share: a letter typed twice.")
    dropped: Rate = Field(_share_prior(1 / 6), description="Share: a letter left out.")
    inserted: Rate = Field(_share_prior(1 / 6), description="Share: another letter added.")
    joined: Rate = Field(_share_prior(1 / 6), description="Share: a blank left out.")
    replaced: Rate = Field(_share_prior(1 / 6), description="Share: another letter instead.")
    swapped: Rate = Field(_share_prior(1 / 6), description="Share: two letters exchanged.")
    first_letter: Rate = Field(
        Rate(value=0.05, note="assumed: slips at a word's beginning are rare"),
        description="Share of slips at the first letter of a word.",
    )
    false_share: Rate = Field(
        Rate(value=0.0, note="no slips were counted"),
        description="At most this share of the counted slips are rare words spelt right.",
    )
    confusions: dict[str, str] = Field(
        default_factory=dict,
        description="Letters that the log has in place of a letter, one for each slip.",
    )

    @classmethod
    def fit(cls, log: Log, *, until: datetime | None = None) -> TypingSlips:
        """Count slips in the real queries before ``until``.

        With fewer than 500 queries to look at, or where most words are too rare to notice a slip
        in them, the rate is 0 and says why.
        """
        vocabulary = Vocabulary.from_log(log, until=until)
        counts = count_slips(log, vocabulary, until=until)
        if counts.texts < _LEAST_QUERIES or vocabulary.coverage < _LEAST_COVERAGE:
            note = (
                f"not recorded, no slips are made: {counts.texts:,} queries with words of "
                f"{SHORTEST_WORD} letters or more in scripts with blanks, "
                f"{vocabulary.coverage:.0%} of the words in common use"
            )
            return cls(rate=Rate(value=0.0, note=note))
        return cls(rate=_rate(counts), **_kinds(counts))

    def remaining(self, observed: Rate) -> TypingSlips:
        """What is left to apply where the model's own queries have slips at the rate ``observed``.

        With independent slips, ``observed + (1 - observed) * rate`` is then the log's rate.
        """
        clean = 1.0 - observed.value
        value = max(0.0, (self.rate.value - observed.value) / clean) if clean > 0 else 0.0
        error = None
        if self.rate.standard_error is not None and observed.standard_error is not None and clean:
            # Delta method; d(remaining)/d(observed) = -(1 - rate) / clean^2.
            slope = (1.0 - self.rate.value) / clean**2
            error = float(
                np.hypot(self.rate.standard_error / clean, slope * observed.standard_error)
            )
        note = f"{self.rate.note}; the model's own queries have {observed.value:.2%} already"
        rate = Rate(value=value, standard_error=error, source=self.rate.source, note=note)
        return self.model_copy(update={"rate": rate})

    def apply(
        self, query: str, rng: np.random.Generator, *, language: Language | None = None
    ) -> str:
        """``query`` with one slip, in a share ``rate`` of the calls; else unchanged.

        Only words of four or more letters lose or change one, so no number changes and nothing
        becomes empty; with ``language``, only words of the log's scripts. One number is drawn from
        ``rng`` for a query left alone.
        """
        if rng.random() >= self.rate.value:
            return query
        words = [
            (start, end)
            for start, end in letter_runs(query)
            if language is None or language.accepts(query[start:end])
        ]
        kinds = list(get_args(SlipKind))
        weights = np.asarray([getattr(self, kind).value for kind in kinds], dtype=np.float64)
        if not any(end - start >= SHORTEST_WORD for start, end in words):
            return query
        while weights.sum() > 0:
            chosen = int(rng.choice(len(kinds), p=weights / weights.sum()))
            changed = self._slip(kinds[chosen], query, words, rng)
            if changed is not None:
                return changed
            # Not every kind is possible in every query: one word alone cannot be joined.
            weights[chosen] = 0.0
        return query

    def _slip(
        self,
        kind: str,
        query: str,
        words: Sequence[tuple[int, int]],
        rng: np.random.Generator,
    ) -> str | None:
        if kind == "joined":
            gaps = [
                (end, start) for (_, end), (start, _) in pairwise(words) if query[end:start] == " "
            ]
            if not gaps:
                return None
            end, start = gaps[int(rng.integers(len(gaps)))]
            return query[:end] + query[start:]
        long = [(start, end) for start, end in words if end - start >= SHORTEST_WORD]
        lengths = np.asarray([end - start for start, end in long], dtype=np.float64)
        start, end = long[int(rng.choice(len(long), p=lengths / lengths.sum()))]
        signs = signs_of(query[start:end])
        first = len(signs) == 1 or rng.random() < self.first_letter.value
        place = 0 if first else int(rng.integers(1, len(signs)))
        changed = self._change(kind, signs, place, rng)
        return None if changed is None else query[:start] + "".join(changed) + query[end:]

    def _change(
        self, kind: str, signs: list[str], place: int, rng: np.random.Generator
    ) -> list[str] | None:
        before, sign, after = signs[:place], signs[place], signs[place + 1 :]
        if kind == "dropped":
            return [*before, *after]
        if kind == "doubled":
            return [*before, sign, sign.lower(), *after]
        if kind == "swapped":
            return swapped(signs, place)
        others = self._confused_with(sign)
        if kind == "inserted":
            beside = {sign.lower(), *(other.lower() for other in after[:1])}
            others = [other for other in others if other not in beside]
        if not others:
            return None
        other = others[int(rng.integers(len(others)))]
        if kind == "inserted":
            return [*before, sign, other, *after]
        return [*before, other.upper() if sign.isupper() else other, *after]

    def _confused_with(self, sign: str) -> list[str]:
        """Letters typed instead of ``sign``: the log's, and each neighbouring key once."""
        letter = sign.lower()
        return [*self.confusions.get(letter, ""), *KEY_NEIGHBOURS.get(letter, "")]


def measure_slips(log: Log, queries: Sequence[str], *, until: datetime | None = None) -> Rate:
    """Share of ``queries`` (a model's) with a slip, told by the real log's words before ``until``.

    Counted as :meth:`TypingSlips.fit` counts, so the two can be compared.
    """
    numbers = pa.array([str(number) for number in range(len(queries))], pa.string())
    table = pa.table(
        {"text_id": numbers, "person": numbers, "query": pa.array(queries, pa.string())}
    )
    counts = count_slips(log, Vocabulary.from_log(log, until=until), table)
    if not counts.texts:
        return Rate(value=0.0, note="none of the queries has a word that is looked at")
    return _rate(counts)


def _rate(counts: SlipCounts) -> Rate:
    note = (
        f"{counts.wrong:,} of {counts.texts:,} queries with words of {SHORTEST_WORD} letters or "
        "more; slips of one letter or a left-out blank"
    )
    return Rate(
        value=counts.wrong / counts.texts,
        # Without a single slip the sample's error is 0, which claims too much.
        standard_error=max(counts.error, 1.0 / counts.texts),
        source="fitted",
        note=note,
    )


def _kinds(counts: SlipCounts) -> dict[str, Any]:
    """Shares of the kinds; every different slip counts once, so no famous misspelling rules."""
    found: dict[str, Any] = {}
    if np.isfinite(counts.false_share):
        note = "upper bound, from how many of the catalogue's own words would be taken for slips"
        found["false_share"] = Rate(value=counts.false_share, source="fitted", note=note)
    confusions: dict[str, str] = {}
    for pair in counts.pairs:
        if pair["kind"] == "replaced":
            confusions[pair["wanted"]] = confusions.get(pair["wanted"], "") + pair["typed"]
    found["confusions"] = dict(sorted(confusions.items()))
    if len(counts.pairs) < _LEAST_SLIPS:
        return found
    for kind in get_args(SlipKind):
        number = sum(pair["kind"] == kind for pair in counts.pairs)
        found[kind] = _share(number, len(counts.pairs), "of the different slips")
    inside = [pair for pair in counts.pairs if pair["kind"] != "joined"]
    if inside:
        number = sum(pair["place"] == 1 for pair in inside)
        found["first_letter"] = _share(number, len(inside), "of the different slips in a word")
    return found


def _share(part: int, whole: int, note: str) -> Rate:
    value = part / whole
    error = float(np.sqrt(value * (1.0 - value) / whole))
    return Rate(value=value, standard_error=error, source="fitted", note=f"{note}, {whole:,}")
