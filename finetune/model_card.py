"""The card that is saved beside a model: what it was trained on and how well it did."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from footfall.finetune.example_table import Examples

__all__ = ["card_text", "describe_examples", "export_lines", "library_versions"]


def describe_examples(examples: Examples) -> dict[str, Any]:
    """Counts of rows, slates, shoppers and items, and by origin rows, responses and weight."""
    origins = examples.column("origin").astype(str)
    by_origin = {}
    for origin in np.unique(origins):
        rows = origins == origin
        by_origin[str(origin)] = {
            "rows": int(rows.sum()),
            "responses": int(examples.labels[rows].sum()),
            "weight": round(float(examples.weights[rows].sum()), 3),
        }
    counts = {
        name: len(np.unique(examples.column(column).astype(str)))
        for name, column in (("slates", "search_id"), ("shoppers", "user_id"), ("items", "item_id"))
    }
    return {"rows": len(examples), **counts, "origins": by_origin}


def library_versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    versions = {"python": platform.python_version()}
    for name in ("footfall", "torch", "transformers", "peft", "accelerate"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def card_text(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    settings, training = card.get("settings", {}), card.get("training", {})
    lines = [
        "# Click-through classifier",
        "",
        "Probability that a shopper responds to an item shown, made with Footfall. Load it with",
        "`footfall.finetune.ClickModel.load(folder)`.",
        "",
        f"* encoder: {settings.get('encoder')}, {settings.get('architecture', 'two_towers')}, "
        f"tuning: {settings.get('tuning')}",
        f"* seed: {settings.get('seed')}",
        f"* steps: {training.get('steps')} of {training.get('planned_steps')}; weights kept: "
        f"{training.get('kept')}",
        f"* validation log loss: {_number(training.get('start_log_loss'))} at the start, "
        f"{_number(training.get('best_log_loss'))} at the best",
        *_auc_lines(training),
        f"* speed: {training.get('pairs_per_second')} pairs a second, "
        f"{training.get('processes', 1)} process(es)",
        *_sampling_lines(card.get("negative_rate")),
        *_calibration_lines(card.get("calibration")),
        *export_lines(card.get("export"), {"auc": "AUC"}),
        "",
        "| part | origin | rows | responses | weight |",
        "|---|---|---:|---:|---:|",
    ]
    for part in ("training_rows", "validation_rows"):
        for origin, counts in ((card.get(part) or {}).get("origins", {})).items():
            lines.append(
                f"| {part.removesuffix('_rows')} | {origin} | {counts['rows']} | "
                f"{counts['responses']} | {counts['weight']:g} |"
            )
    lines += ["", "Versions: " + ", ".join(f"{k} {v}" for k, v in card.get("versions", {}).items())]
    return "\n".join(lines) + "\n"


def _sampling_lines(rate: float | None) -> list[str]:
    if rate is None or rate == 1.0:
        return []
    return [
        f"* negatives were kept at a rate of {rate:.4g}: probabilities are those within sampled "
        "slates unless they are corrected (`correct_prior`)"
    ]


def _auc_lines(training: dict[str, Any]) -> list[str]:
    start, best = (training.get(f"{when}_metrics", {}).get("auc") for when in ("start", "best"))
    if best is None:
        return []
    return [f"* validation AUC: {_number(start)} at the start, {_number(best)} of the weights kept"]


def _calibration_lines(figures: dict[str, Any] | None) -> list[str]:
    if not figures:
        return []
    return [
        f"* calibration ({figures['kind']}), on validation slates that the map was not fitted on: "
        f"log loss {figures['log_loss_before']:.4f} -> {figures['log_loss_after']:.4f}, expected "
        f"calibration error {figures['calibration_error_before']:.4f} -> "
        f"{figures['calibration_error_after']:.4f}"
    ]


def export_lines(figures: dict[str, Any] | None, judged: dict[str, str]) -> list[str]:
    """A line about an export, if it is one; ``judged`` names the measures of quality."""
    if not figures:
        return []
    changes = (
        f"{name} {figures[f'{key}_before']:,.{digits}f} -> {figures[f'{key}_after']:,.{digits}f}"
        for name, key, digits in (
            *((name, key, 4) for key, name in judged.items()),
            ("rows a second", "rows_per_second", 0),
            ("megabytes of the encoder", "encoder_megabytes", 1),
        )
    )
    return [f"* export ({figures['kind']}), on {figures['rows']:,} rows: {', '.join(changes)}"]


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"
