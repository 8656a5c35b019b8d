"""Run a proof and print what it found: ``python benchmarks/lift.py lift-bestbuy --data FOLDER``.

Everything is kept in the recipe's folder (``--folder``), so that an interrupted proof goes on. The
figures are those of the recipe's test part, with 95 % intervals over users and seeds.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from machine import describe_machine

from footfall.eval import ArmComparison
from footfall.eval.results import format_interval, format_number, rows_to_markdown
from footfall.lift import run_lift
from footfall.lift_recipe import LiftRecipe
from footfall.recipe import load_settings

SLICES = ("all", "cold items", "warm items", "cold users")
MEASURES = {"auc": "AUC", "log_loss": "log loss", "calibration_error": "calibration error"}


def arms_table(comparison: ArmComparison, alphas: dict[str, float], metric: str) -> str:
    """One measure of every arm on the slices that the test part has."""
    reference = comparison.evaluations[comparison.reference]
    there = [name for name in SLICES if reference.row(metric, name).value is not None]
    rows = []
    for name, found in comparison.evaluations.items():
        cells = [name, f"{alphas[name]:g}" if name in alphas else ""]
        for slice_name in there:
            row = found.row(metric, slice_name)
            cells.append(f"{format_number(row.value)} ({format_interval(row.low, row.high)})")
        rows.append(cells)
    header = [f"{MEASURES[metric]}, {slice_name}" for slice_name in there]
    return rows_to_markdown(["arm", "weight", *header], rows)


def differences_table(comparison: ArmComparison) -> str:
    """Each synthetic arm against the real one and the control that is best on the slice."""
    rows = []
    for verdict in comparison.verdicts:
        for other in (comparison.reference, verdict.best_control):
            found = comparison.versus(other, verdict.arm)
            # A slice that the test part does not have.
            if found is None or found.row("auc", verdict.slice).difference is None:
                continue
            cells = [verdict.arm, verdict.slice, str(other), verdict.verdict]
            for metric in ("auc", "log_loss"):
                row = found.row(metric, verdict.slice)
                cells.append(
                    f"{format_number(row.difference, signed=True)} "
                    f"({format_interval(row.low, row.high, signed=True)})"
                )
            rows.append(cells)
    header = ["arm", "slice", "against", "verdict", "AUC difference", "log loss difference"]
    return rows_to_markdown(header, rows)


def main() -> None:
    # Threads that spin while they wait make training several times slower beside anything else.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", help="a packaged recipe's name, or a file")
    parser.add_argument("--data", type=Path, help="folder of the source's files")
    parser.add_argument("--folder", type=Path, help="where results go")
    arguments = parser.parse_args()
    recipe = load_settings(LiftRecipe, arguments.recipe, hint="Name a recipe of a proof.")
    if arguments.data is not None:
        recipe = recipe.with_data(arguments.data)
    result = run_lift(recipe, folder=arguments.folder)
    print(describe_machine(gpu=True))
    print(f"{recipe.title}; {len(recipe.proof.seeds)} seeds\n")
    for metric in MEASURES:
        print(arms_table(result.comparison, result.alphas, metric))
    print(differences_table(result.comparison))
    print(result.verdict)


if __name__ == "__main__":
    main()
