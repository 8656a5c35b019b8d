"""Fuses real and synthetic examples into one training set.

The order is: refuse synthetic rows posing as real, merge near-duplicates, choose sessions
(by_behaviour) and slates (by_diversity), cap the share, weigh (by_time, by_feature, confidence,
alpha). Real rows are never dropped. Every row keeps its ``origin``, and its ``weight`` says what it
counts; what was done to each synthetic row is in the provenance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from footfall.errors import DataError, EmptyLogError
from footfall.finetune.confidence import confidence_weights
from footfall.finetune.discriminator import density_weights
from footfall.finetune.example_table import Examples
from footfall.finetune.fusion_choice import (
    diverse_slates,
    fitting_slates,
    rows_in,
    seeded_slates,
    usual_sessions,
)
from footfall.finetune.fusion_report import FusionReport, RowFates, provenance_table, summarise
from footfall.finetune.fusion_settings import FusionSettings
from footfall.finetune.near_duplicates import find_duplicates
from footfall.finetune.pair_inputs import Encode
from footfall.finetune.time_decay import time_decay

__all__ = ["Fusion", "fuse", "fuse_with_report"]


@dataclass(frozen=True)
class Fusion:
    """The training set, what was done in sum, and what was done to each synthetic row.

    ``provenance`` has the columns of :data:`~footfall.finetune.fusion_report.PROVENANCE_SCHEMA`.
    """

    examples: Examples
    report: FusionReport
    provenance: pa.Table


def fuse(real: Examples, synthetic: Examples, settings: FusionSettings) -> Examples:
    """Join real and synthetic examples: :func:`fuse_with_report` without the report."""
    return fuse_with_report(real, synthetic, settings).examples


def fuse_with_report(real: Examples, synthetic: Examples, settings: FusionSettings) -> Fusion:
    """Join real and synthetic examples and say what was done.

    * **near-duplicates**: see :mod:`~footfall.finetune.near_duplicates`.
    * **by_behaviour**: keeps synthetic sessions whose slates, responses, and responses per slate
      lie between the real sessions' lower and upper quantiles.
    * **by_diversity**: keeps the ``keep_share`` of slates whose texts repeat others least.
    * **cap**: whole slates are dropped until synthetic rows are at most ``max_share`` of all; of
      slates, those by_diversity ranks last, else a seeded choice.
    * **by_time**: real rows decay with age at the half-life; synthetic rows stand at the end of
      the real part (age 0). The mean weight of real rows stays what it was.
    * **by_feature**: synthetic rows are weighed by a clipped density ratio, real over synthetic;
      see :mod:`~footfall.finetune.discriminator`. Mean 1.
    * **confidence**: synthetic rows are weighed by how sure their labels are; see
      :mod:`~footfall.finetune.confidence`. Mean 1.
    * **alpha** multiplies the weights of the synthetic rows; 0 returns the real rows.

    Parameters
    ----------
    real:
        Rows of the real log, of the training part.
    synthetic:
        Rows of runs, read with the same ``until``.
    settings:
        Strategy and numbers.

    Returns
    -------
    Fusion
        Its examples are all real rows in their order, then the synthetic rows that are left.

    Raises
    ------
    EmptyLogError
        If there are no real rows.
    DataError
        If a synthetic row says that it is real, or the other way round.
    """
    _check(real, synthetic)
    fates = RowFates(synthetic)
    findings: dict[str, Any] = {}
    weighed, newest = real, 1.0
    if settings.uses("by_time"):
        decay = time_decay(real, settings.half_life_days)
        weighed, newest = real.with_column("weight", real.weights * decay.real), decay.newest
    if settings.alpha == 0:
        fates.drop(fates.kept, "alpha is 0")
    elif len(synthetic):
        _choose(real, fates, settings)
        findings = _weigh(real, fates, settings)
        fates.weigh("alpha", settings.alpha)
        fates.weigh("time", newest)
    return Fusion(
        Examples.concat([weighed, fates.left()]),
        summarise(weighed, fates, **findings),
        provenance_table(fates),
    )


def _check(real: Examples, synthetic: Examples) -> None:
    if not len(real):
        raise EmptyLogError(
            "There are no real examples to fuse with.",
            hint="Train on synthetic rows alone without fuse, or read real ones first.",
        )
    if real.synthetic.any():
        raise DataError("The real examples hold synthetic rows (origin).")
    if not synthetic.synthetic.all():
        raise DataError(
            "The synthetic examples hold real rows (origin).",
            hint="Read them with origins=[the run's id].",
        )


def _choose(real: Examples, fates: RowFates, settings: FusionSettings) -> None:
    """Drop rows, noting the first reason that applies."""
    given = fates.synthetic
    if settings.drop_duplicates:
        found = find_duplicates(real, given, settings.duplicate_similarity)
        fates.stands_for, fates.same = found.kept_row, found.same
        fates.read_weight, fates.factors["merging"] = found.weight, found.factor
        fates.drop(found.known, "the real log answers them")
        fates.drop(~found.kept, "merged into others")
    if settings.uses("by_behaviour"):
        # Judged on the sessions as they were, before merging thinned them.
        usual = rows_in(given, "session_id", usual_sessions(real, given, settings))
        fates.drop(~usual, "sessions that no real shopper has")
    if not fates.kept.any():
        return
    left = fates.left()
    if settings.uses("by_diversity"):
        order = diverse_slates(left, settings)
        fates.drop(~rows_in(given, "search_id", order), "slates that repeat others")
    else:
        order = seeded_slates(left, settings.seed)
    fitting = fitting_slates(left, order, len(real), settings.max_share)
    fates.drop(~rows_in(given, "search_id", fitting), "over the largest share")


def _weigh(real: Examples, fates: RowFates, settings: FusionSettings) -> dict[str, Any]:
    """Set the factors that the rows' contents decide; return what the report says of them."""
    left = fates.left()
    findings: dict[str, Any] = {}
    notes: list[str] = []
    if not len(left):
        return findings
    encode = _encoder(settings.encoder)
    if settings.uses("by_feature"):
        density = density_weights(
            real,
            left,
            inputs=settings.density,
            limit=settings.max_feature_weight,
            encode=encode,
            seed=settings.seed,
        )
        fates.weigh("density", density.weights)
        findings["density_auc"] = density.auc
        notes += [f"density: {density.note}"] * bool(density.note)
    if settings.confidence is not None:
        sure = confidence_weights(
            real,
            left,
            basis=settings.confidence,
            limit=settings.max_confidence_weight,
            encode=encode,
            seed=settings.seed,
        )
        fates.weigh("confidence", sure.weights)
        findings["confidence_auc"] = sure.auc
        notes += [f"confidence: {sure.note}"] * bool(sure.note)
    return findings | {"notes": tuple(notes)}


def _encoder(model: str | None) -> Encode | None:
    if model is None:
        return None
    from footfall.personas.encoder import TextEncoder

    return TextEncoder(model).encode
