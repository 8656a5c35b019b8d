"""Scoring speed: rows a second of a trained classifier, read from Parquet in batches.

    python benchmarks/scoring.py [--examples FOLDER]

FOLDER holds ``train.parquet``, ``validation.parquet`` and ``test.parquet`` as ``footfall lift`` or
``footfall fuse`` write them; without it, texts are generated. Two towers and a cross-encoder are
trained for a few steps, because speed does not depend on what was learned; with ``--examples`` the
two towers are trained in full, and the loss of AUC of the exports (merged, int8) is that of the
validation part. Every run is a first meeting: nothing that was read before is kept.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import torch
from machine import describe_machine, spread
from training import generated

from footfall.finetune import ClickModel, ClickSettings, Examples, load_examples, save_examples
from footfall.finetune.export import export_model
from footfall.finetune.hidden_states import STATES


def rows_a_second(model: ClickModel, file: Path, repeats: int) -> list[float]:
    speeds = []
    for _ in range(repeats + 1):
        STATES.clear()
        begun = time.perf_counter()
        rows = 0
        with pq.ParquetFile(file) as parquet:
            for scores in model.predict_batches(parquet.iter_batches(batch_size=8192)):
                rows += scores.num_rows
        speeds.append(rows / (time.perf_counter() - begun))
    return speeds[1:]  # The first pass warms the libraries up.


def distinct(examples: Examples) -> Examples:
    """The same rows with no text twice: what serving meets at worst."""
    texts = [
        f"{text} {number}" for number, text in enumerate(examples.column("item_text").tolist())
    ]
    people = [
        f"{number} {text}" for number, text in enumerate(examples.column("shopper_text").tolist())
    ]
    return examples.with_column("item_text", texts).with_column("shopper_text", people)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=Path)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.examples:
        train, validation, test = (
            load_examples(options.examples / f"{part}.parquet")
            for part in ("train", "validation", "test")
        )
        brief = ClickSettings(epochs=2, max_tokens=48, trained_layers=2, batch_size=200)
    else:
        train, validation, test = (generated(rows, seed) for seed, rows in enumerate((60, 60, 400)))
        brief = ClickSettings(max_steps=3)
    test = test.take(test.slate_numbers() < options.rows // 10)
    gpu = torch.cuda.is_available()
    print(
        f"{describe_machine(gpu=True)}; torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads; {len(test):,} rows, "
        f"{len(set(test.column('shopper_text'))):,} shopper and "
        f"{len(set(test.column('item_text'))):,} item texts\n"
    )
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        repeated, once = home / "repeated.parquet", home / "distinct.parquet"
        save_examples(test, repeated)
        save_examples(distinct(test), once)
        towers = ClickModel(brief).fit(train, validation)
        crossed = brief.model_copy(
            update={"architecture": "cross_encoder", "trained_layers": 0, "max_steps": 3}
        )
        models = {
            "two towers": (towers, ""),
            "cross-encoder": (ClickModel(crossed).fit(train, validation), ""),
        }
        kinds = ("merged",) if gpu else ("merged", "int8")
        for kind in kinds:
            figures = export_model(towers, home / kind, kind=kind, examples=validation)
            lost = figures["auc_before"] - figures["auc_after"]
            told = f"{lost:+.4f}" if options.examples else "not trained"
            models[f"two towers, {kind}"] = (ClickModel.load(home / kind), told)
        for name, (model, lost) in models.items():
            speeds = [rows_a_second(model, file, options.repeats) for file in (repeated, once)]
            lines.append(f"| {name} | {spread(speeds[0])} | {spread(speeds[1])} | {lost} |")
            print(
                f"{name}: {statistics.median(speeds[0]):,.0f} rows/s", file=sys.stderr, flush=True
            )
    print("| model | rows a second, texts of the log | every text its own | AUC lost |")
    print("|---|---:|---:|---:|\n" + "\n".join(lines))
    if not gpu:
        print("\nNo CUDA device found: figures are of the processor alone.")


if __name__ == "__main__":
    main()
