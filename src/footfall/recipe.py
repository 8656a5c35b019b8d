"""The whole loop from one TOML file: ingest, personas, simulate, fuse, train, evaluate, report.

Every stage leaves its result in the recipe's folder together with a fingerprint of its settings.
Running the recipe again repeats only what is missing or has changed.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from footfall import steps
from footfall.errors import DataError, NoResponseError, SettingError
from footfall.eval import ArmComparison, CostLine
from footfall.finetune import (
    AlphaChoice,
    ClickSettings,
    Examples,
    FusionSettings,
    HalvingChoice,
    TuningSettings,
    choose_alpha,
    choose_alpha_by_halving,
    load_examples,
    share_of_slates,
)
from footfall.personas import PersonaSettings
from footfall.progress import console
from footfall.simulator import EngineSettings, RaySettings, SimulationSettings
from footfall.simulator.engines.bundled import folder_hashes
from footfall.simulator.engines.tuned import TUNING_CARD
from footfall.simulator.ingest import load_mapping
from footfall.stages import Stages, canonical, clear_other_work, write_json

__all__ = [
    "Recipe",
    "RecipeResult",
    "TrainingSeeds",
    "load_recipe",
    "load_settings",
    "parse_toml",
    "refuse_unheard",
    "run_recipe",
    "validated",
]

Settings = TypeVar("Settings", bound=BaseModel)

Control = Literal["oversampled", "random-pairs"]


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed is named twice: the same training would count twice")
    return seeds


#: Seeds of trainings that are compared: one or more, each at least 0 and named once.
TrainingSeeds = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_different)
]


def refuse_unheard(table: str, settings: BaseModel, elsewhere: Mapping[str, str]) -> None:
    """Refuse what was set in a table and is said elsewhere: it would be ignored.

    Raises
    ------
    ValueError
        Naming the setting, and where to say it.
    """
    for name, place in elsewhere.items():
        # A printed recipe names every setting: its defaults may come back.
        if getattr(settings, name) != type(settings).model_fields[name].default:
            raise ValueError(f"{table}.{name} has no say here: set {place}")


class Source(BaseModel):
    """Which real log to read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="complete-journey, a packaged mapping, or a mapping file.")
    folder: Path | None = Field(None, description="Where the files lie.")
    largest_reject_share: float = Field(
        0.01, ge=0, le=1, description="Stop when more rows are malformed."
    )
    negatives_per_visit: int = Field(
        9, ge=1, description="Complete Journey: items not bought that are kept of each visit."
    )
    seed: int = Field(0, ge=0, description="Seed of what is sampled.")

    def identity(self) -> list[Any]:
        """What decides the log that is read, beside the files: these settings and the mapping.

        Raises
        ------
        SettingError
            If there is no such mapping, or it is wrong.
        """
        known = self.name == steps.COMPLETE_JOURNEY
        return [self, "" if known else load_mapping(self.name)]


class Population(PersonaSettings):
    """How many personas, and how they are fitted."""

    count: int = Field(100, ge=1, description="Personas to make.")


class EvaluationSettings(BaseModel):
    """How the arms are trained and compared."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seeds: TrainingSeeds = Field(
        (0, 1, 2, 3, 4), description="Training seeds; every arm is trained with each."
    )
    controls: tuple[Control, ...] = Field(
        ("oversampled", "random-pairs"), description="Arms of equal volume without the simulator."
    )
    alphas: tuple[float, ...] = Field(
        (),
        description="Further weights of synthetic rows to try on validation data with the first "
        "seed, beside 0 and the fusion's alpha.",
    )
    alpha_search: Literal["grid", "halving"] = Field(
        "grid",
        description="Try every weight on the whole training part, or by successive halving: all on "
        "a part of the slates, the better half on more, and so on.",
    )
    alpha_budgets: tuple[float, ...] = Field(
        (0.25, 0.5, 1.0),
        min_length=1,
        description="Shares of the training slates, rising to 1, on which halving compares.",
    )
    alpha_margin: float = Field(
        1.0,
        ge=0.0,
        description="Standard errors over the seeds by which a weight has to beat 0 (halving).",
    )
    resamples: int = Field(1000, ge=100, description="Bootstrap resamples of users.")
    likeness_splits: int = Field(20, ge=2, description="Random parts of the real users.")

    @field_validator("alpha_budgets")
    @classmethod
    def _rise_to_one(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if shares[0] <= 0 or shares[-1] != 1 or any(b <= a for a, b in pairwise(shares)):
            raise ValueError("alpha_budgets must rise from above 0 to 1")
        return shares


class Recipe(BaseModel):
    """One run of the whole loop."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(description="Headline of the report.")
    folder: Path = Field(description="Where all results go.")
    source: Source
    split: steps.Split
    personas: Population = Population()
    tuning: TuningSettings | None = Field(
        None,
        description="Tune the language model on the training part first, and simulate with it.",
    )
    engine: EngineSettings = EngineSettings()
    simulation: SimulationSettings = SimulationSettings()
    ray: RaySettings | None = Field(
        None, description="Spread the shoppers over the workers of a Ray cluster."
    )
    fusion: FusionSettings = FusionSettings()
    training: ClickSettings = ClickSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def _weighs_something(self) -> Recipe:
        if self.fusion.alpha == 0:
            raise ValueError("fusion.alpha must be above 0: a weight of 0 is always tried as well")
        return self


@dataclass(frozen=True, slots=True)
class RecipeResult:
    """What a recipe made, where it lies and what came out."""

    folder: Path
    log: Path
    report: Path
    run_id: str
    sessions: int
    comparison: ArmComparison
    verdict: str
    seconds: float


def load_recipe(source: str | Path) -> Recipe:
    """Read a recipe file, or a packaged recipe by name.

    Raises
    ------
    SettingError
        If there is no such recipe, it is not TOML, or a setting is unknown or wrong; the message
        names the setting.
    """
    return load_settings(
        Recipe,
        source,
        hint="`footfall run --check` prints a packaged recipe with all of its settings.",
    )


def load_settings(kind: type[Settings], source: str | Path, *, hint: str) -> Settings:
    """Read a recipe of any kind: a file, or a packaged one by name; errors as `load_recipe`."""
    packaged = {
        entry.name.removesuffix(".toml"): entry
        for entry in files("footfall").joinpath("recipes").iterdir()
        if entry.name.endswith(".toml")
    }
    path = Path(source)
    if path.is_file():
        content = path.read_bytes()
    elif str(source) in packaged:
        content = packaged[str(source)].read_bytes()
    else:
        raise SettingError(
            f"{source}: there is no such recipe file.",
            hint=f"Packaged recipes: {', '.join(sorted(packaged))}.",
        )
    return validated(kind, parse_toml(content, source), str(source), hint=hint)


def parse_toml(content: bytes, source: str | Path) -> dict[str, Any]:
    """Tables of a TOML file; a :class:`SettingError` names ``source`` where it is none."""
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(
            f"{source}: not a TOML file: {error}.", hint="Correct that line; the text is UTF-8."
        ) from error


def validated(kind: type[Settings], values: dict[str, Any], where: str, *, hint: str) -> Settings:
    """Settings from plain values; a :class:`SettingError` names the first that is wrong."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        setting = ".".join(str(part) for part in first["loc"])
        place = f"{where}, {setting}" if setting else where
        raise SettingError(f"{place}: {first['msg']}.", hint=hint) from error


def run_recipe(source: str | Path | Recipe, *, folder: str | Path | None = None) -> RecipeResult:
    """Run every stage whose result is missing or whose settings have changed."""
    recipe = source if isinstance(source, Recipe) else load_recipe(source)
    if folder is not None:
        recipe = recipe.model_copy(update={"folder": Path(folder)})
    return _Run(recipe, "RECIPE" if isinstance(source, Recipe) else str(source)).run()


class _Run:
    """The stages of one recipe, each skipped when its result is there already."""

    def __init__(self, recipe: Recipe, source: str) -> None:
        self.recipe = recipe
        self.source = source
        self.folder = recipe.folder
        self.log = self.folder / "shop.duckdb"
        self.people = self.folder / "personas.jsonl"
        self.comparison_file = self.folder / "evaluation.json"
        self.facts_file = self.folder / "simulation.json"
        self.weight_file = self.folder / "weight.json"
        self.report_file = self.folder / "report.html"
        self.stages = Stages(self.folder)

    def run(self) -> RecipeResult:
        began = monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        recipe = self.recipe
        self._refuse_other_log()
        self.stages.run("ingest", recipe.source.identity(), self.log, self._ingest)
        # What personas and shoppers know ends with the training part.
        until = recipe.split.train_until
        self.stages.run("personas", [recipe.personas, until], self.people, self._make_people)
        if recipe.tuning is not None:
            tuned = self.folder / "tuned" / TUNING_CARD
            self.stages.run("tune", [recipe.tuning, until], tuned, self._tune)
        self.stages.run(
            "simulate",
            [recipe.engine, recipe.simulation, *folder_hashes(recipe.engine.model)],
            self.facts_file,
            self._simulate,
        )
        examples = self.folder / "examples"
        self.stages.run(
            "fuse",
            [recipe.split, recipe.fusion, recipe.evaluation.seeds],
            examples / "synthetic.parquet",
            self._fuse,
        )
        self.stages.run(
            "train",
            [recipe.training, recipe.evaluation, *folder_hashes(recipe.training.encoder)],
            self.comparison_file,
            self._train,
        )
        self.stages.run("report", recipe.title, self.report_file, self._report)
        facts = json.loads(self.facts_file.read_text(encoding="utf-8"))
        comparison = ArmComparison.model_validate_json(
            self.comparison_file.read_text(encoding="utf-8")
        )
        return RecipeResult(
            folder=self.folder,
            log=self.log,
            report=self.report_file,
            run_id=facts["run_id"],
            sessions=facts["sessions"],
            comparison=comparison,
            verdict=_verdict(comparison, self._weight()),
            seconds=monotonic() - began,
        )

    def _refuse_other_log(self) -> None:
        """A log made with other source settings is never overwritten."""
        wanted = Stages(self.folder).next_fingerprint("ingest", self.recipe.source.identity())
        made = self.stages.done().get("ingest", {}).get("fingerprint")
        if self.log.exists() and made != wanted:
            raise DataError(
                f"{self.log} was made with other source settings.",
                hint="Use another folder (--folder), or delete the file.",
            )

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

    def _make_people(self) -> None:
        settings = self.recipe.personas
        made = steps.make_personas(
            self.people,
            count=settings.count,
            log=self.log,
            until=self.recipe.split.train_until,
            settings=settings,
        )
        console.print(f"{len(made):,} personas in {self.people}")

    def _tune(self) -> None:
        # What an interrupted tuning learned is taken up again.
        tuned = self.folder / "tuned"
        ingested = self.stages.done()["ingest"]["fingerprint"]
        work = canonical([ingested, self.recipe.split.train_until, self.recipe.tuning])
        clear_other_work(self.folder / "tuned.begun", work, tuned)
        steps.tune(
            self.log,
            tuned,
            until=self.recipe.split.train_until,
            settings=self.recipe.tuning,
            resume=tuned.exists(),
        )

    def _simulate(self) -> None:
        settings = self.recipe.simulation.model_copy(
            update={"until": self.recipe.split.train_until}
        )
        engine = self.recipe.engine
        if self.recipe.tuning is not None:
            engine = engine.model_copy(update={"model": str(self.folder / "tuned")})
        summary = steps.simulate(
            self.log, self.people, engine=engine, settings=settings, ray=self.recipe.ray
        )
        if summary.state != "finished":
            raise KeyboardInterrupt
        facts = asdict(summary)
        facts["behaviour"] = summary.behaviour.model_dump(mode="json")
        write_json(self.facts_file, facts)
        console.print(
            f"{summary.sessions:,} sessions, {summary.searches:,} searches, "
            f"{summary.impressions:,} impressions, {summary.purchases:,} purchases"
        )

    def _fuse(self) -> None:
        steps.fuse(
            self.log,
            self.folder / "examples",
            run_ids=[self._run_id()],
            split=self.recipe.split,
            settings=self.recipe.fusion,
            draws=self.recipe.evaluation.seeds[1:],
        )

    def _run_id(self) -> str:
        facts = json.loads(self.facts_file.read_text(encoding="utf-8"))
        return str(facts["run_id"])

    def _train(self) -> None:
        """Choose the weight on validation data, train every arm with every seed, compare."""
        self._check_labels()
        seeds = self.recipe.evaluation.seeds
        choice = self._choose_weight()
        positive = [
            (mean, alpha) for mean, alpha in zip(choice.means, choice.alphas, strict=True) if alpha
        ]
        weight = min(positive)[1]
        arms = {"real": 0.0, "synthetic": weight}
        arms |= dict.fromkeys(self.recipe.evaluation.controls, weight)
        scores: dict[str, list[str | Path]] = {arm: [] for arm in arms}
        for seed in seeds:
            for arm, alpha in arms.items():
                scores[arm].append(self._train_one(arm, alpha, seed) / "test-scores.parquet")
        write_json(
            self.weight_file,
            {
                "chosen": choice.alpha,
                "compared": weight,
                "validation_log_loss": dict(
                    zip(map(str, choice.alphas), choice.means, strict=True)
                ),
            },
        )
        steps.compare_scores(
            scores,
            self.comparison_file,
            resamples=self.recipe.evaluation.resamples,
            seed=self.recipe.split.seed,
        )

    def _choose_weight(self) -> AlphaChoice | HalvingChoice:
        evaluation = self.recipe.evaluation
        alphas = (0.0, *evaluation.alphas, self.recipe.fusion.alpha)
        if evaluation.alpha_search == "halving":
            return choose_alpha_by_halving(
                lambda alpha, seed, share: self._train_one(
                    "synthetic" if alpha else "real", alpha, seed, share
                ),
                _validation_log_loss,
                alphas=alphas,
                seeds=evaluation.seeds,
                budgets=evaluation.alpha_budgets,
                margin=evaluation.alpha_margin,
            )
        return choose_alpha(
            lambda alpha, seed: self._train_one("synthetic" if alpha else "real", alpha, seed),
            _validation_log_loss,
            alphas=alphas,
            seeds=evaluation.seeds[:1] if evaluation.alphas else evaluation.seeds,
        )

    def _check_labels(self) -> None:
        """Refuse parts that nothing can be learned from or measured on, before any training."""
        for name in ("real", "validation", "test"):
            labels = load_examples(self.folder / "examples" / f"{name}.parquet").labels
            if labels.all() or not labels.any():
                raise NoResponseError(
                    f"The {name} examples ({len(labels):,}) do not have both responses.",
                    hint="Move the times of [split], or use more slates.",
                )

    def _train_one(self, arm: str, alpha: float, seed: int, share: float = 1.0) -> Path:
        """Folder of one arm's model with its scores; trained unless that was done before.

        With a ``share`` below 1 it learns from that part of the slates, and only to be compared on
        validation data.
        """
        name = (
            f"{arm}-{seed}"
            if alpha in {0.0, self.recipe.fusion.alpha}
            else (f"{arm}-weight-{alpha:g}-{seed}")
        )
        folder = self.folder / "models" / (name if share == 1 else f"{name}-share-{share:g}")
        mark = folder / "fingerprint"
        if mark.exists() and mark.read_text(encoding="utf-8") == self.stages.fingerprint:
            return folder
        train = share_of_slates(self._training_set(arm, alpha, seed), share, seed)
        console.print(f"Training arm [bold]{arm}[/bold], seed {seed}: {len(train):,} examples")
        examples = self.folder / "examples"
        validation = load_examples(examples / "validation.parquet")
        settings = self.recipe.training.model_copy(update={"seed": seed})
        model = steps.train_anew_if_changed(train, folder, validation=validation, settings=settings)
        steps.score_for_evaluation(model, validation, folder / "validation-scores.parquet")
        if share == 1:
            steps.score_for_evaluation(
                model, examples / "test.parquet", folder / "test-scores.parquet"
            )
        mark.write_text(self.stages.fingerprint, encoding="utf-8")
        return folder

    def _training_set(self, arm: str, alpha: float, seed: int) -> Examples:
        """An arm's examples as drawn for a seed, the added rows weighted by ``alpha``."""
        folder = self.folder / "examples"
        if seed != self.recipe.evaluation.seeds[0]:
            folder /= f"draw-{seed}"
        train = load_examples(folder / f"{arm}.parquet")
        return train.with_synthetic_scaled(alpha / self.recipe.fusion.alpha)

    def _weight(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.weight_file.read_text(encoding="utf-8"))
        return loaded

    def _report(self) -> None:
        weight = self._weight()
        comparison = ArmComparison.model_validate_json(
            self.comparison_file.read_text(encoding="utf-8")
        )
        facts = json.loads(self.facts_file.read_text(encoding="utf-8"))
        losses = ", ".join(
            f"weight {alpha}: {loss:.5f}" for alpha, loss in weight["validation_log_loss"].items()
        )
        steps.report(
            self.log,
            self.report_file,
            run_id=self._run_id(),
            evaluation=comparison,
            title=self.recipe.title,
            verdict=_verdict(comparison, weight),
            cost=[
                CostLine(
                    stage=name,
                    seconds=stage["seconds"],
                    prompt_tokens=facts["prompt_tokens"] if name == "simulate" else None,
                    output_tokens=facts["output_tokens"] if name == "simulate" else None,
                )
                for name, stage in self.stages.done().items()
                if name != "report"
            ],
            commands=[f"footfall run {self.source} --folder {self.folder}"],
            cautions=[
                f"Log loss on real validation data by weight of the synthetic rows: {losses}. "
                f"The weight chosen there is {weight['chosen']:g}."
            ],
            splits=self.recipe.evaluation.likeness_splits,
        )


def _validation_log_loss(folder: Path) -> float:
    """Weighted log loss of a trained arm on the real validation part, in nats."""
    import pyarrow.parquet as pq
    from sklearn.metrics import log_loss

    table = pq.read_table(folder / "validation-scores.parquet")
    return float(log_loss(table["label"], table["probability"], sample_weight=table["weight"]))


def _verdict(comparison: ArmComparison, weight: dict[str, Any]) -> str:
    """What validation chose, and the verdict on all test rows."""
    found = next(row for row in comparison.verdicts if row.slice == "all")
    words = {
        "helped": "The synthetic sessions helped",
        "no evidence": "There is no evidence that the synthetic sessions helped",
        "hurt": "The synthetic sessions hurt",
    }
    outcome = f"{words[found.verdict]}. {found.reason}"
    if weight["chosen"]:
        return outcome
    return (
        "Leave the synthetic sessions out: on real validation data their best weight was 0. "
        f"Compared all the same at weight {weight['compared']:g}: {outcome}"
    )
