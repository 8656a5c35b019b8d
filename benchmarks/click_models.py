"""AUC of Footfall's classifier beside click models of the field, on the same real rows.

    python benchmarks/click_models.py lift-bestbuy --data FOLDER
    python benchmarks/click_models.py --examples FOLDER

With a recipe of ``footfall lift`` the log is parted as the recipe says, and all real training
slates are taken (``--train-slates`` takes fewer). FOLDER of ``--examples`` holds ``train.parquet``,
``validation.parquet`` and ``test.parquet``. Settings are chosen on the validation part, figures are
those of the test part: means over seeds, with 95 % intervals over users and seeds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from click_baselines import BASELINES, log_loss, read_facts
from machine import describe_machine

from footfall import steps
from footfall.eval import evaluate
from footfall.eval.results import format_interval, format_number, rows_to_markdown
from footfall.finetune import ClickModel, ClickSettings, Examples, load_examples
from footfall.finetune.part_examples import read_part_examples
from footfall.finetune.parts import copy_training_part, part_searches
from footfall.lift_recipe import LiftRecipe
from footfall.recipe import load_settings
from footfall.simulator import Log

PARTS = ("train", "validation", "test")
RECIPES = Path(__file__).parents[1] / "src" / "footfall" / "recipes"
SLICES = ("all", "warm items", "cold items")
#: Footfall's own lines and the categorical features that they have at least.
CLASSIFIERS: dict[str, tuple[str, ...]] = {
    "Footfall": ClickSettings().categories,
    "Footfall without habit and query_parts": (),
}


def examples_of(options: argparse.Namespace) -> list[Examples]:
    """Training, validation and test rows."""
    if options.examples:
        return [load_examples(options.examples / f"{part}.parquet") for part in PARTS]
    named = Path(options.recipe)
    path = named if named.is_file() else RECIPES / f"{options.recipe}.toml"
    recipe = load_settings(LiftRecipe, path, hint="Name a recipe of footfall lift.")
    settings = recipe.parts.model_copy(update={"train_slates": options.train_slates})
    with tempfile.TemporaryDirectory() as folder:
        shop, training = Path(folder) / "shop.duckdb", Path(folder) / "training.duckdb"
        source = recipe.source
        steps.ingest(
            source.name,
            shop,
            folder=options.data or source.folder,
            negatives_per_visit=source.negatives_per_visit,
            seed=source.seed,
        )
        with Log.open(shop) as log:
            parted = part_searches(log, settings)
            copy_training_part(log, training, parted, until=settings.train_until, settings=settings)
            found = read_part_examples(log, training, parted, settings)
    assert found.test is not None
    return [found.train, found.validation, found.test]


def footfall_model(
    parts: list[Examples], seed: int, options: argparse.Namespace, told: tuple[str, ...]
) -> tuple[Any, float, str]:
    """Probabilities of the test rows by the better of two settings on the validation rows.

    ``told`` are the categorical features that both settings have.
    """
    train, validation, test = parts
    best: tuple[Any, float, str] | None = None
    for categories in (told, (*told, "category", "brand")):
        settings = ClickSettings(
            trained_layers=options.trained_layers,
            max_tokens=48,
            batch_size=200,
            epochs=options.epochs,
            learning_rate=1e-3,
            categories=categories,
            seed=seed,
        )
        model = ClickModel(settings).fit(train, validation)
        loss = log_loss(validation.labels, model.predict_proba(validation), validation.weights)
        if best is None or loss < best[1]:
            best = model.predict_proba(test), loss, f"categories {', '.join(categories) or 'none'}"
    assert best is not None
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", default="lift-bestbuy")
    parser.add_argument("--data", type=Path, help="folder of the source files")
    parser.add_argument("--examples", type=Path, help="folder of the three parts")
    parser.add_argument("--train-slates", type=int, help="fewer training slates")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trained-layers", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--model", action="append", help="only this model; may be repeated")
    options = parser.parse_args()
    parts = examples_of(options)
    facts, sizes = read_facts(parts)
    print(f"\n{describe_machine(gpu=True)}\n", flush=True)
    for part, examples in zip(PARTS, parts, strict=True):
        print(f"{part}: {len(examples):,} rows, {int(examples.labels.sum()):,} responses")
    rows = []
    for name in options.model or (*BASELINES, *CLASSIFIERS):
        tables: list[pa.Table] = []
        begun, chosen = time.perf_counter(), ""
        for seed in range(options.seeds):
            if name in CLASSIFIERS:
                probability, _, chosen = footfall_model(parts, seed, options, CLASSIFIERS[name])
            else:
                found = BASELINES[name](facts, sizes, seed)
                probability, chosen = found.test, found.chosen
            tables.append(parts[2].score_table(probability))
        seconds = (time.perf_counter() - begun) / options.seeds
        judged = evaluate(tables, seed=0)
        cells = [name]
        for metric, slice_name in (*(("auc", one) for one in SLICES), ("log_loss", "all")):
            row = judged.row(metric, slice_name)
            cells.append(f"{format_number(row.value)} ({format_interval(row.low, row.high)})")
        rows.append([*cells, f"{seconds:.0f}", chosen])
        print(f"{name}: {cells[1]}, {seconds:.0f} s a seed", flush=True)
    header = ["model", *(f"AUC, {one}" for one in SLICES), "log loss, all"]
    header += ["seconds a seed, choice of settings included", "settings (last seed)"]
    print(f"\n{options.seeds} seeds\n\n{rows_to_markdown(header, rows)}")


if __name__ == "__main__":
    main()
