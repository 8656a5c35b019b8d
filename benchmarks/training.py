"""Training speed and peak memory: Footfall's batches against a plain transformers Trainer.

Both arms train the same two-tower LoRA network on the same slates with the same optimiser, batch
size and Trainer arguments. The plain arm shuffles rows and encodes the texts of every pair, padded
to the longest of the batch, as DataCollatorWithPadding does. Footfall keeps a slate's rows together
and encodes each distinct text of a batch once, in chunks of like length. Texts are tokenised before
the clock starts in both arms. The arms take turns, each run in a process of its own; the first
steps of each run are not counted. Memory is the process's peak resident set above what it had
before the training, and on a GPU the peak that torch allocated there.

Run it as ``python benchmarks/training.py [--log FILE]``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from machine import describe_machine, spread
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments, set_seed

from footfall.finetune.backbone import load_tokenizer
from footfall.finetune.batches import PairTable, RowNumbers
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.click_task import click_task
from footfall.finetune.example_table import EXAMPLE_SCHEMA, FEATURE_NAMES, Examples
from footfall.finetune.examples import read_examples
from footfall.finetune.network import build_network
from footfall.finetune.standardise import Standardiser
from footfall.finetune.training import NetworkTrainer
from footfall.simulator.log import Log

SLATE = 10
WORDS = (  # noqa: SIM905
    "soft drinks frozen pizza cheese milk bread yogurt beef chicken salad snacks cookies crackers "
    "soup cereal coffee tea juice water fruit vegetables pasta sauce rice beans cat dog food baby "
    "paper towels soap shampoo candy ice cream eggs butter bacon fish deli bakery wine beer oil "
    "premium diet classic lemon organic family size pack sliced whole fat free dark chocolate oz"
).split()
AGES = ("19-24", "25-34", "35-44", "45-54", "55-64", "65+")
INCOMES = ("Under 15K", "25-34K", "35-49K", "50-74K", "75-99K", "150-174K")


def generated(slates: int, seed: int = 0, shoppers: int = 2000, items: int = 5000) -> Examples:
    """Browsing slates with texts as long as those of Complete Journey; items follow Zipf's law."""
    rng = np.random.default_rng(seed)

    def words(low: int, high: int) -> str:
        return " ".join(rng.choice(WORDS, rng.integers(low, high)))

    item_texts = [f"{words(3, 8)} {rng.integers(1, 64)} oz" for _ in range(items)]
    people = [
        f"{rng.choice(AGES)} | {rng.choice(INCOMES)} | Homeowner | 2 Adults No Kids ; "
        + ", ".join(words(1, 3) for _ in range(5))
        + " ; "
        + ", ".join(item_texts[rng.integers(items)] for _ in range(6))
        for _ in range(shoppers)
    ]
    popularity = 1.0 / np.arange(1, items + 1)
    rows = slates * SLATE
    shown = rng.choice(items, rows, p=popularity / popularity.sum())
    who = np.repeat(rng.integers(shoppers, size=slates), SLATE)
    labels = np.tile(np.arange(SLATE) == 0, slates)
    search = [f"s{n // SLATE}" for n in range(rows)]
    columns: dict[str, Any] = {
        "example_id": [f"e{n}" for n in range(rows)],
        "search_id": search,
        "session_id": search,
        "user_id": [f"u{n}" for n in who],
        "item_id": [f"i{n}" for n in shown],
        "query": pa.nulls(rows, pa.string()),
        "shopper_text": [people[n] for n in who],
        "shopper_profile": [people[n] for n in who],
        "shopper_demographics": ["{}"] * rows,
        "shopper_history": pa.array([[]] * rows, pa.list_(pa.string())),
        "item_text": [item_texts[n] for n in shown],
        "item_category": pa.nulls(rows, pa.string()),
        "item_brand": pa.nulls(rows, pa.string()),
        "label": labels,
        "weight": np.ones(rows),
        "sample_rate": np.ones(rows),
        "origin": ["real"] * rows,
        "shown_at": pa.nulls(rows, pa.timestamp("us")),
        "position": pa.nulls(rows, pa.int32()),
        "score": pa.nulls(rows, pa.float64()),
        "item_cold": np.zeros(rows, bool),
        "user_cold": np.zeros(rows, bool),
    }
    columns |= {name: rng.normal(size=rows) for name in FEATURE_NAMES}
    return Examples(pa.table({name: columns[name] for name in EXAMPLE_SCHEMA.names}))


class Clock(TrainerCallback):
    """Times the steps after the first few."""

    def __init__(self, skipped: int) -> None:
        self.skipped, self.begun, self.seconds = skipped, 0.0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note the time of a step."""
        del args, control
        now = time.perf_counter()
        if state.global_step == self.skipped:
            self.begun = now
        self.seconds = now - self.begun


def plain_batch(pairs: PairTable, rows: list[int]) -> dict[str, Any]:
    """Every pair's texts, one by one, padded to the longest of the batch."""
    chosen = np.asarray(rows)
    places = torch.arange(len(rows))
    chunks = [pairs.tokens.padded(side[chosen]) for side in (pairs.shopper, pairs.item)]
    asked = pairs.asked[chosen]
    query = places + len(rows)
    if asked.any():
        chunks.append(pairs.tokens.padded(pairs.query[chosen]))
        query = places + 2 * len(rows)
    return {
        "chunks": chunks,
        "query": query,
        "shopper": places,
        "item": places + len(rows),
        "asked": torch.from_numpy(asked),
        "numbers": torch.from_numpy(pairs.numbers[chosen]),
        "categories": torch.from_numpy(pairs.categories[chosen]),
        "targets": torch.from_numpy(pairs.targets[chosen]),
        "weights": torch.from_numpy(pairs.weights[chosen]),
    }


@dataclass(frozen=True)
class Run:
    """What one run of one arm took; memory in MiB."""

    pairs_per_second: float
    memory: float
    gpu_memory: float


def resident() -> tuple[float, float]:
    """Resident set of the process and its peak so far, MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    told = dict(line.split(":", 1) for line in lines)
    now, peak = (int(told[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak


def one_run(ours: bool, options: argparse.Namespace) -> tuple[Run, str]:
    """Train in this process, which is a fresh one; also a line about what was trained on."""
    settings = ClickSettings(batch_size=options.batch_size)
    pairs = read_pairs(options, settings)
    with tempfile.TemporaryDirectory() as folder:
        before, _ = resident()
        # What was read before may have needed more: start the peak anew.
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        speed = pairs_per_second(ours, pairs, settings, options.steps, folder)
        _, peak = resident()
    gpu = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    return Run(speed, peak - before, gpu), describe(pairs, settings, options)


def pairs_per_second(
    ours: bool, pairs: PairTable, settings: ClickSettings, steps: int, folder: str
) -> float:
    set_seed(settings.seed)
    network = build_network(settings, pairs.numbers.shape[1])
    clock = Clock(skipped=2)
    gpu = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=settings.batch_size,
        max_steps=steps + clock.skipped,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        seed=settings.seed,
    )
    if ours:
        task = click_task(network, settings, pairs, None)
        trainer = NetworkTrainer(
            network, arguments, settings=settings, task=task, callbacks=[clock]
        )
    else:
        trainer = Trainer(
            model=network,
            args=arguments,
            data_collator=partial(plain_batch, pairs),
            train_dataset=RowNumbers(len(pairs)),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
    trainer.train()
    return steps * settings.batch_size / clock.seconds


def read_log(path: str, label: str, slates: int) -> Examples:
    with Log.open(path) as log:
        moment: datetime = log.scalar("SELECT max(searched_at) FROM searches")
        return read_examples(log, label=label, until=moment, max_slates=slates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", help="a log to take slates from; without it, generated texts")
    parser.add_argument("--label", default="purchased", choices=["purchased", "clicked"])
    parser.add_argument("--slates", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=10, help="timed steps a run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=60)
    options = parser.parse_args()
    runs: dict[str, list[Run]] = {"plain Trainer": [], "Footfall": []}
    for _ in range(options.repeats):
        for name, found in runs.items():
            # A fresh process each: what one arm leaves in memory is not the other's.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                run, source = pool.submit(one_run, name == "Footfall", options).result()
            found.append(run)
            print(
                f"{name}: {run.pairs_per_second:.1f} pairs/s, {run.memory:.0f} MiB",
                file=sys.stderr,
                flush=True,
            )
    report(runs, source)


def read_pairs(options: argparse.Namespace, settings: ClickSettings) -> PairTable:
    examples = (
        read_log(options.log, options.label, options.slates)
        if options.log
        else generated(options.slates)
    )
    numbers = Standardiser.fit(examples).apply(examples)
    tokenizer = load_tokenizer(settings.encoder)
    return PairTable.from_examples(examples, numbers, tokenizer, settings.max_tokens)


def describe(pairs: PairTable, settings: ClickSettings, options: argparse.Namespace) -> str:
    source = Path(options.log).name if options.log else "generated texts"
    lengths = pairs.tokens.lengths
    return (
        f"torch {torch.__version__}, {torch.get_num_threads()} threads; {source}, {len(pairs)} "
        f"pairs, batch {settings.batch_size}, shopper {lengths[pairs.shopper].mean():.0f} and item "
        f"{lengths[pairs.item].mean():.0f} tokens on average"
    )


def report(runs: dict[str, list[Run]], source: str) -> None:
    gpu = torch.cuda.is_available()
    print(f"{describe_machine(gpu=True)}; {source}\n")
    print("| arm | pairs a second | peak memory, MiB | peak GPU memory, MiB |")
    print("|---|---:|---:|---:|")
    for name, found in runs.items():
        on_gpu = spread([run.gpu_memory for run in found]) if gpu else "–"
        print(
            f"| {name} | {spread([run.pairs_per_second for run in found])} | "
            f"{spread([run.memory for run in found])} | {on_gpu} |"
        )
    base, ours = (median(run.pairs_per_second for run in found) for found in runs.values())
    print(f"\nMedian, lowest and highest of the runs. Ratio of medians: {ours / base:.2f}")


if __name__ == "__main__":
    main()
