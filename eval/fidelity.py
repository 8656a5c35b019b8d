"""Is a run true to the real log? Every measure in three columns, and a verdict in plain words.

Beside the run's distance to the real log stand the distance of a random real part of the run's size
to the rest, and that of the simple simulator (independent marginals, first-order Markov chain). The
formulas, their sources and their traps are in ``docs/fidelity.md``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from footfall.errors import SettingError
from footfall.eval.counted_measures import CountedMeasure, LogMeasures, read_measures
from footfall.eval.distinctness import Queries
from footfall.eval.fidelity_models import Trial, trained_row, two_sample_row
from footfall.eval.fidelity_results import Fidelity
from footfall.eval.fidelity_rows import counted_rows
from footfall.eval.fidelity_texts import TextSides, distinct_row, embedding_rows
from footfall.eval.fidelity_words import verdict_paragraph
from footfall.eval.likeness import position_points, session_totals, top_categories
from footfall.eval.likeness_counts import Sides, Window
from footfall.eval.likeness_results import MixShare, PositionPoint
from footfall.eval.marginal_simulator import SIMPLE_ORIGIN, MarginalSimulator
from footfall.eval.real_parts import real_parts
from footfall.eval.run_record import read_run, run_cautions
from footfall.eval.session_features import SessionFeatures, read_session_features
from footfall.eval.session_measures import session_frechet, session_measures
from footfall.eval.temporary_rows import temporary_rows

if TYPE_CHECKING:
    from footfall.eval.text_frechet import Encoder
    from footfall.simulator.log import Log

__all__ = ["Fidelity", "fidelity"]

#: A model is trained for each of at most so many real parts.
MODEL_SPLITS: Final = 6


class _Side:
    """One made side (the run or the simple simulator) read beside the real sessions."""

    def __init__(self, log: Log, window: Window, until: datetime | None) -> None:
        self.sides = Sides(log, window)
        self.read: LogMeasures = read_measures(self.sides, until, lone=True)
        self.features: SessionFeatures = read_session_features(
            self.sides, self.read.response, outside=self.read.outside
        ).with_responses(self.read.only)
        self.queries = self.sides.queries()
        self.words = Queries(self.queries, self.sides.users)

    def measures(self) -> list[CountedMeasure]:
        """Everything that is a sum over users."""
        users = self.sides.users
        lengths = CountedMeasure("query length in words", self.words.lengths(), section="queries")
        frechet = session_frechet(self.features, users)
        found = [*self.read.measures, *session_measures(self.features, users), lengths]
        return found if frechet is None else [*found, frechet]


def fidelity(
    log: Log,
    run_id: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    until: datetime | None = None,
    splits: int = 100,
    resamples: int = 500,
    seed: int = 0,
    encoder: Encoder | None = None,
) -> Fidelity:
    """Compare a run with the real log, beside real parts of its size and a simple simulator.

    Nothing is written to the log.

    Parameters
    ----------
    log:
        The open log with both origins.
    run_id:
        The simulated run.
    start, end:
        Real sessions that started from ``start`` and before ``end`` are compared; by default all
        before ``until``.
    until:
        End of the training part: the simple simulator is fitted on real sessions before it, and
        click models are tested on real pages after it. By default, up to when the run could know
        the log. Times without zone are UTC.
    splits:
        Random real parts of the run's size that are compared with the rest.
    resamples:
        How often users are drawn again for the intervals; at least 20.
    seed:
        Seed of everything that is drawn.
    encoder:
        Embeds queries and item texts; by default the bundled MiniLM. Without torch or its weights
        those rows are not measured and say so.

    Raises
    ------
    DataError
        If the log has no such run.
    EmptyLogError
        If the run has no sessions, or there are no real ones in the window or before ``until``.
    SettingError
        If ``splits`` is below 2 or ``resamples`` below 20.
    """
    if splits < 2:
        raise SettingError(f"splits = {splits} must be at least 2.", hint="Use 100.")
    if resamples < 20:
        raise SettingError(f"resamples = {resamples} must be at least 20.", hint="Use 500.")
    run = read_run(log, run_id)
    start, end, until = (_utc(moment) for moment in (start, end, until))
    until = until or run.known_until(log)
    end = end or until
    made = _Side(log, Window(run_id, start, end), until)
    sessions = session_totals(made.sides, run_id)
    trial = Trial(run_id, made.read, until, splits, min(splits, MODEL_SPLITS), resamples, seed)
    target, sizes = sessions[1], made.sides.sessions()
    parts = real_parts(sizes, target, splits, np.random.default_rng(seed))
    fitted = MarginalSimulator.fit(log, until=until, outside=made.read.outside)
    rows_beside = fitted.simulate(
        sessions[1], len(made.sides.users.made), np.random.default_rng((seed, 1))
    )
    with temporary_rows(log, rows_beside | {"runs": _simple_run(until)}):
        simple = _Side(log, Window(SIMPLE_ORIGIN, start, end), until)
        texts = TextSides.read(made, simple, np.random.default_rng((seed, 2)))
        trained = trained_row(log, trial)
    rows = counted_rows(made.measures(), simple.measures(), parts, resamples=resamples, seed=seed)
    for size in (1, 2):
        rows.append(distinct_row(size, made.words, simple.words, parts, trial))
    rows += embedding_rows(texts, encoder, trial)
    rows += [two_sample_row(made.features, simple.features, parts, trial), trained]
    return Fidelity(
        run_id=run_id,
        until=until,
        start=start,
        end=end,
        real_sessions=sessions[0],
        real_users=len(made.sides.users.real),
        synthetic_sessions=sessions[1],
        synthetic_users=len(made.sides.users.made),
        part_sessions=round(float((parts @ sizes).mean())),
        splits=splits,
        model_splits=trial.model_splits,
        resamples=resamples,
        seed=seed,
        response=made.read.response,
        rows=rows,
        positions=_points(made.read, simple.read),
        categories=_mix(made.read, simple.read),
        cautions=run_cautions(log, run),
        verdict=verdict_paragraph(rows),
    )


def _utc(moment: datetime | None) -> datetime | None:
    """A time as the log keeps it: UTC without zone."""
    if moment is None or moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)


def _simple_run(until: datetime | None) -> pa.Table:
    """The record of the simple simulator's rows, for readers that ask what a run has seen."""
    known = {"knowledge_until": until.isoformat() if until else None}
    return pa.table(
        {"run_id": [SIMPLE_ORIGIN], "kind": ["simulate"], "configuration": [json.dumps(known)]}
    )


def _points(run: LogMeasures, simple: LogMeasures) -> list[PositionPoint]:
    beside = {point.position: point.synthetic for point in position_points(simple.positions)}
    return [
        point.model_copy(update={"simple": beside.get(point.position)})
        for point in position_points(run.positions)
    ]


def _mix(run: LogMeasures, simple: LogMeasures) -> list[MixShare]:
    counts = simple.categories.synthetic
    shares: Sequence[float] = (counts / (counts.sum() or 1.0)).tolist()
    beside = dict(zip(simple.categories.labels, shares, strict=True))
    return [
        share.model_copy(update={"simple": beside.get(share.name, 0.0)})
        for share in top_categories(run.categories)
    ]
