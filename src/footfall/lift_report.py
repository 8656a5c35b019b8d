"""What the report of a proof shows: verdict, arms, what went into them, cost, how to repeat it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Final

import pyarrow.compute as pc
import pyarrow.parquet as pq

from footfall.eval import ArmComparison, CostLine, ReportContent
from footfall.eval.report import Repeat
from footfall.finetune.model_card import library_versions
from footfall.lift_recipe import LiftRecipe
from footfall.lift_verdict import lift_cautions, lift_sentence
from footfall.simulator import Log

__all__ = ["RECIPE_FILE", "Proved", "proof_content"]

#: Where a proof's folder holds its recipe with all settings.
RECIPE_FILE: Final = "recipe-as-run.toml"


@dataclass(frozen=True, slots=True)
class Proved:
    """What the stages of a proof left.

    Attributes
    ----------
    comparison:
        The arms on the test part.
    alphas:
        By arm, its weight and how it was chosen.
    runs:
        By arm, the summary of its simulated or generated run.
    stages:
        By stage, its fingerprint and seconds.
    cold_decides:
        Whether the weights were chosen by cold rows.
    """

    comparison: ArmComparison
    alphas: dict[str, dict[str, Any]]
    runs: dict[str, dict[str, Any]]
    stages: dict[str, dict[str, Any]]
    cold_decides: bool


def proof_content(recipe: LiftRecipe, proved: Proved) -> ReportContent:
    """The report of a proof whose folder holds its examples, runs and recipe."""
    return ReportContent(
        title=recipe.title,
        verdict=lift_sentence(proved.comparison, proved.alphas),
        facts=_facts(recipe, proved),
        arms=proved.comparison,
        cost=_cost(proved),
        cautions=lift_cautions(proved.alphas, recipe, cold_decides=proved.cold_decides),
        repeat=_repeat(recipe, proved),
    )


def _facts(recipe: LiftRecipe, proved: Proved) -> dict[str, str]:
    facts = {}
    for part in ("train", "validation", "test"):
        rows = pq.read_table(
            recipe.folder / "examples" / f"{part}.parquet", columns=["label", "item_cold"]
        )
        cold = rows.filter(rows["item_cold"])
        facts[f"real rows, {part}"] = (
            f"{rows.num_rows:,}, {pc.sum(rows['label']).as_py() or 0:,} with a response; of cold "
            f"items {cold.num_rows:,} and {pc.sum(cold['label']).as_py() or 0:,}"
        )
    for arm, run in proved.runs.items():
        unit = "visits" if "visits" in run else "sessions"
        facts[f"{unit}, {arm}"] = f"{run.get(unit, 0):,} (run {run['run_id']})"
    for arm, told in proved.alphas.items():
        facts[f"weight of the added rows, {arm}"] = f"{told['alpha']:g}"
    return facts


def _cost(proved: Proved) -> list[CostLine]:
    earlier = sum(int(run.get("already_done", 0)) for run in proved.runs.values())
    lines = []
    for name, stage in proved.stages.items():
        if name == "report":
            continue
        simulates = name == "simulate"
        note = ""
        if simulates and earlier:
            note = f"{earlier:,} visits were made by calls before, whose tokens are not counted."
        lines.append(
            CostLine(
                stage=name,
                seconds=stage["seconds"],
                prompt_tokens=_tokens(proved, "prompt_tokens") if simulates else None,
                output_tokens=_tokens(proved, "output_tokens") if simulates else None,
                note=note,
            )
        )
    return lines


def _tokens(proved: Proved, kind: str) -> int:
    return sum(int(run.get(kind, 0)) for run in proved.runs.values())


def _repeat(recipe: LiftRecipe, proved: Proved) -> Repeat:
    with Log.open(recipe.folder / "training.duckdb") as log:
        runs = {
            run["run_id"]: run
            for run in log.query("SELECT run_id, model, model_hash FROM runs").to_pylist()
        }
    notes = [
        f"Training seeds {_listed(recipe.proof.seeds)}; those of the choice of weights "
        f"{_listed(recipe.proof.alpha_seeds)}."
    ]
    for arm, told in proved.runs.items():
        run = runs.get(told["run_id"], {})
        if run.get("model"):
            notes.append(f"{arm} answered with {run['model']}, hash {run['model_hash']}.")
    return Repeat(
        commands=[f"footfall lift {shlex.quote(str(recipe.folder / RECIPE_FILE))}"],
        seed=recipe.parts.seed,
        versions=library_versions(),
        model=recipe.engine.model,
        notes=notes,
    )


def _listed(seeds: tuple[int, ...]) -> str:
    return ", ".join(str(seed) for seed in seeds)
