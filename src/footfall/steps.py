"""One Python call for each command; the command line and recipes call these.

Every function takes paths and settings, does one step of the loop, and returns what it made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from footfall.errors import DataError, SettingError
from footfall.files import check_folder, whole_file
from footfall.finetune import (
    ClickModel,
    ClickSettings,
    Examples,
    Fusion,
    FusionSettings,
    TuningCard,
    TuningSettings,
    fuse_with_report,
    load_examples,
    oversample_real,
    random_pairs,
    read_examples,
    save_examples,
    tune_model,
)
from footfall.finetune.arms import ArmRows, ArmSource
from footfall.finetune.click_checks import training_fingerprint
from footfall.finetune.fusion_report import save_provenance
from footfall.personas import (
    Persona,
    PersonaModel,
    PersonaSettings,
    invent_personas,
    read_personas,
    write_personas,
)
from footfall.personas.persona import WHOLE_LOG
from footfall.progress import print_lines
from footfall.simulator import (
    Catalog,
    Engine,
    EngineSettings,
    IngestReport,
    Log,
    RaySettings,
    Simulation,
    SimulationSettings,
    SimulationSummary,
    ingest_complete_journey,
    ingest_mapping,
    open_engine,
    read_demographics,
    read_histories,
    read_pages,
)
from footfall.simulator.catalog import utc_moment
from footfall.simulator.crowd import VisitSource
from footfall.simulator.language import catalog_language
from footfall.simulator.log_part import log_part
from footfall.simulator.scale_out import RayCrowd, require_scalable
from footfall.simulator.shopper import Shop
from footfall.stages import clear_other_work

if TYPE_CHECKING:
    from rich.table import Table

    from footfall.eval import ArmComparison, CostLine, Fidelity

__all__ = [
    "COMPLETE_JOURNEY",
    "Parts",
    "Split",
    "compare",
    "compare_scores",
    "comparison_table",
    "evaluate",
    "fuse",
    "ingest",
    "make_personas",
    "read_parts",
    "report",
    "score_for_evaluation",
    "simulate",
    "train",
    "train_anew_if_changed",
    "tune",
]

COMPLETE_JOURNEY = "complete-journey"
Label = Literal["purchased", "clicked"]


class Split(BaseModel):
    """Where the parts of the real log end, in time order. Times without zone are UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train_until: datetime = Field(description="End of the training part; all learning stops here.")
    validation_until: datetime = Field(description="End of the validation part.")
    test_until: datetime | None = Field(None, description="End of the test part; none is the end.")
    train_from: datetime | None = Field(None, description="Start of the training part, if not all.")
    label: Label = Field("purchased", description="Response to learn: purchased or clicked.")
    train_slates: int | None = Field(None, ge=1, description="Most training slates to use.")
    validation_slates: int | None = Field(None, ge=1, description="Most validation slates to use.")
    test_slates: int | None = Field(None, ge=1, description="Most test slates to use.")
    seed: int = Field(0, ge=0, description="Seed of the choice of slates.")

    @field_validator("train_until", "validation_until", "test_until", "train_from")
    @classmethod
    def _as_the_log(cls, moment: datetime | None) -> datetime | None:
        return utc_moment(moment)

    @model_validator(mode="after")
    def _in_order(self) -> Split:
        moments = [self.train_from, self.train_until, self.validation_until, self.test_until]
        known = [moment for moment in moments if moment is not None]
        if known != sorted(known) or len(set(known)) != len(known):
            raise ValueError(
                "train_from, train_until, validation_until and test_until must be in time order"
            )
        return self


@dataclass(frozen=True, slots=True)
class Parts:
    """Real examples of the three parts of a split."""

    train: Examples
    validation: Examples
    test: Examples


def ingest(
    source: str,
    log: str | Path,
    *,
    folder: str | Path | None = None,
    largest_reject_share: float = 0.01,
    negatives_per_visit: int = 9,
    seed: int = 0,
) -> IngestReport:
    """Read a source into a new log.

    Parameters
    ----------
    source:
        ``complete-journey``, the name of a packaged mapping, or the path of a mapping file.
    log:
        The DuckDB file to make; it must not exist.
    folder:
        Where the source's files lie; for Complete Journey, the installed package by default.
    largest_reject_share:
        Stop before writing anything when more of the rows are malformed.
    negatives_per_visit:
        For Complete Journey: items on display and not bought that are kept of each visit.
    seed:
        Seed of everything that is sampled.
    """
    if source == COMPLETE_JOURNEY:
        return ingest_complete_journey(
            log,
            folder=folder,
            negatives_per_visit=negatives_per_visit,
            max_reject_share=largest_reject_share,
            seed=seed,
        )
    if folder is None:
        raise SettingError(
            f"The mapping {source!r} needs the folder of its files.",
            hint="Name it with --folder (folder= in Python).",
        )
    return ingest_mapping(source, folder, log, max_reject_share=largest_reject_share, seed=seed)


def make_personas(
    output: str | Path,
    *,
    count: int,
    log: str | Path | None = None,
    until: datetime | None = None,
    settings: PersonaSettings | None = None,
) -> list[Persona]:
    """Make a population: fitted on a log before ``until``, or invented where ``log`` is none.

    Every persona says what it is fitted on, and a simulation that may know less refuses it.
    """
    check_folder(output)
    settings = settings or PersonaSettings()
    if log is None:
        people = invent_personas(count, locale=settings.locale or "en_US", seed=settings.seed)
    else:
        with Log.open(log) as opened:
            histories = read_histories(opened, until=until)
            demographics = read_demographics(opened)
            pages = read_pages(opened, until=until)
            locale = settings.locale or catalog_language(opened, until=until).default_locale()
            knowledge = {
                "fitted_until": WHOLE_LOG if until is None else until.isoformat(),
                "fitted_part": log_part(opened),
            }
        model = PersonaModel(
            segments=settings.segments,
            vectorizer=settings.vectorizer,
            k_anonymity=settings.k_anonymity,
            demographics=settings.demographics,
            locale=locale,
            seed=settings.seed,
        )
        fitted = model.fit(histories, demographics, pages=pages).sample(count)
        people = [persona.model_copy(update=knowledge) for persona in fitted]
    write_personas(people, output)
    return people


def tune(
    log: str | Path,
    folder: str | Path,
    *,
    until: datetime | None = None,
    settings: TuningSettings | None = None,
    resume: bool = False,
) -> TuningCard:
    """Tune the simulator's language model on the real part of a log before ``until``.

    The folder can then be the ``model`` of :class:`~footfall.simulator.EngineSettings`.
    """
    with Log.open(log) as opened:
        return tune_model(opened, folder, until=until, settings=settings, resume=resume)


def simulate(
    log: str | Path,
    people: str | Path | Sequence[Persona],
    *,
    engine: EngineSettings | None = None,
    settings: SimulationSettings | None = None,
    ray: RaySettings | None = None,
) -> SimulationSummary:
    """Send personas (or the personas of a file) through the shop of a log.

    With ``ray``, the workers of a Ray cluster lead them, and this process keeps the log.
    """
    settings = settings or SimulationSettings()
    engine = engine or EngineSettings()
    if ray is not None:
        require_scalable(engine, ray)
    with Log.open(log) as opened:
        if isinstance(people, str | Path):
            people = read_personas(people)
        catalog = Catalog.from_log(opened, until=settings.until)
    opened_engine = open_engine(engine)
    crowd_of = None if ray is None else _spread(people, opened_engine, engine, settings, ray)
    try:
        return Simulation(
            log, people, opened_engine, settings, catalog=catalog, crowd_of=crowd_of
        ).run()
    finally:
        opened_engine.close()


def _spread(
    people: Sequence[Persona],
    opened: Engine,
    engine: EngineSettings,
    settings: SimulationSettings,
    ray: RaySettings,
) -> Callable[[Shop], VisitSource]:
    def crowd_of(shop: Shop) -> VisitSource:
        # The shop is fitted, and the workers have engines of their own: they get this one's memory.
        opened.close()
        return RayCrowd(
            shop,
            people,
            engine,
            identity=opened.identity,
            settings=ray,
            seed=settings.seed,
            concurrency=settings.concurrency,
            search=settings.search,
            recommender=settings.recommender,
        )

    return crowd_of


def read_parts(log: str | Path, split: Split) -> Parts:
    """Real examples of the training, validation and test parts."""
    with Log.open(log) as opened:
        train, validation, test = (
            read_examples(
                opened,
                label=split.label,
                start=start,
                end=end,
                until=split.train_until,
                max_slates=most,
                seed=split.seed,
            )
            for start, end, most in (
                (split.train_from, split.train_until, split.train_slates),
                (split.train_until, split.validation_until, split.validation_slates),
                (split.validation_until, split.test_until, split.test_slates),
            )
        )
    return Parts(train, validation, test)


def fuse(
    log: str | Path,
    folder: str | Path,
    *,
    run_ids: Sequence[str],
    split: Split,
    settings: FusionSettings | None = None,
    draws: Sequence[int] = (),
) -> dict[str, Examples]:
    """Fuse real training examples with those of simulated runs.

    Writes into ``folder`` one Parquet file for each training set (``real``, ``synthetic``: both
    fused, and the controls of equal volume ``oversampled`` and ``random-pairs``) and for the
    ``validation`` and ``test`` part, which hold real rows only. Returns them by name. What was done
    to each simulated row is in ``provenance.parquet``, in sum in ``fusion.json``.

    Parameters
    ----------
    log, folder:
        The log, and where the files go.
    run_ids:
        The runs to fuse.
    split:
        The parts.
    settings:
        How rows are fused.
    draws:
        Seeds of further draws of the training sets from the same runs, one folder ``draw-SEED``
        each, with its own provenance: a difference between arms that were drawn once holds the
        chance of that draw.

    Raises
    ------
    DataError
        If a run is unknown or has seen the log after the training part.
    """
    if not run_ids:
        raise SettingError("No run to fuse was named.", hint="Name one with --run.")
    parts = read_parts(log, split)
    settings = settings or FusionSettings()
    target = Path(folder)
    with Log.open(log) as opened:
        fusion = _fusion(opened, parts.train, run_ids, split, settings)
        print_lines("Fusion", fusion.report.lines())
        sets = _training_sets(fusion, split.seed)
        # The set that says that all is there comes last.
        _save_sets({"validation": parts.validation, "test": parts.test}, target)
        save_provenance(fusion.provenance, target / "provenance.parquet")
        with whole_file(target / "fusion.json") as partial:
            partial.write_text(fusion.report.model_dump_json(indent=1), encoding="utf-8")
        for draw in draws:
            # Apart from the first draw, and for neighbouring seeds of settings and of draws.
            seeds = [(seed + 1) * 100_003 + draw for seed in (settings.seed, split.seed)]
            drawn = settings.model_copy(update={"seed": seeds[0]})
            again = _fusion(opened, parts.train, run_ids, split, drawn)
            _save_sets(_training_sets(again, seeds[1]), target / f"draw-{draw}")
            save_provenance(again.provenance, target / f"draw-{draw}" / "provenance.parquet")
        _save_sets(sets, target)
    return sets | {"validation": parts.validation, "test": parts.test}


def _fusion(
    log: Log, real: Examples, run_ids: Sequence[str], split: Split, settings: FusionSettings
) -> Fusion:
    return fuse_with_report(
        real, _simulated_examples(log, real, run_ids, split, settings), settings
    )


def _training_sets(fusion: Fusion, seed: int) -> dict[str, Examples]:
    """The same real rows at the same weights, and as much added weight in every other set."""
    fused = fusion.examples
    added = int(fused.synthetic.sum())
    real = fused.take(~fused.synthetic)
    weight = float(fused.weights[fused.synthetic].mean()) if added else 0.0
    return {
        "real": real,
        "oversampled": _joined(real, oversample_real(real, added, seed), weight),
        "random-pairs": _joined(real, random_pairs(real, added, seed), weight),
        "synthetic": fused,
    }


def _save_sets(sets: Mapping[str, Examples], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, examples in sets.items():
        save_examples(examples, folder / f"{name}.parquet")


def _simulated_examples(
    log: Log, real: Examples, run_ids: Sequence[str], split: Split, settings: FusionSettings
) -> Examples:
    """Rows of the runs: their pages as they were, or their responses beside other items."""
    source = ArmSource(
        log=log,
        real=real,
        label=split.label,
        until=split.train_until,
        beside=settings.beside,
        specific_queries=False,
        seed=settings.seed,
    )
    return Examples.concat([ArmRows(source).run(run) for run in run_ids])


def _joined(real: Examples, extra: Examples, weight: float) -> Examples:
    weights = np.full(len(extra), weight)
    return Examples.concat([real, extra.with_column("weight", weights)])


def train(
    examples: str | Path | Examples,
    output: str | Path,
    *,
    validation: str | Path | Examples | None = None,
    settings: ClickSettings | None = None,
    resume: bool = False,
) -> ClickModel:
    """Train a click-through classifier and save it to a folder."""
    train_part = _examples(examples)
    validation_part = None if validation is None else _examples(validation)
    model = ClickModel(settings or ClickSettings())
    return model.fit(train_part, validation_part, output, resume=resume)


def train_anew_if_changed(
    train_part: Examples, output: Path, *, validation: Examples, settings: ClickSettings
) -> ClickModel:
    """:func:`train` that goes on where the same training was interrupted, and else starts anew."""
    rows = train_part.take(train_part.weights > 0)
    work = training_fingerprint(settings, rows, validation)
    checkpoints = output.with_name(f"{output.name}.checkpoints")
    clear_other_work(output.with_name(f"{output.name}.begun"), work, checkpoints)
    return train(train_part, output, validation=validation, settings=settings, resume=True)


def _examples(source: str | Path | Examples) -> Examples:
    return source if isinstance(source, Examples) else load_examples(source)


def score_for_evaluation(
    model: str | Path | ClickModel, examples: str | Path | Examples, output: str | Path
) -> Path:
    """Score labelled examples and write what the evaluation reads as Parquet."""
    import pyarrow.parquet as pq

    classifier = ClickModel.load(model) if isinstance(model, str | Path) else model
    part = _examples(examples)
    check_folder(output)
    table = part.score_table(classifier.predict_proba(part))
    with whole_file(output) as partial:
        pq.write_table(table, partial)
    return Path(output)


def evaluate(
    test: str | Path | Examples,
    arms: Mapping[str, Sequence[str | Path]],
    output: str | Path | None = None,
    *,
    reference: str = "real",
    synthetic: str = "synthetic",
    resamples: int = 1000,
    seed: int = 0,
) -> ArmComparison:
    """Score the models of every arm (one per training seed) on a test part and compare them."""
    check_folder(output)
    part = _examples(test)
    scores: dict[str, list[str | Path]] = {}
    for name, folders in arms.items():
        scores[name] = []
        for folder in folders:
            scores[name].append(
                score_for_evaluation(folder, part, Path(folder) / "test-scores.parquet")
            )
    return compare_scores(
        scores,
        output,
        reference=reference,
        synthetic=synthetic,
        resamples=resamples,
        seed=seed,
    )


def compare_scores(
    scores: Mapping[str, Sequence[str | Path]],
    output: str | Path | None = None,
    *,
    reference: str = "real",
    synthetic: str = "synthetic",
    resamples: int = 1000,
    seed: int = 0,
) -> ArmComparison:
    """Compare arms given as score tables, one per training seed; write the result as JSON."""
    import pyarrow.parquet as pq

    from footfall.eval import compare_arms

    check_folder(output)
    for path in (path for paths in scores.values() for path in paths):
        if not Path(path).is_file():
            raise DataError(
                f"{path}: there is no such score table.", hint="Make it with `footfall train`."
            )
    tables = {name: [pq.read_table(path) for path in paths] for name, paths in scores.items()}
    comparison = compare_arms(
        tables, reference=reference, synthetic=synthetic, resamples=resamples, seed=seed
    )
    if output is not None:
        with whole_file(output) as partial:
            partial.write_text(comparison.model_dump_json(indent=1), encoding="utf-8")
    return comparison


def report(
    log: str | Path,
    output: str | Path,
    *,
    run_id: str,
    evaluation: str | Path | ArmComparison | None = None,
    title: str = "Footfall",
    verdict: str = "",
    cost: Sequence[CostLine] = (),
    commands: Sequence[str] = (),
    cautions: Sequence[str] = (),
    splits: int = 20,
) -> Path:
    """Write one HTML file about a simulated run and, where given, what training gained."""
    from footfall.eval import ArmComparison, describe_run, write_report

    check_folder(output)
    if isinstance(evaluation, str | Path):
        if not Path(evaluation).is_file():
            raise DataError(
                f"{evaluation}: there is no such file.", hint="Make it with `footfall evaluate`."
            )
        try:
            evaluation = ArmComparison.model_validate_json(Path(evaluation).read_bytes())
        except ValidationError as error:
            raise DataError(
                f"{evaluation} does not hold a comparison of arms.",
                hint="Make it with `footfall evaluate`.",
            ) from error
    with Log.open(log) as opened:
        content = describe_run(
            opened,
            run_id,
            title=title,
            verdict=verdict,
            arms=evaluation,
            cost=cost,
            commands=commands,
            cautions=cautions,
            splits=splits,
        )
    written: Path = write_report(output, content)
    return written


def compare(
    log: str | Path,
    run_id: str,
    *,
    until: datetime | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    output: str | Path | None = None,
    json: str | Path | None = None,
    largest_ratio: float = 2.0,
    require: Sequence[str] = (),
    splits: int = 100,
    resamples: int = 500,
    seed: int = 0,
) -> Fidelity:
    """Compare a run with the real log; write it as HTML and JSON where paths are given.

    ``largest_ratio`` and ``require`` are the limits that the HTML file shows; the result's
    ``passed`` takes them too.
    """
    from footfall.eval import check_limits, fidelity, write_fidelity

    for path in (output, json):
        check_folder(path)
    check_limits(largest_ratio, require)
    with Log.open(log) as opened:
        found = fidelity(
            opened,
            run_id,
            start=start,
            end=end,
            until=until,
            splits=splits,
            resamples=resamples,
            seed=seed,
        )
    if json is not None:
        with whole_file(json) as partial:
            partial.write_text(found.model_dump_json(indent=1), encoding="utf-8")
    if output is not None:
        moments = {"until": until, "start": start, "end": end}
        given = [f" --{name} {moment.isoformat()}" for name, moment in moments.items() if moment]
        command = f"footfall compare {log} --run {run_id}{''.join(given)} --seed {seed}"
        write_fidelity(output, found, largest_ratio=largest_ratio, require=require, command=command)
    return found


def comparison_table(found: Fidelity) -> Table:
    """The rows of a comparison as a table for the terminal."""
    from footfall.eval import fidelity_table

    return fidelity_table(found)
