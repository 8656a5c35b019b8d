"""Arms of equal volume beside the real one: did synthetic rows help, or would any rows have.

A lift over the real rows alone proves little: repeating real rows or adding random pairs can lift
too. The synthetic arm therefore has to beat the best control as well. The best control is picked
on the same test rows, which favours the control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import pyarrow as pa

from footfall.errors import DataError
from footfall.eval.evaluate import compare_models, score_model, summarise_model
from footfall.eval.intervals import DEFAULT_RESAMPLES, UserResamples
from footfall.eval.results import ArmComparison, ArmVerdict, Comparison, Evaluation, SliceVerdict
from footfall.eval.scores import SLICES, all_users, as_tables, check_same_rows

__all__ = ["compare_arms"]

Tables: TypeAlias = "pa.Table | Sequence[pa.Table]"


def compare_arms(
    arms: Mapping[str, Tables],
    *,
    reference: str = "real",
    synthetic: str | Sequence[str] = "synthetic",
    ceilings: Sequence[str] = (),
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
    threshold: float | None = None,
) -> ArmComparison:
    """Compare arms to the reference, and the synthetic arms to the best control too.

    Parameters
    ----------
    arms:
        Name to score table, or to one table per training seed; all of the same test rows in the
        same order. Arms that are neither the reference nor synthetic are controls.
    reference:
        The arm trained on real rows only.
    synthetic:
        The arm or arms with synthetic rows.
    ceilings:
        Arms with rows that nobody could have had: shown, and no controls.
    resamples, seed, threshold:
        As for :func:`footfall.eval.evaluate`.

    Returns
    -------
    ArmComparison
        Its verdict per synthetic arm and slice is ``helped`` only if the arm beats the reference
        and the control that has the highest AUC on that slice, by the rule of
        :func:`footfall.eval.compare`; without controls the reason says so.

    Raises
    ------
    DataError
        If an arm is missing, or arms differ in test rows or number of seeds.
    """
    wanted = [synthetic] if isinstance(synthetic, str) else list(synthetic)
    tables = {name: as_tables(found) for name, found in arms.items()}
    _check_arms(tables, reference, wanted)
    users = all_users([table for found in tables.values() for table in found])
    drawn = UserResamples(len(users), resamples=resamples, seed=seed)
    models = {
        name: score_model(found, users, drawn, threshold=threshold, name=name)
        for name, found in tables.items()
    }
    for name, found in tables.items():
        for one, other in zip(tables[reference], found, strict=True):
            check_same_rows(one, other, (reference, name))

    def pair(first: str, second: str) -> Comparison:
        return compare_models(models[first], models[second], (first, second), drawn, seed)

    evaluations = {name: summarise_model(model, drawn, seed) for name, model in models.items()}
    others = {reference, *wanted, *ceilings}
    controls = [name for name in tables if name not in others]
    comparisons = {name: pair(reference, name) for name in tables if name != reference}
    best = {name: _best_control(evaluations, controls, name) for name in SLICES}
    pairs = {
        (control, name): pair(control, name)
        for control in dict.fromkeys(best.values())
        if control is not None
        for name in wanted
    }
    verdicts = [
        _arm_verdict(name, slice_name, best[slice_name], comparisons, pairs)
        for name in wanted
        for slice_name in SLICES
    ]
    return ArmComparison(
        reference=reference,
        synthetic=wanted,
        controls=controls,
        evaluations=evaluations,
        comparisons=list(comparisons.values()),
        against_control=list(pairs.values()),
        verdicts=verdicts,
    )


def _check_arms(tables: dict[str, list[pa.Table]], reference: str, synthetic: list[str]) -> None:
    for name in (reference, *synthetic):
        if name not in tables:
            raise DataError(
                f"There is no arm {name!r}.", hint=f"The arms are {', '.join(tables) or 'none'}."
            )
    for name, found in tables.items():
        if len(found) != len(tables[reference]):
            raise DataError(
                f"Arm {name!r} has {len(found)} seeds and {reference!r} {len(tables[reference])}.",
                hint="Train every arm with the same seeds.",
            )


def _best_control(
    evaluations: Mapping[str, Evaluation], controls: Sequence[str], slice_name: str
) -> str | None:
    scored = {name: evaluations[name].row("auc", slice_name).value for name in controls}
    measured = {name: value for name, value in scored.items() if value is not None}
    return max(measured, key=measured.__getitem__) if measured else None


def _arm_verdict(
    name: str,
    slice_name: str,
    control: str | None,
    comparisons: Mapping[str, Comparison],
    pairs: Mapping[tuple[str, str], Comparison],
) -> ArmVerdict:
    versus_real = _slice_verdict(comparisons[name], slice_name)
    reason = f"Against {comparisons[name].before}: {versus_real.reason}"
    if control is None:
        reason += " There is no control of equal volume to compare with."
        return ArmVerdict(arm=name, slice=slice_name, verdict=versus_real.verdict, reason=reason)
    versus_control = _slice_verdict(pairs[control, name], slice_name)
    reason += f" Against the best control, {control}: {versus_control.reason}"
    verdict = versus_real.verdict
    if verdict == "helped" and versus_control.verdict != "helped":
        verdict = "no evidence"
        reason += " Other rows of the same volume did as well."
    return ArmVerdict(
        arm=name, slice=slice_name, verdict=verdict, reason=reason, best_control=control
    )


def _slice_verdict(comparison: Comparison, slice_name: str) -> SliceVerdict:
    return next(row for row in comparison.verdicts if row.slice == slice_name)
