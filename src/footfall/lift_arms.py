"""The rows that a proof's arms add: simulated on the training log, then made equal in volume."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from footfall.augmentation import augment_examples
from footfall.errors import DataError
from footfall.finetune import Examples, load_examples, save_examples
from footfall.finetune.arms import ALL_CONTROLS, ArmRows, ArmSource
from footfall.finetune.augment import needs_engine
from footfall.finetune.fuse import fuse_with_report
from footfall.finetune.fusion_report import save_provenance
from footfall.finetune.slate_copies import whole_slates
from footfall.lift_recipe import CEILING, FUSED, LLM_ARMS, LiftRecipe
from footfall.personas import read_personas
from footfall.progress import console, print_lines, track
from footfall.simulator import Log, open_engine
from footfall.simulator.aimed_visits import AimedVisits
from footfall.simulator.generators import GenerationRun, GenerationSettings
from footfall.simulator.log_part import log_part
from footfall.stages import write_json

__all__ = ["LiftArms"]


class LiftArms:
    """Makes the arms of one recipe in its folder.

    Parameters
    ----------
    recipe:
        The proof.
    aimed:
        Items to aim at.
    """

    def __init__(self, recipe: LiftRecipe, aimed: Sequence[str]) -> None:
        self.recipe = recipe
        self.aimed = list(aimed)
        self.training = recipe.folder / "training.duckdb"
        self.examples = recipe.folder / "examples"
        self.people = recipe.folder / "personas.jsonl"
        self.runs_file = recipe.folder / "runs.json"

    def simulate(self) -> None:
        """Runs in the training log, by arm."""
        runs: dict[str, dict[str, Any]] = {}
        for arm in self.recipe.proof.arms:
            if arm in LLM_ARMS:
                runs[arm] = self._visit(arm)
            elif arm.startswith("generator:"):
                runs[arm] = self._generate(arm.partition(":")[2])
        write_json(self.runs_file, runs)

    def _visit(self, arm: str) -> dict[str, Any]:
        settings = self.recipe.aim.model_copy(
            update={"until": self.recipe.until, "label": self.recipe.parts.label}
        )
        engine = self.recipe.engine
        if arm == "llm-tuned":
            engine = engine.model_copy(update={"model": str(self.recipe.folder / "tuned")})
        opened = open_engine(engine)
        try:
            people = read_personas(self.people)
            return asdict(AimedVisits(self.training, people, opened, self.aimed, settings).run())
        finally:
            opened.close()

    def _generate(self, name: str) -> dict[str, Any]:
        real = load_examples(self.examples / "train.parquet")
        wanted = len(real) * self.recipe.proof.added_share
        slates = int(real.slate_numbers().max()) + 1
        sessions = int(np.ceil(1.5 * wanted * slates / len(real)))
        settings = GenerationSettings(
            generator=name,
            sessions=sessions,
            until=self.recipe.until,
            cold_items=self.recipe.generators.cold_items,
            weeks=self.recipe.generators.weeks,
            options=self.recipe.generators.options.get(name, {}),
            seed=self.recipe.aim.seed,
        )
        people = read_personas(self.people)
        return asdict(GenerationRun(self.training, settings, personas=people).run())

    def make(self) -> None:
        """The added rows of every arm and seed, of equal number and equal total weight."""
        proof = self.recipe.proof
        real = load_examples(self.examples / "train.parquet")
        runs = json.loads(self.runs_file.read_text(encoding="utf-8"))
        count = round(len(real) * proof.added_share)
        seeds = list(dict.fromkeys((*proof.seeds, *proof.alpha_seeds)))
        told: dict[str, dict[str, int]] = {}
        with (
            Log.open(self.training) as log,
            track("Arms", len(proof.arms) * len(seeds)) as progress,
        ):
            for arm in proof.arms:
                for seed in seeds:
                    maker = ArmRows(self._source(log, real, seed))
                    rows = self._arm_rows(maker, arm, runs, count, seed)
                    # Equal total weight; within an arm only fusion makes a difference between rows.
                    weights = rows.weights if arm.startswith(FUSED) else np.ones(len(rows))
                    weights = weights * count / max(weights.sum(), 1e-12)
                    save_examples(rows.with_column("weight", weights), self.file(arm, seed))
                    if seed == proof.seeds[0]:
                        told[arm] = {"rows": len(rows), "responses": int(rows.labels.sum())}
                    progress.advance()
        for arm, numbers in told.items():
            console.print(f"{arm}: {numbers['rows']:,} rows, {numbers['responses']:,} responses")
        write_json(self.examples / "arms.json", told)

    def _source(self, log: Log, real: Examples, seed: int) -> ArmSource:
        recipe, proof = self.recipe, self.recipe.proof
        return ArmSource(
            log=log,
            real=real,
            label=recipe.parts.label,
            aimed=self.aimed,
            until=recipe.until,
            beside=proof.beside,
            specific_queries=proof.specific_queries,
            # Apart for neighbouring seeds of recipes and of trainings.
            seed=recipe.parts.seed * 100_003 + seed,
        )

    def _arm_rows(
        self, maker: ArmRows, arm: str, runs: dict[str, Any], count: int, seed: int
    ) -> Examples:
        kind, _, name = arm.partition(":")
        if arm in ALL_CONTROLS:
            return maker.control(arm, count)
        if arm == CEILING:
            held = pq.read_table(self.recipe.folder / "held-responses.parquet")
            if not held.num_rows:
                raise DataError(
                    "Nothing with a response is held out, so there is no ceiling.",
                    hint="Leave the arm `ceiling` out, or hold items out in [parts].",
                )
            return maker.ceiling(held, count)
        if arm.startswith(FUSED):
            made = maker.run(runs[name]["run_id"])
            return self._fused(arm, made, maker.source.real, count, seed)
        if kind == "augment":
            return self._augmented(maker, name, count, seed)
        return maker.run(runs[arm]["run_id"], count)

    def _fused(self, arm: str, rows: Examples, real: Examples, count: int, seed: int) -> Examples:
        """All rows of a run as fusion leaves them, cut to the number of an arm.

        What became of each row lies beside the arm's file.
        """
        settings = self.recipe.fusion.model_copy(update={"alpha": 1.0, "max_share": 1.0})
        fused = fuse_with_report(real, rows.with_column("weight", np.ones(len(rows))), settings)
        if seed == self.recipe.proof.seeds[0]:
            print_lines("fused:", fused.report.lines())
        save_provenance(fused.provenance, self.file(arm, seed).with_suffix(".provenance.parquet"))
        kept = fused.examples.take(np.flatnonzero(fused.examples.synthetic))
        return kept.take(whole_slates(kept, count, seed))

    def _augmented(self, maker: ArmRows, kind: str, count: int, seed: int) -> Examples:
        first = self.file(f"augment:{kind}", self.recipe.proof.seeds[0])
        if needs_engine(kind, self.recipe.augmentation) and seed != self.recipe.proof.seeds[0]:
            # The language model's words cost too much to be drawn for every seed.
            return load_examples(first)
        return augment_examples(
            maker.source.real,
            kind,
            count=count,
            seed=maker.source.seed,
            settings=self.recipe.augmentation,
            engine=self.recipe.engine,
            until=self.recipe.until,
            part=log_part(maker.source.log),
        )

    def file(self, arm: str, seed: int) -> Path:
        """Where an arm's added rows for a seed lie."""
        return self.examples / f"arm-{arm.replace(':', '-')}-{seed}.parquet"
