"""A proof in plain words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from footfall.finetune.pairs import logged_candidates
from footfall.simulator import Log

if TYPE_CHECKING:
    from footfall.eval import ArmComparison
    from footfall.lift_recipe import LiftRecipe

__all__ = ["FEW_TO_CHOOSE_BY", "lift_cautions", "lift_sentence"]

#: Why the weights are not chosen by cold rows though the recipe asks for it.
FEW_TO_CHOOSE_BY: Final = (
    "The validation part has too few responses of cold rows, or of warm ones, to choose weights by "
    "cold rows: they are chosen by all rows, and harm to warm ones is not watched by itself."
)

_WORDS: Final = {
    "helped": "helped",
    "no evidence": "gave no evidence of help",
    "hurt": "hurt",
}
#: Fewest seeds of a proof, and the share of the rows of the largest arm that needs no word.
_FEWEST_SEEDS: Final = 5
_ENOUGH: Final = 0.98
_SLICES: Final = ("cold items", "warm items", "cold users", "all")


def lift_sentence(comparison: ArmComparison, alphas: dict[str, dict[str, Any]]) -> str:
    """What the synthetic arms did, the last first: on cold and warm items, cold users, all rows."""
    told = [_arm_sentence(comparison, alphas, arm) for arm in reversed(comparison.synthetic)]
    return " ".join(told)


def _arm_sentence(comparison: ArmComparison, alphas: dict[str, dict[str, Any]], arm: str) -> str:
    said = []
    if not alphas[arm]["alpha"]:
        said.append(
            f"Leave the rows of {arm} out: on real validation data their best weight was 0, so the "
            "arm is the real one."
        )
    found = {row.slice: row for row in comparison.verdicts if row.arm == arm}
    for name in _SLICES:
        if name in found and _says_more(comparison, arm, name):
            row = found[name]
            said.append(f"{name.capitalize()}: {arm} {_WORDS[row.verdict]}. {row.reason}")
    return " ".join(said)


def _says_more(comparison: ArmComparison, arm: str, name: str) -> bool:
    """Where everybody is a stranger, cold users are all rows again."""
    if name != "cold users":
        return True
    versus_real = comparison.versus(comparison.reference, arm)
    return versus_real is not None and versus_real.row("auc", "warm users").difference is not None


def _short_arms(recipe: LiftRecipe) -> str:
    """Arms whose source gave clearly fewer rows than the others have, with their share of them."""
    file = recipe.folder / "examples" / "arms.json"
    rows = {arm: told["rows"] for arm, told in json.loads(file.read_text("utf-8")).items()}
    most = max(rows.values())
    return ", ".join(f"{arm} ({n / most:.0%})" for arm, n in rows.items() if n < _ENOUGH * most)


def lift_cautions(
    alphas: dict[str, dict[str, Any]], recipe: LiftRecipe, *, cold_decides: bool
) -> list[str]:
    """What a reader has to know before believing the numbers.

    ``cold_decides`` says whether the validation part has enough cold and warm responses to choose
    the weights as ``choose_by = "cold"`` asks.
    """
    proof = recipe.proof
    weights = ", ".join(f"{arm} {told['alpha']:g}" for arm, told in alphas.items())
    said = [
        "Weight of each arm's added rows, chosen on real validation data with 0 allowed (which "
        f"judged arms have to beat by {proof.margin:g} standard errors, controls by nothing): "
        f"{weights}.",
        "The best control is picked on the test rows, which favours the control.",
        "Items to aim at are those shown later without a response in the training part: that and "
        "how often they are shown is taken as known beforehand, what people do with them is not.",
    ]
    if proof.choose_by == "cold" and not cold_decides:
        said.append(FEW_TO_CHOOSE_BY)
    if len(proof.seeds) < _FEWEST_SEEDS:
        said.append(
            f"{len(proof.seeds)} training seeds: fewer than {_FEWEST_SEEDS} say little of how "
            "trainings differ."
        )
    short = _short_arms(recipe)
    if short:
        said.append(
            f"These arms have fewer rows than the largest: {short}. Each of their rows counts for "
            "more, so that total weights are equal."
        )
    with Log.open(recipe.folder / "shop.duckdb") as log:
        if not logged_candidates(log):
            said.append(
                "The log knows responses only: what stood beside them is sampled or reconstructed, "
                "in training and in the test alike."
            )
    return said
