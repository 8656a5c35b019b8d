"""Fills the gap of items or people without history: aimed visits, as many as pay, and a model.

How many visits each needs is found in a rehearsal: items (or people) *with* history are held out of
the training part as if they were new, visits are aimed at them, and their real later responses tell
from which number on more visits gain nothing. Then the real gap is filled with that many, which may
be none.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from footfall import steps
from footfall.cold_start_gap import open_gap
from footfall.cold_start_settings import ColdStartSettings
from footfall.errors import DataError, EmptyLogError
from footfall.eval.arm_training import ArmTrainer, ValidationObjective
from footfall.files import whole_file
from footfall.finetune import ClickModel, Examples, load_examples, save_examples
from footfall.finetune.arms import ArmRows, ArmSource
from footfall.finetune.flattening import LearningCurve, flattens_at
from footfall.finetune.fuse import Fusion, fuse_with_report
from footfall.finetune.fusion_report import save_provenance
from footfall.finetune.part_examples import read_part_examples
from footfall.finetune.part_settings import PartSettings
from footfall.finetune.parts import copy_training_part, part_digest, part_searches
from footfall.finetune.tracking import check_tracker
from footfall.personas import read_personas
from footfall.progress import console, print_lines, track
from footfall.simulator import Log, open_engine
from footfall.simulator.engines.bundled import folder_hashes
from footfall.simulator.engines.protocol import EngineIdentity
from footfall.simulator.engines.tuned import TUNING_CARD
from footfall.simulator.log_part import log_part
from footfall.stages import Stages, canonical, clear_other_work, write_json

__all__ = ["ColdStartResult", "coldstart"]

#: Of the visits made for an item, one in so many is kept out of training, to see what changed.
_PROBED: Final = 4

_SESSIONS = """
SELECT session_id FROM sessions WHERE origin = $run
  AND ((split_part(session_id, '/', -1)::BIGINT + $shift) % $each) {which} $amount
"""


@dataclass(frozen=True, slots=True)
class ColdStartResult:
    """What was made, and where it lies.

    ``measured`` says which rows of the rehearsal its log loss is of: those of what was held out and
    aimed at, or, where these have too few responses, all.

    ``changes`` has one row an item or person aimed at: see
    :func:`footfall.eval.item_changes.item_changes` and
    :func:`footfall.eval.user_changes.user_changes`. Without a gain in the rehearsal ``enough`` is
    0, the fused set holds the real rows only, and ``changes`` is empty.
    """

    folder: Path
    model: Path
    fused: Path
    changes: pa.Table
    curve: LearningCurve
    enough: int
    measured: Literal["held out", "all"]


def coldstart(log: str | Path, folder: str | Path, settings: ColdStartSettings) -> ColdStartResult:
    """Fill the gap of a log's items or people without history.

    Parameters
    ----------
    log:
        The whole log; it is not written to.
    folder:
        Where the result goes: ``fused.parquet``, ``model``, ``items.parquet`` or
        ``users.parquet``, ``curve.json``. Run again, only what is missing or has changed is done.
    settings:
        What is aimed at, until when, and how.

    Raises
    ------
    DataError
        If no item, or nobody, has few responses.
    CatalogueError
        If an item or a person that is named is not in the log.
    InputError
        If the log is not usable.
    """
    return _ColdStart(Path(log), Path(folder), settings).run()


class _ColdStart:
    def __init__(self, log: Path, folder: Path, settings: ColdStartSettings) -> None:
        self.log, self.folder, self.settings = log, folder, settings
        self.told = settings.coldstart
        self.gap = open_gap(self.told, log)
        self.stages = Stages(folder)
        self.people = folder / "personas.jsonl"
        self.curve_file = folder / "curve.json"
        self.changes_file = folder / f"{self.gap.of}.parquet"
        self.fused_file = folder / "fused.parquet"
        self.model = folder / "model"
        self.tuned = folder / "tuned"

    def run(self) -> ColdStartResult:
        settings, stages = self.settings, self.stages
        check_tracker(settings.training, self.model)
        rehearsal = settings.parts(rehearsal=True)
        with Log.open(self.log) as log:
            self.gap.require_known(log)
            read = part_digest(log, rehearsal)
        self.folder.mkdir(parents=True, exist_ok=True)
        parted = [rehearsal, self.log.resolve(), read]
        stages.run("part", parted, self._file("filled", "validation"), self._part_log)
        # That there is nothing to do is told before anything is learned.
        for name in ("rehearsal", "filled"):
            self._aimed(name)
        stages.run("personas", settings.personas, self.people, self._make_people)
        if settings.tuning is not None:
            stages.run("tune", settings.tuning, self.tuned / TUNING_CARD, self._tune)
        told = settings.model_dump(mode="json", exclude={"personas", "tuning"})
        # The margin is of harm, too: curves chosen without that are chosen anew.
        told["rule"] = asdict(self._objective) | {"harm_margin": self.told.margin}
        stamps = folder_hashes(settings.engine.model, settings.training.encoder)
        stages.run("rehearse", [told, *stamps], self.curve_file, self._rehearse)
        stages.run("fill", "", self.changes_file, self._fill)
        curve = self._curve()
        return ColdStartResult(
            measured=json.loads(self.curve_file.read_text(encoding="utf-8"))["measured"],
            folder=self.folder,
            model=self.model,
            fused=self.fused_file,
            changes=pq.read_table(self.changes_file),
            curve=curve,
            enough=curve.enough,
        )

    @property
    def _objective(self) -> ValidationObjective:
        return ValidationObjective(cold=True, of=self.told.of)

    def _file(self, name: str, part: str) -> Path:
        return self.folder / f"{name}-{part}.parquet"

    def _part_log(self) -> None:
        """Once with items or people held out, and once with everything."""
        self._part("rehearsal", self.settings.parts(rehearsal=True))
        self._part("filled", self.settings.parts(rehearsal=False))

    def _part(self, name: str, settings: PartSettings) -> None:
        training = self.folder / f"{name}.duckdb"
        training.unlink(missing_ok=True)
        with Log.open(self.log) as log:
            parted = part_searches(log, settings, needed=("train", "validation"))
            copy_training_part(log, training, parted, until=settings.train_until, settings=settings)
            found = read_part_examples(log, training, parted, settings, test=False)
        save_examples(found.train, self._file(name, "train"))
        write_json(self.folder / f"{name}-held.json", self.gap.held(parted))
        save_examples(found.validation, self._file(name, "validation"))

    def _make_people(self) -> None:
        steps.make_personas(
            self.people,
            count=self.settings.personas.count,
            log=self.folder / "rehearsal.duckdb",
            until=self.told.until,
            settings=self.settings.personas,
        )

    def _tune(self) -> None:
        part = self.stages.done()["part"]["fingerprint"]
        work = canonical([part, self.settings.tuning])
        clear_other_work(self.folder / "tuned.begun", work, self.tuned)
        steps.tune(
            self.folder / "rehearsal.duckdb",
            self.tuned,
            until=self.told.until,
            settings=self.settings.tuning,
            resume=self.tuned.exists(),
        )

    def _visit(self, name: str, aimed: list[str], each: int) -> str:
        """Aim ``each`` visits at all of them, in the training log of that name; the run's id."""
        told = self.told
        settings = self.settings.aim.model_copy(
            update={"until": told.until, "label": told.label, "seed": told.seed}
        )
        path = self.folder / f"{name}.duckdb"
        chosen = self.settings.engine
        if self.settings.tuning is not None:
            chosen = chosen.model_copy(update={"model": str(self.tuned)})
        engine = open_engine(chosen)
        try:
            people = read_personas(self.people)
            if name == "rehearsal":
                self._warn_of_knowledge(engine.identity, path)
            return self.gap.visits(path, people, engine, aimed, settings, each).run().run_id
        finally:
            engine.close()

    def _warn_of_knowledge(self, identity: EngineIdentity, rehearsal: Path) -> None:
        with Log.open(rehearsal) as log:
            part = log_part(log)
        if identity.tuned and identity.tuned_part != part:
            console.print(
                f"[yellow]The model {identity.model} was not tuned on the rehearsal's part: it may "
                f"know the {self.told.of} that are held out there, and then fewer visits seem "
                "enough than new ones need. \\[tuning] tunes one that does not.[/yellow]"
            )

    def _rows(
        self,
        name: str,
        run: str,
        each: int,
        which: Literal["<", ">="],
        amount: int,
        *,
        seed: int,
        shift: int = 0,
    ) -> Examples:
        """Training rows of the first (``<``) or the further (``>=``) visits of each.

        ``seed`` is of what stands beside a response; ``shift`` says how many visits later the
        first one is, the count going round.
        """
        real = load_examples(self._file(name, "train"))
        with Log.open(self.folder / f"{name}.duckdb") as log:
            sessions = log.query(
                _SESSIONS.format(which=which),
                {"run": run, "each": each, "amount": amount, "shift": shift},
            )
            source = ArmSource(
                log=log,
                real=real,
                label=self.told.label,
                aimed=self.gap.beside(self._aimed(name)),
                until=self.told.until,
                beside=self.told.beside,
                seed=seed,
            )
            return ArmRows(source).run(run, sessions=sessions)

    def _fuse(self, real: Examples, made: Examples | None = None, seed: int = 0) -> Fusion:
        """By time, real rows are weighed as well, whether or not there are made ones."""
        if made is None:
            made = real.take(np.zeros(len(real), bool))
        told = {"alpha": self.told.alpha, "seed": seed}
        settings = self.settings.fusion.model_copy(update=told)
        return fuse_with_report(real, made, settings)

    def _aimed(self, name: str) -> list[str]:
        if name != "rehearsal":
            return self._found
        return self._rehearsed

    @cached_property
    def _rehearsed(self) -> list[str]:
        """Held out, and met in the validation part: the ones that are met most."""
        held = set(json.loads((self.folder / "rehearsal-held.json").read_text(encoding="utf-8")))
        validation = load_examples(self._file("rehearsal", "validation"))
        met = Counter(validation.column(self.gap.column).tolist())
        found = sorted(held & met.keys(), key=lambda one: (-met[one], one))
        if not found:
            raise DataError(
                f"No {self.gap.one} held out for the rehearsal is met in the validation part.",
                hint="Raise rehearsed, or move the end of the training part.",
            )
        return sorted(found[: self.told.most_rehearsed])

    @cached_property
    def _found(self) -> list[str]:
        """Whom or what the real gap is about."""
        named = self.told.users if self.told.of == "users" else self.told.items
        if named:
            return sorted(set(named))
        with Log.open(self.folder / "filled.duckdb") as log:
            found = self.gap.few(log, load_examples(self._file("filled", "validation")))
        if not found:
            raise DataError(
                f"No {self.gap.one} has {self.told.most_responses} responses or fewer before the "
                "end of the training part: there is no gap to fill.",
                hint=f"Raise most_responses, or name {self.told.of}.",
            )
        return sorted(found)

    def _rehearse(self) -> None:
        """Aim at what has a history that training does not know, and see what is enough."""
        amounts, one = self.told.amounts, self.gap.one
        aimed = self._aimed("rehearsal")
        console.print(
            f"Rehearsal: {len(aimed):,} {self.told.of} held out, {amounts[-1] * len(aimed):,} "
            f"visits; {(len(amounts) + 1) * len(self.told.seeds)} trainings."
        )
        run = self._visit("rehearsal", aimed, amounts[-1])
        real, validation = (
            load_examples(self._file("rehearsal", part)) for part in ("train", "validation")
        )
        # Cold is here what was held out and aimed at: what else is new nobody was sent to.
        column = validation.table[self.gap.column]
        cold = pc.is_in(column, value_set=pa.array(aimed)).combine_chunks()
        validation = validation.with_column(f"{self.gap.kind}_cold", cold)
        weighed, scored = self._fuse(real).examples, self.folder / "scores"
        trainer = ArmTrainer(weighed, validation, None, self.settings.training, scored)
        objective = self._objective
        scores: dict[int, list[float]] = {}
        harms: dict[int, list[float]] = {}
        reference: dict[int, pa.Table] = {}
        with track("Rehearsal", (len(amounts) + 1) * len(self.told.seeds)) as progress:
            for amount in (0, *amounts):
                for place, seed in enumerate(self.told.seeds):
                    progress.describe(f"Rehearsal: {amount} visits each, seed {seed}")
                    rows = self._drawn(run, real, amount, place) if amount else None
                    made = trainer.train("rehearsal", rows, 1.0, seed)
                    reference.setdefault(seed, made.validation)
                    measured = objective.uses_cold(made.validation)
                    scores.setdefault(amount, []).append(objective.score(made.validation))
                    harm = objective.harm(made.validation, reference[seed])
                    harms.setdefault(amount, []).append(harm)
                    progress.advance()
        curve = flattens_at(
            scores, margin=self.told.margin, harms=harms, most_harm=objective.most_harm
        )
        if not measured:
            console.print(
                f"[yellow]The {self.told.of} held out, or all others, have fewer than "
                f"{objective.fewest} responses in the validation part: all rows are measured "
                "instead.[/yellow]"
            )
        for amount, mean in zip(curve.amounts, curve.means, strict=True):
            console.print(f"{amount} visits each {one}: log loss {mean:.4f}")
        write_json(
            self.curve_file, {**asdict(curve), "measured": "held out" if measured else "all"}
        )

    def _drawn(self, run: str, real: Examples, amount: int, place: int) -> Examples:
        """Rows of ``amount`` visits each, for the seed at ``place`` of the training seeds.

        Every seed draws other visits where there are more, and other items beside them, so that the
        chance of the draw is in the differences between seeds.
        """
        most, seeds = self.told.amounts[-1], self.told.seeds
        # Apart for neighbouring seeds of draws and of trainings.
        seed = self.told.seed * 100_003 + seeds[place]
        shift = place * most // len(seeds)
        drawn = self._rows("rehearsal", run, most, "<", amount, seed=seed, shift=shift)
        fused = self._fuse(real, drawn, seed).examples
        return fused.take(fused.synthetic)

    def _curve(self) -> LearningCurve:
        told = json.loads(self.curve_file.read_text(encoding="utf-8"))
        scores, harms = (tuple(map(tuple, told[name])) for name in ("scores", "harms"))
        return LearningCurve(tuple(told["amounts"]), scores, told["enough"], harms)

    def _fill(self) -> None:
        """Visits at the real gap, the fused set, the model, and what changed for each."""
        enough = self._curve().enough
        real = load_examples(self._file("filled", "train"))
        fusion, probes, run = self._fuse(real), None, None
        weighed = fusion.examples
        if enough:
            probed = -(-enough // _PROBED)
            run = self._visit("filled", self._found, enough + probed)
            added = self._rows("filled", run, enough + probed, "<", enough, seed=self.told.seed)
            try:
                probes = self._rows(
                    "filled", run, enough + probed, ">=", enough, seed=self.told.seed
                )
            except EmptyLogError:
                # Few are probed, and usable words may have been found for none of them.
                probes = added.take(np.zeros(len(added), bool))
            fusion = self._fuse(real, added, self.told.seed)
            print_lines("Fusion", fusion.report.lines())
        save_examples(fusion.examples, self.fused_file)
        save_provenance(fusion.provenance, self.folder / "provenance.parquet")
        after = self._train(fusion.examples, self.model)
        if probes is None or run is None:
            console.print("No number of visits gained anything in the rehearsal: real rows only.")
            shutil.rmtree(self.folder / "model-real", ignore_errors=True)
            changes = pa.table({self.gap.column: pa.array([], pa.string())})
        else:
            before = self._train(weighed, self.folder / "model-real")
            with Log.open(self.folder / "filled.duckdb") as log:
                changes = self.gap.changes(log, run, self._found, probes, (before, after))
        with whole_file(self.changes_file) as partial:
            pq.write_table(changes, partial)

    def _train(self, rows: Examples, folder: Path) -> ClickModel:
        settings = self.settings.training.model_copy(update={"seed": self.told.seeds[0]})
        validation = load_examples(self._file("filled", "validation"))
        return steps.train_anew_if_changed(rows, folder, validation=validation, settings=settings)
