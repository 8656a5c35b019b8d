"""A trained classifier's probabilities for a table or a log of any size, as a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from footfall.files import check_folder, whole_file
from footfall.finetune.example_batches import ExampleBatches
from footfall.finetune.example_table import EXAMPLE_SCHEMA
from footfall.finetune.probability import probability_of

if TYPE_CHECKING:
    from footfall.finetune.click_model import ClickModel

__all__ = ["score_batches"]

#: Columns that go into the scores where the source has them.
_KEPT: Final = ("example_id", "search_id", "user_id", "item_id", "label")


def score_batches(
    model: ClickModel,
    source: ExampleBatches,
    output: str | Path,
    *,
    correct_prior: bool = False,
) -> int:
    """Score rows in their order and write them; what is held at a time is one portion.

    Parameters
    ----------
    model:
        A trained model.
    source:
        Rows of :func:`~footfall.finetune.example_batches.parquet_batches` or
        :func:`~footfall.finetune.example_batches.log_batches`.
    output:
        Parquet file to write: ``row`` from 0, the source's ids and label where it has them,
        ``log_odds`` and ``probability``.
    correct_prior:
        Put both on the scale of every exposure; see
        :meth:`~footfall.finetune.ClickModel.predict_batches`.

    Returns
    -------
    int
        Rows scored.

    Raises
    ------
    DataError
        If a portion cannot be read, or the file cannot be written.
    SettingError
        If its folder does not exist.
    TrainingError
        If the model has not been trained, or does not know the rate of its negatives.
    """
    check_folder(output)
    offset = float(np.log(model.negative_rate)) if correct_prior else 0.0
    kept = [name for name in _KEPT if name in source.columns]
    schema = pa.schema(
        [("row", pa.int64())]
        + [(name, EXAMPLE_SCHEMA.field(name).type) for name in kept]
        + [("log_odds", pa.float64()), ("probability", pa.float64())]
    )
    done = 0
    with whole_file(output) as partial, pq.ParquetWriter(partial, schema) as writer:
        for part in source.batches:
            log_odds = model.predict_log_odds(part) + offset
            columns = [
                np.arange(done, done + len(part)),
                *(part.table[name] for name in kept),
                log_odds,
                probability_of(log_odds),
            ]
            writer.write_table(pa.table(columns, schema=schema))
            done += len(part)
    return done
