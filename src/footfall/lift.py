"""The proof: whether synthetic rows help, against arms of equal volume that anybody could make.

Every stage leaves its result in the recipe's folder. Running the recipe again repeats only what is
missing or has changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from footfall import steps
from footfall.errors import DataError
from footfall.eval import ArmComparison, compare_arms, write_report
from footfall.eval.arm_training import ArmScores, ArmTrainer, ValidationObjective
from footfall.files import whole_file
from footfall.finetune import Examples, load_examples, save_examples
from footfall.finetune.alpha_halving import (
    HalvingChoice,
    choose_alpha_by_halving,
    planned_trainings,
)
from footfall.finetune.arms import ALL_CONTROLS, PSEUDO_LABELS
from footfall.finetune.part_examples import read_part_examples
from footfall.finetune.parts import copy_training_part, part_searches
from footfall.lift_arms import LiftArms
from footfall.lift_recipe import CEILING, FUSED, LLM_ARMS, LiftRecipe
from footfall.lift_report import RECIPE_FILE, Proved, proof_content
from footfall.lift_verdict import FEW_TO_CHOOSE_BY, lift_sentence
from footfall.progress import console, track
from footfall.recipe_text import recipe_toml
from footfall.simulator import Log
from footfall.simulator.aimed_response import require_fitted_response
from footfall.simulator.engines.bundled import folder_hashes
from footfall.simulator.engines.tuned import TUNING_CARD
from footfall.simulator.generators import open_generator
from footfall.stages import Stages, canonical, clear_other_work, write_json

__all__ = ["LiftResult", "run_lift"]

_PARTS: Final = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class LiftResult:
    """What a proof found and where it lies."""

    folder: Path
    report: Path
    comparison: ArmComparison
    alphas: dict[str, float]
    verdict: str
    seconds: float


def run_lift(recipe: LiftRecipe, *, folder: str | Path | None = None) -> LiftResult:
    """Run every stage whose result is missing or whose settings have changed.

    Raises
    ------
    FootfallError
        What any stage raises; stages that were done before are kept.
    """
    if folder is not None:
        recipe = recipe.model_copy(update={"folder": Path(folder)})
    return _Lift(recipe).run()


class _Lift:
    """The stages of one proof."""

    def __init__(self, recipe: LiftRecipe) -> None:
        self.recipe = recipe
        self.folder = recipe.folder
        self.stages = Stages(self.folder)
        self.log = self.folder / "shop.duckdb"
        self.training = self.folder / "training.duckdb"
        self.examples = self.folder / "examples"
        self.people = self.folder / "personas.jsonl"
        self.tuned = self.folder / "tuned"
        self.runs_file = self.folder / "runs.json"
        self.alphas_file = self.folder / "alphas.json"
        self.comparison_file = self.folder / "lift.json"
        self.report_file = self.folder / "report.html"

    def run(self) -> LiftResult:
        began = monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        recipe, stages = self.recipe, self.stages
        self._announce()
        self._refuse_wrong_generators()
        self._refuse_other_log()
        stages.run("ingest", recipe.source.identity(), self.log, self._ingest)
        last = self.examples / "test.parquet"
        aim = [recipe.proof.aim, recipe.proof.most_items]
        stages.run("part", [recipe.parts, *aim], last, self._part)
        self._require_response()
        stages.run("personas", recipe.personas, self.people, self._make_people)
        if "llm-tuned" in recipe.proof.arms:
            stages.run("tune", recipe.tuning, self.tuned / TUNING_CARD, self._tune)
        stages.run("simulate", self._simulated(), self.runs_file, self._arms.simulate)
        self._prove()
        stages.run("report", recipe.title, self.report_file, self._report)
        return LiftResult(
            folder=self.folder,
            report=self.report_file,
            comparison=self._comparison(),
            alphas={name: told["alpha"] for name, told in self._alphas().items()},
            verdict=self._verdict(),
            seconds=monotonic() - began,
        )

    def _prove(self) -> None:
        recipe = self.recipe
        self.stages.run(
            "arms",
            [
                recipe.proof.arms,
                recipe.proof.added_share,
                recipe.proof.beside,
                recipe.proof.specific_queries,
                [recipe.proof.seeds, recipe.proof.alpha_seeds],
                *([recipe.augmentation] if self._augments() else []),
                *([recipe.fusion] if self._fuses() else []),
            ],
            self.examples / "arms.json",
            self._arms.make,
        )
        choice = recipe.proof.model_dump(exclude={"resamples", "seeds"})
        rule = asdict(self._objective)
        cautious = _judged(recipe.proof.arms)
        trained = [recipe.training, choice, rule, cautious, *folder_hashes(recipe.training.encoder)]
        self.stages.run("weights", trained, self.alphas_file, self._choose)
        self.stages.run(
            "train",
            [recipe.proof.seeds, recipe.proof.resamples],
            self.comparison_file,
            self._compare,
        )

    def _augments(self) -> bool:
        return any(arm.startswith("augment:") for arm in self.recipe.proof.arms)

    def _fuses(self) -> bool:
        return any(arm.startswith(FUSED) for arm in self.recipe.proof.arms)

    def _announce(self) -> None:
        proof = self.recipe.proof
        plan = planned_trainings(proof.alphas, proof.alpha_seeds, proof.alpha_budgets)
        tried = sum(budget * trainings for budget, trainings in plan)
        trained = len(proof.arms) + 1
        console.print(
            f"[bold]{self.recipe.title}[/bold]: {trained} arms x {len(proof.seeds)} seeds, and at "
            f"most the work of {tried * len(proof.arms):.0f} full trainings to choose the weights."
        )

    def _refuse_other_log(self) -> None:
        wanted = Stages(self.folder).next_fingerprint("ingest", self.recipe.source.identity())
        made = self.stages.done().get("ingest", {}).get("fingerprint")
        if self.log.exists() and made != wanted:
            raise DataError(
                f"{self.log} was made with other source settings.",
                hint="Use another folder (--folder), or delete the file.",
            )

    def _refuse_wrong_generators(self) -> None:
        """A generator that cannot be opened is told before hours of work."""
        options = self.recipe.generators.options
        for arm in self.recipe.proof.arms:
            kind, _, name = arm.partition(":")
            if kind == "generator":
                open_generator(name, **options.get(name, {}))

    def _require_response(self) -> None:
        """What needs the log's own response model is told before it is needed."""
        visits = any(arm in LLM_ARMS for arm in self.recipe.proof.arms)
        if PSEUDO_LABELS in self.recipe.proof.arms or (
            visits and self.recipe.aim.response == "appeal"
        ):
            with Log.open(self.training) as log:
                require_fitted_response(log, self.recipe.parts.label, self.recipe.until)

    def _ingest(self) -> None:
        source = self.recipe.source
        report = steps.ingest(
            source.name,
            self.log,
            folder=source.folder,
            largest_reject_share=source.largest_reject_share,
            negatives_per_visit=source.negatives_per_visit,
            seed=source.seed,
        )
        console.print(str(report))

    def _part(self) -> None:
        """The training log, the examples of the three parts, and what is to be aimed at."""
        settings = self.recipe.parts
        self.training.unlink(missing_ok=True)
        self.examples.mkdir(exist_ok=True)
        with Log.open(self.log) as log:
            parted = part_searches(log, settings)
            copy_training_part(
                log, self.training, parted, until=settings.train_until, settings=settings
            )
            found = read_part_examples(log, self.training, parted, settings)
        pq.write_table(parted.held_responses, self.folder / "held-responses.parquet")
        assert found.test is not None
        proof = self.recipe.proof
        aimed = _shown_items(
            [found.validation, found.test], proof.most_items, cold=proof.aim == "cold"
        )
        write_json(self.folder / "aimed.json", aimed)
        for part in _PARTS:
            examples = getattr(found, part)
            save_examples(examples, self.examples / f"{part}.parquet")
            cold = examples.column("item_cold")
            console.print(
                f"{part}: {len(examples):,} rows, {int(examples.labels.sum()):,} responses; of "
                f"cold items {int(cold.sum()):,} and {int((cold & examples.labels).sum()):,}"
            )
        console.print(f"{len(aimed):,} items to aim at")

    @cached_property
    def _aimed(self) -> list[str]:
        loaded: list[str] = json.loads((self.folder / "aimed.json").read_text(encoding="utf-8"))
        if not loaded:
            raise DataError(
                "Every item shown later has a response in the training part: there is no gap.",
                hint="Hold items out with [parts] cold_items or cold_categories, move "
                'train_until, use cold_are = "unanswered", or aim at all items: [proof] aim = '
                '"all".',
            )
        return loaded

    def _make_people(self) -> None:
        settings = self.recipe.personas
        steps.make_personas(
            self.people,
            count=settings.count,
            log=self.training,
            until=self.recipe.until,
            settings=settings,
        )

    def _tune(self) -> None:
        work = canonical([self.stages.done()["part"]["fingerprint"], self.recipe.tuning])
        clear_other_work(self.folder / "tuned.begun", work, self.tuned)
        steps.tune(
            self.training,
            self.tuned,
            until=self.recipe.until,
            settings=self.recipe.tuning,
            resume=self.tuned.exists(),
        )

    def _simulated(self) -> list[Any]:
        recipe = self.recipe
        made = [arm for arm in recipe.proof.arms if arm in LLM_ARMS or arm.startswith("generator:")]
        told = [recipe.engine, recipe.aim, recipe.generators, made, recipe.proof.added_share]
        return told + folder_hashes(recipe.engine.model)

    @cached_property
    def _arms(self) -> LiftArms:
        return LiftArms(self.recipe, self._aimed)

    @cached_property
    def _trainer(self) -> ArmTrainer:
        train, validation, test = (
            load_examples(self.examples / f"{part}.parquet") for part in _PARTS
        )
        return ArmTrainer(train, validation, test, self.recipe.training, self.folder / "scores")

    def _choose(self) -> float:
        """The weight of every arm's added rows, on real validation data; 0 may win.

        Returns the seconds of all trainings that it took.
        """
        proof = self.recipe.proof
        self._trainer.cost.clear()
        chosen = {}
        if proof.choose_by == "cold" and not self._cold_decides():
            console.print(f"[yellow]{FEW_TO_CHOOSE_BY}[/yellow]")
        with track("Weights of the arms", len(proof.arms)) as progress:
            for arm in proof.arms:
                progress.describe(f"Weight of {arm}")
                chosen[arm] = _told(self._weight(arm))
                progress.advance()
        write_json(self.alphas_file, chosen)
        return sum(self._trainer.cost.values())

    @property
    def _objective(self) -> ValidationObjective:
        return ValidationObjective(cold=self.recipe.proof.choose_by == "cold")

    def _cold_decides(self) -> bool:
        validation = load_examples(self.examples / "validation.parquet")
        return self._objective.uses_cold(validation.table)

    def _weight(self, arm: str) -> HalvingChoice:
        proof, objective = self.recipe.proof, self._objective
        judged = arm in _judged(proof.arms)
        reference: dict[tuple[int, float], pa.Table] = {}

        def train(alpha: float, seed: int, budget: float) -> tuple[ArmScores, pa.Table]:
            key = (seed, budget)
            if key not in reference:
                real = self._trainer.train("real", None, 0.0, seed, budget=budget)
                reference[key] = real.validation
            added = load_examples(self._arms.file(arm, seed))
            scores = self._trainer.train(arm, added, alpha, seed, budget=budget)
            return scores, reference[key]

        return choose_alpha_by_halving(
            train,
            lambda made: objective.score(made[0].validation),
            alphas=(0.0, *proof.alphas),
            seeds=proof.alpha_seeds,
            budgets=proof.alpha_budgets,
            # Caution with a control would favour what it is there to judge.
            margin=proof.margin if judged else 0.0,
            harm=lambda made: objective.harm(made[0].validation, made[1]),
            most_harm=objective.most_harm,
            harm_margin=proof.harm_margin if judged else 0.0,
        )

    def _compare(self) -> float:
        """Test scores of every arm with every seed; returns the seconds of all trainings."""
        proof = self.recipe.proof
        self._trainer.cost.clear()
        arms: Sequence[str] = ("real", *proof.arms)
        tables: dict[str, list[pa.Table]] = {arm: [] for arm in arms}
        weights = self._alphas()
        with track("Training the arms", len(arms) * len(proof.seeds)) as progress:
            for seed in proof.seeds:
                for arm in arms:
                    progress.describe(f"Training {arm}, seed {seed}")
                    added = None if arm == "real" else load_examples(self._arms.file(arm, seed))
                    alpha = 0.0 if arm == "real" else weights[arm]["alpha"]
                    tables[arm].append(self._trainer.test_scores(arm, added, alpha, seed))
                    progress.advance()
        for arm, scores in tables.items():
            for seed, table in zip(proof.seeds, scores, strict=True):
                target = self.folder / "scores" / f"test-{arm.replace(':', '-')}-{seed}.parquet"
                pq.write_table(table, target)
        comparison = compare_arms(
            tables,
            synthetic=_judged(proof.arms),
            ceilings=[arm for arm in proof.arms if arm == CEILING],
            resamples=proof.resamples,
            seed=self.recipe.parts.seed,
        )
        write_json(self.comparison_file, comparison.model_dump(mode="json"))
        return sum(self._trainer.cost.values())

    def _comparison(self) -> ArmComparison:
        return ArmComparison.model_validate_json(self.comparison_file.read_bytes())

    def _alphas(self) -> dict[str, dict[str, Any]]:
        loaded: dict[str, dict[str, Any]] = json.loads(self.alphas_file.read_text(encoding="utf-8"))
        return loaded

    def _verdict(self) -> str:
        return lift_sentence(self._comparison(), self._alphas())

    def _report(self) -> None:
        proved = Proved(
            comparison=self._comparison(),
            alphas=self._alphas(),
            runs=json.loads(self.runs_file.read_text(encoding="utf-8")),
            stages=self.stages.done(),
            cold_decides=self._cold_decides(),
        )
        with whole_file(self.folder / RECIPE_FILE) as partial:
            partial.write_text(recipe_toml(self.recipe), encoding="utf-8")
        write_report(self.report_file, proof_content(self.recipe, proved))


def _shown_items(parts: Sequence[Examples], most: int | None, *, cold: bool) -> list[str]:
    """Items shown there, those shown most often first; ``cold``: only those without history."""
    shown: dict[str, int] = {}
    for part in parts:
        wanted = part.column("item_cold") if cold else np.ones(len(part), bool)
        for item in part.column("item_id")[wanted].tolist():
            shown[item] = shown.get(item, 0) + 1
    ranked = sorted(shown, key=lambda item: (-shown[item], item))
    return sorted(ranked[:most])


def _judged(arms: Sequence[str]) -> list[str]:
    """Arms that the verdict is about: of the language model, else of what is no plain control."""
    plain = {*ALL_CONTROLS, CEILING}
    of_model = [arm for arm in arms if arm.removeprefix(FUSED) in LLM_ARMS]
    return of_model or [arm for arm in arms if arm not in plain] or [arms[-1]]


def _told(choice: HalvingChoice) -> dict[str, Any]:
    return {
        "alpha": choice.alpha,
        "best": choice.best,
        "gain": choice.gain,
        "standard_error": choice.standard_error,
        "rungs": [asdict(rung) for rung in choice.rungs],
    }
