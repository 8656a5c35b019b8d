"""Examples of the three parts, described by the training part alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import NoResponseError
from footfall.finetune.example_table import Examples
from footfall.finetune.examples import read_rows
from footfall.finetune.parts import copy_training_part
from footfall.finetune.row_description import describe_rows
from footfall.simulator.histories import read_demographics
from footfall.simulator.log import Log

if TYPE_CHECKING:
    from footfall.finetune.part_settings import PartSettings
    from footfall.finetune.parts import Parted

__all__ = ["PartExamples", "read_part_examples"]

#: Groups of people that describe one another where a log has no times.
_FOLDS: Final = 5

_FOLD = """
SELECT DISTINCT user_id FROM rows_read
WHERE ('0x' || substr(md5($seed || '/fold/' || user_id), 1, 8))::UBIGINT % $folds = $fold
"""


@dataclass(frozen=True)
class PartExamples:
    """Real examples of the three parts; no test where it was not asked for."""

    train: Examples
    validation: Examples
    test: Examples | None


def read_part_examples(
    log: Log,
    training: str | Path,
    parted: Parted,
    settings: PartSettings,
    *,
    test: bool = True,
) -> PartExamples:
    """Read the parts of ``log`` and describe them by the ``training`` log.

    Training rows with a time are described as of a moment not after their slate. Training rows
    without a time are described in five groups of people, each by the other four: a row never
    knows its own response. Validation and test rows are described by the whole training part.
    ``test`` says whether the test part is read.

    Raises
    ------
    NoResponseError
        If a part does not have both responses.
    """
    parts = ("train", "validation", "test") if test else ("train", "validation")
    rows = {part: _rows(log, parted, settings, part) for part in parts}
    people = read_demographics(log)
    until = settings.train_until
    with Log.open(training) as known:
        if rows["train"]["slate_at"].null_count:
            train = _described_in_folds(log, parted, settings, rows["train"], people)
        else:
            train = describe_rows(known, rows["train"], until=until, demographics=people)
        described = {"train": train} | {
            part: describe_rows(known, rows[part], until=until, demographics=people)
            for part in parts[1:]
        }
    if settings.cold_are == "new":
        for part in parts[1:]:
            described[part] = _only_new(log, described[part], settings)
    for part, examples in described.items():
        labels = examples.labels
        if labels.all() or not labels.any():
            raise NoResponseError(
                f"The {part} part ({len(labels):,} rows) does not have both responses.",
                hint="Move the times or shares of the split, or use more slates.",
            )
    return PartExamples(train, described["validation"], described.get("test"))


def _only_new(log: Log, examples: Examples, settings: PartSettings) -> Examples:
    """Cold are only items that came into the shop after the training part."""
    known = log.query(
        "SELECT item_id FROM items WHERE first_seen >= $until", {"until": settings.train_until}
    )["item_id"]
    new = pc.is_in(examples.table["item_id"], value_set=known.combine_chunks())
    cold = pc.and_(examples.table["item_cold"], new)
    return examples.with_column("item_cold", cold.combine_chunks())


def _rows(log: Log, parted: Parted, settings: PartSettings, part: str) -> pa.Table:
    rows = read_rows(
        log,
        label=settings.label,
        searches=parted.of(part),
        max_slates=getattr(settings, f"{part}_slates"),
        seed=settings.seed,
    )
    hidden = parted.hidden_from(part)["item_id"].combine_chunks()
    return rows.filter(pc.invert(pc.is_in(rows["item_id"], value_set=hidden)))


def _described_in_folds(
    log: Log,
    parted: Parted,
    settings: PartSettings,
    rows: pa.Table,
    people: pa.Table | None,
) -> Examples:
    described = []
    with TemporaryDirectory(prefix="footfall-") as folder:
        for fold in range(_FOLDS):
            left_out = log.query(
                _FOLD,
                {"seed": str(settings.seed), "folds": _FOLDS, "fold": fold},
                rows_read=rows,
            )
            own = rows.filter(pc.is_in(rows["user_id"], value_set=left_out["user_id"]))
            if not own.num_rows:
                continue
            path = Path(folder) / f"fold-{fold}.duckdb"
            copy_training_part(
                log,
                path,
                parted,
                until=settings.train_until,
                settings=settings,
                without_users=left_out,
            )
            with Log.open(path) as others:
                described.append(
                    describe_rows(others, own, until=settings.train_until, demographics=people)
                )
    return Examples.concat(described)
