"""A proof in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from footfall.finetune.pairs import logged_candidates
from footfall.simulator import Log

if TYPE_CHECKING:
    from footfall.eval import ArmComparison
    from footfall.lift_recipe import LiftRecipe

__all__ = ["lift_cautions", "lift_sentence"]

_WORDS: Final = {
    "helped": "helped",
    "no evidence": "gave no evidence of help",
    "hurt": "hurt",
}
_SLICES: Final = ("cold items", "warm items", "all")


def lift_sentence(comparison: ArmComparison, alphas: dict[str, dict[str, Any]]) -> str:
    """What the last synthetic arm did, on cold items, on warm ones, and on all rows."""
    arm = comparison.synthetic[-1]
    said = []
    if not alphas[arm]["alpha"]:
        said.append(
            f"Leave the rows of {arm} out: on real validation data their best weight was 0, so the "
            "arm is the real one."
        )
    found = {row.slice: row for row in comparison.verdicts if row.arm == arm}
    for name in _SLICES:
        if name in found:
            row = found[name]
            said.append(f"{name.capitalize()}: {arm} {_WORDS[row.verdict]}. {row.reason}")
    return " ".join(said)


def lift_cautions(
    comparison: ArmComparison, alphas: dict[str, dict[str, Any]], recipe: LiftRecipe
) -> list[str]:
    """What a reader has to know before believing the numbers."""
    del comparison
    weights = ", ".join(f"{arm} {told['alpha']:g}" for arm, told in alphas.items())
    said = [
        "Weight of each arm's added rows, chosen on real validation data with 0 allowed: "
        f"{weights}.",
        "The best control is picked on the test rows, which favours the control.",
        "Items to aim at are those shown later without a response in the training part: that they "
        "are shown is known beforehand, what people do with them is not.",
    ]
    with Log.open(recipe.folder / "shop.duckdb") as log:
        if not logged_candidates(log):
            said.append(
                "The log knows responses only: what stood beside them is sampled or reconstructed, "
                "in training and in the test alike."
            )
    return said
