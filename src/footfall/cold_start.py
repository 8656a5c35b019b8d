"""Fills the gap of items without history: aimed visits, as many as are worth it, and a model.

How many visits an item needs is found in a rehearsal: items *with* history are held out of the
training part as if they were new, visits are aimed at them, and their real later responses tell
from which number on more visits gain nothing. Then the real gap is filled with that many, which may
be none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from footfall import steps
from footfall.cold_start_settings import ColdStartSettings
from footfall.errors import DataError
from footfall.eval.arm_training import ArmTrainer, ValidationObjective
from footfall.eval.item_changes import item_changes
from footfall.files import whole_file
from footfall.finetune import ClickModel, Examples, load_examples, save_examples
from footfall.finetune.arms import ArmRows, ArmSource
from footfall.finetune.flattening import LearningCurve, flattens_at
from footfall.finetune.part_examples import read_part_examples
from footfall.finetune.part_settings import PartSettings
from footfall.finetune.parts import copy_training_part, part_searches
from footfall.personas import read_personas
from footfall.progress import console, track
from footfall.simulator import Log, open_engine
from footfall.simulator.aimed_visits import AimedVisits
from footfall.stages import Stages, write_json

__all__ = ["ColdStartResult", "coldstart"]

#: Of the visits made for an item, one in so many is kept out of training, to see what changed.
_PROBED: Final = 4

_FEW = """
WITH answered AS (
    SELECT item_id, count(*) AS n FROM impressions WHERE origin = 'real' AND {label} GROUP BY 1
    UNION ALL SELECT item_id, count(*) FROM purchases WHERE origin = 'real' GROUP BY 1
), known AS (SELECT item_id, max(n) AS n FROM answered GROUP BY 1),
shown AS (SELECT item_id, count(*) AS times FROM later GROUP BY 1)
SELECT items.item_id FROM items LEFT JOIN known USING (item_id) LEFT JOIN shown USING (item_id)
WHERE coalesce(known.n, 0) <= $most
ORDER BY coalesce(times, 0) DESC, items.item_id LIMIT $items
"""

_SESSIONS = """
SELECT session_id FROM sessions WHERE origin = $run
  AND (split_part(session_id, '/', -1)::BIGINT % $each) {which} $amount
"""


@dataclass(frozen=True, slots=True)
class ColdStartResult:
    """What was made, and where it lies.

    ``items`` has one row an item aimed at: see
    :func:`footfall.eval.item_changes.item_changes`. Without a gain in the rehearsal ``enough`` is
    0, the fused set holds the real rows only, and ``items`` is empty.
    """

    folder: Path
    model: Path
    fused: Path
    items: pa.Table
    curve: LearningCurve
    enough: int


def coldstart(log: str | Path, folder: str | Path, settings: ColdStartSettings) -> ColdStartResult:
    """Fill the gap of a log's items without history.

    Parameters
    ----------
    log:
        The whole log; it is not written to.
    folder:
        Where the result goes: ``fused.parquet``, ``model``, ``items.parquet``, ``curve.json``.
        Run again, only what is missing or has changed is done.
    settings:
        What is aimed at, until when, and how.

    Raises
    ------
    DataError
        If no item has few responses.
    InputError
        If an item or the log is not usable.
    """
    return _ColdStart(Path(log), Path(folder), settings).run()


class _ColdStart:
    def __init__(self, log: Path, folder: Path, settings: ColdStartSettings) -> None:
        self.log, self.folder, self.settings = log, folder, settings
        self.told = settings.coldstart
        self.stages = Stages(folder)
        self.people = folder / "personas.jsonl"
        self.curve_file = folder / "curve.json"
        self.items_file = folder / "items.parquet"
        self.fused_file = folder / "fused.parquet"
        self.model = folder / "model"

    def run(self) -> ColdStartResult:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings, stages = self.settings, self.stages
        facts = [self.log.resolve(), self.log.stat().st_size if self.log.is_file() else 0]
        rehearsal = settings.parts(rehearsal=True)
        stages.run(
            "part", [rehearsal, *facts], self._file("rehearsal", "validation"), self._part_rehearsal
        )
        stages.run("personas", settings.personas, self.people, self._make_people)
        told = settings.model_dump(mode="json", exclude={"personas"})
        stages.run("rehearse", told, self.curve_file, self._rehearse)
        stages.run("fill", "", self.items_file, self._fill)
        curve = self._curve()
        return ColdStartResult(
            folder=self.folder,
            model=self.model,
            fused=self.fused_file,
            items=pq.read_table(self.items_file),
            curve=curve,
            enough=curve.enough,
        )

    def _file(self, name: str, part: str) -> Path:
        return self.folder / f"{name}-{part}.parquet"

    def _part_rehearsal(self) -> None:
        self._part("rehearsal", self.settings.parts(rehearsal=True))

    def _part(self, name: str, settings: PartSettings) -> None:
        training = self.folder / f"{name}.duckdb"
        training.unlink(missing_ok=True)
        with Log.open(self.log) as log:
            parted = part_searches(log, settings, needed=("train", "validation"))
            copy_training_part(log, training, parted, until=settings.train_until, settings=settings)
            found = read_part_examples(log, training, parted, settings, test=False)
        save_examples(found.train, self._file(name, "train"))
        held = sorted(parted.held_items["item_id"].to_pylist())
        write_json(self.folder / f"{name}-held.json", held)
        save_examples(found.validation, self._file(name, "validation"))

    def _make_people(self) -> None:
        steps.make_personas(
            self.people,
            count=self.settings.personas.count,
            log=self.folder / "rehearsal.duckdb",
            until=self.told.until,
            settings=self.settings.personas,
        )

    def _visit(self, name: str, items: list[str], each: int) -> str:
        """Aim ``each`` visits at every item, in the training log of that name; the run's id."""
        settings = self.settings.aim.model_copy(
            update={
                "until": self.told.until,
                "label": self.told.label,
                "visits_per_item": each,
                "seed": self.told.seed,
            }
        )
        engine = open_engine(self.settings.engine)
        try:
            people = read_personas(self.people)
            path = self.folder / f"{name}.duckdb"
            return AimedVisits(path, people, engine, items, settings).run().run_id
        finally:
            engine.close()

    def _rows(self, name: str, run: str, each: int, which: str, amount: int) -> Examples:
        """Training rows of the first (``<``) or the further (``>=``) visits of every item."""
        real = load_examples(self._file(name, "train"))
        with Log.open(self.folder / f"{name}.duckdb") as log:
            sessions = log.query(
                _SESSIONS.format(which=which), {"run": run, "each": each, "amount": amount}
            )
            source = ArmSource(
                log=log,
                real=real,
                label=self.told.label,
                aimed=self._aimed(name),
                until=self.told.until,
                beside=self.told.beside,
                seed=self.told.seed,
            )
            return ArmRows(source).run(run, sessions=sessions)

    def _aimed(self, name: str) -> list[str]:
        if name == "rehearsal":
            held = json.loads((self.folder / "rehearsal-held.json").read_text(encoding="utf-8"))
            shown = set(load_examples(self._file(name, "validation")).column("item_id").tolist())
            found = [item for item in held if item in shown]
            if not found:
                raise DataError(
                    "None of the items held out for the rehearsal is shown in the validation part.",
                    hint="Raise rehearsed_items, or move the end of the training part.",
                )
            return found
        return self._gap

    @cached_property
    def _gap(self) -> list[str]:
        """Items to aim at."""
        if self.told.items:
            return sorted(set(self.told.items))
        validation = load_examples(self._file("filled", "validation"))
        with Log.open(self.folder / "filled.duckdb") as log:
            found: list[str] = log.query(
                _FEW.format(label=self.told.label),
                {"most": self.told.most_responses, "items": self.told.most_items},
                later=validation.table.select(["item_id"]),
            )["item_id"].to_pylist()
        if not found:
            raise DataError(
                f"No item has {self.told.most_responses} responses or fewer before the end of "
                "the training part: there is no gap to fill.",
                hint="Raise most_responses, or name items.",
            )
        return sorted(found)

    def _rehearse(self) -> None:
        """Aim at items with history that training does not know, and see what is enough."""
        amounts = self.told.amounts
        items = self._aimed("rehearsal")
        console.print(
            f"Rehearsal: {amounts[-1]} visits at each of {len(items):,} held-out items, "
            f"{(len(amounts) + 1) * len(self.told.seeds)} trainings."
        )
        run = self._visit("rehearsal", items, amounts[-1])
        real, validation = (
            load_examples(self._file("rehearsal", part)) for part in ("train", "validation")
        )
        trainer = ArmTrainer(
            real, validation, validation, self.settings.training, self.folder / "scores"
        )
        objective = ValidationObjective(cold=True)
        scores: dict[int, list[float]] = {}
        reference: dict[int, pa.Table] = {}
        with track("Rehearsal", (len(amounts) + 1) * len(self.told.seeds)) as progress:
            for amount in (0, *amounts):
                rows = self._rows("rehearsal", run, amounts[-1], "<", amount) if amount else None
                for seed in self.told.seeds:
                    progress.describe(f"Rehearsal: {amount} visits an item, seed {seed}")
                    made = trainer.train("rehearsal", rows, self.told.alpha, seed)
                    reference.setdefault(seed, made.validation)
                    found = objective.score(made.validation, reference[seed])
                    scores.setdefault(amount, []).append(found)
                    progress.advance()
        curve = flattens_at(scores, margin=self.told.margin)
        for amount, mean in zip(curve.amounts, curve.means, strict=True):
            console.print(f"{amount} visits an item: log loss of cold rows {mean:.4f}")
        write_json(self.curve_file, asdict(curve))

    def _curve(self) -> LearningCurve:
        told = json.loads(self.curve_file.read_text(encoding="utf-8"))
        return LearningCurve(
            tuple(told["amounts"]), tuple(map(tuple, told["scores"])), told["enough"]
        )

    def _fill(self) -> None:
        """Visits at the real gap, the fused set, the model, and what changed for each item."""
        enough = self._curve().enough
        self._part("filled", self.settings.parts(rehearsal=False))
        real = load_examples(self._file("filled", "train"))
        fused, probes, run = real, None, None
        if enough:
            probed = -(-enough // _PROBED)
            run = self._visit("filled", self._gap, enough + probed)
            added = self._rows("filled", run, enough + probed, "<", enough)
            probes = self._rows("filled", run, enough + probed, ">=", enough)
            weights = added.weights * self.told.alpha
            fused = Examples.concat([real, added.with_column("weight", weights)])
        save_examples(fused, self.fused_file)
        after = self._train(fused, self.model)
        if probes is None or run is None:
            console.print("No number of visits gained anything in the rehearsal: real rows only.")
            changes = pa.table({"item_id": pa.array([], pa.string())})
        else:
            before = self._train(real, self.folder / "model-real")
            with Log.open(self.folder / "filled.duckdb") as log:
                changes = item_changes(log, run, self._gap, probes, before, after)
        with whole_file(self.items_file) as partial:
            pq.write_table(changes, partial)

    def _train(self, rows: Examples, folder: Path) -> ClickModel:
        settings = self.settings.training.model_copy(update={"seed": self.told.seeds[0]})
        validation = load_examples(self._file("filled", "validation"))
        return steps.train(rows, folder, validation=validation, settings=settings, resume=True)
