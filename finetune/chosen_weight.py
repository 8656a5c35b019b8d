"""The training sets of a fusion, with the weight of their added rows chosen on validation data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from footfall.errors import DataError, SettingError
from footfall.files import whole_file
from footfall.finetune.alpha import validation_log_loss
from footfall.finetune.alpha_halving import (
    HalvingChoice,
    choose_alpha_by_halving,
    planned_trainings,
    share_of_slates,
)
from footfall.finetune.click_model import ClickModel
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.example_files import load_examples, save_examples
from footfall.finetune.fusion_report import rescaled_provenance, save_provenance
from footfall.finetune.tracking import check_tracker
from footfall.progress import console, track

__all__ = ["choose_weight"]

#: Sets that hold the added rows, or as many others: all get the same weight.
_SETS: Final = ("synthetic", "oversampled", "random-pairs")


def choose_weight(
    folder: str | Path,
    *,
    settings: ClickSettings | None = None,
    factors: Sequence[float] = (0.1, 0.25, 0.5, 1.0, 2.0),
    seeds: Sequence[int] = (0, 1, 2),
    budgets: Sequence[float] = (0.25, 0.5, 1.0),
    margin: float = 1.0,
) -> HalvingChoice:
    """Choose how much the synthetic rows of ``footfall fuse`` count, and write the sets so.

    Weights are multiples of those that the fusion gave; 0, no synthetic rows, is always among
    them. See :func:`~footfall.finetune.alpha_halving.choose_alpha_by_halving`.

    Parameters
    ----------
    folder:
        With the files of ``footfall fuse``. Into its folder ``chosen`` go the training sets at
        the weight that was chosen, controls included, the provenance of the rows at that weight,
        and the course of the choice (``alpha.json``).
    settings:
        Of the classifiers that are compared; their seed is replaced.
    factors, seeds, budgets, margin:
        Candidates, training seeds, rising shares of the slates, and the standard errors by which
        a weight has to beat 0.

    Raises
    ------
    DataError
        If a file is missing, no synthetic row is there, or a validation row is not real.
    NoResponseError
        If the validation rows have one label only.
    SettingError
        If candidates, seeds or budgets make no choice, or the trainings, of which none is kept,
        are to be tracked.
    """
    place = Path(folder)
    fused = load_examples(place / "synthetic.parquet")
    validation = load_examples(place / "validation.parquet")
    if not fused.synthetic.any():
        raise DataError(
            f"{place / 'synthetic.parquet'} holds no synthetic row, so there is nothing to weigh.",
            hint="Fuse a run with an alpha above 0; fusion.json says why rows were dropped.",
        )
    if not any(factors):
        raise SettingError("factors: there is none above 0.", hint="Give one to compare with 0.")
    if budgets and max(budgets) > 1:
        raise SettingError(f"budgets: {list(budgets)} are shares, and one is above 1.")
    base = settings or ClickSettings()
    check_tracker(base, None)

    plan = planned_trainings(factors, seeds, budgets)
    total = sum(trainings for _, trainings in plan)
    whole = sum(budget * trainings for budget, trainings in plan)
    console.print(
        f"{total} trainings on up to {len(fused):,} rows; as much work as {whole:.1f} on all rows."
    )
    with track("Weights of synthetic rows", total) as progress:

        def train(factor: float, seed: int, share: float) -> ClickModel:
            rows = share_of_slates(fused.with_synthetic_scaled(factor), share, seed)
            model = ClickModel(base.model_copy(update={"seed": seed})).fit(rows, validation)
            progress.advance()
            return model

        choice = choose_alpha_by_halving(
            train,
            validation_log_loss(validation),
            alphas=factors,
            seeds=seeds,
            budgets=budgets,
            margin=margin,
        )
    chosen = place / "chosen"
    chosen.mkdir(exist_ok=True)
    for name in _SETS:
        if (place / f"{name}.parquet").is_file():
            rows = load_examples(place / f"{name}.parquet").with_synthetic_scaled(choice.alpha)
            save_examples(rows.take(rows.weights > 0), chosen / f"{name}.parquet")
    told = place / "provenance.parquet"
    if told.is_file():
        rescaled = rescaled_provenance(pq.read_table(told), choice.alpha)
        save_provenance(rescaled, chosen / "provenance.parquet")
    with whole_file(chosen / "alpha.json") as partial:
        partial.write_text(json.dumps(asdict(choice), indent=1) + "\n", encoding="utf-8")
    return choice
