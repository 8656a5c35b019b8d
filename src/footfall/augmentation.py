"""The Python call of ``footfall augment``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np

from footfall.errors import DataError, SettingError
from footfall.finetune import Examples, load_examples, save_examples
from footfall.finetune.augment import augment_with_report, needs_engine
from footfall.finetune.augmentation_settings import AugmentationSettings
from footfall.progress import print_lines
from footfall.simulator import EngineSettings, open_engine
from footfall.simulator.catalog import utc_moment
from footfall.simulator.engines.protocol import EngineIdentity
from footfall.simulator.model_knowledge import check_model_knowledge

__all__ = ["augment", "augment_examples"]


def augment(
    examples: str | Path,
    output: str | Path,
    *,
    kind: str,
    rows: int | None = None,
    weight: float | None = None,
    like: str | Path | None = None,
    seed: int = 0,
    settings: AugmentationSettings | None = None,
    engine: EngineSettings | None = None,
    until: datetime | None = None,
) -> Examples:
    """Write real training examples and augmented ones beside them: one arm's training set.

    Parameters
    ----------
    examples:
        Parquet file of real training examples, such as the ``real.parquet`` of ``fuse``.
    output:
        Parquet file to write: the real rows as they are, then the augmented ones.
    kind:
        How to augment.
    rows:
        Augmented rows; by default as many as there are real rows.
    weight:
        Weight of each of them; 1 by default.
    like:
        Another training set (``synthetic.parquet``): as many rows as it adds to the real ones, at
        their mean weight, so that both are arms of equal volume. In place of ``rows``, ``weight``.
    seed:
        Of all that is drawn.
    settings:
        How far an augmented row may be from its original.
    engine:
        The language model that writes queries; not opened where none is needed.
    until:
        End of the training part. A tuned model needs it, and may not know the log any longer.

    Raises
    ------
    SettingError
        If ``like`` is given with ``rows`` or ``weight``, the weight is not positive, or the
        output's folder does not exist.
    DataError
        If a file is no file of examples, or holds rows that are not real; or the model was tuned
        on more than the training part.
    """
    if not Path(output).parent.is_dir():
        raise SettingError(f"{output}: the folder of this file does not exist.", hint="Make it.")
    real = load_examples(examples)
    count, each = _volume(len(real), rows, weight, like)
    made = augment_examples(
        real, kind, count=count, seed=seed, settings=settings, engine=engine, until=until
    )
    added = made.with_column("weight", np.full(count, each))
    joined = Examples.concat([real, added])
    save_examples(joined, output)
    return joined


def augment_examples(
    real: Examples,
    kind: str,
    *,
    count: int,
    seed: int = 0,
    settings: AugmentationSettings | None = None,
    engine: EngineSettings | None = None,
    until: datetime | None = None,
    part: str | None = None,
) -> Examples:
    """``count`` augmented rows of weight 1; the engine is opened if it is needed, and closed.

    Says what was done. See :func:`footfall.finetune.augment.augment_with_report`; ``until`` and
    ``part`` are the training part's, for :func:`check_model_knowledge`.

    Raises
    ------
    DataError
        If a tuned model knows more than the training part, or no part is told; what
        ``augment_with_report`` raises.
    """
    settings = settings or AugmentationSettings()
    opened = None
    if needs_engine(kind, settings):
        opened = open_engine(engine or EngineSettings())
    try:
        if opened is not None:
            _check_model(opened.identity, until, part)
        made = augment_with_report(real, kind, count, seed, settings=settings, engine=opened)
    finally:
        if opened is not None:
            opened.close()
    print_lines(f"Augmentation, {kind}", made.lines())
    return made.examples


def _check_model(identity: EngineIdentity, until: datetime | None, part: str | None) -> None:
    if identity.tuned and until is None and part is None:
        raise DataError(
            f"The model {identity.model} was tuned on a log, and nothing says where the training "
            "part of these examples ends.",
            hint="Tell it (--until), or take a model that was not tuned.",
        )
    check_model_knowledge(identity, until=utc_moment(until), part=part)


def _volume(
    real_rows: int, rows: int | None, weight: float | None, like: str | Path | None
) -> tuple[int, float]:
    """How many rows at which weight."""
    if like is None:
        if weight is not None and not weight > 0:
            raise SettingError(f"weight: {weight} is not above 0.")
        return real_rows if rows is None else rows, 1.0 if weight is None else weight
    if rows is not None or weight is not None:
        raise SettingError("like says how many rows at which weight.", hint="Leave out the others.")
    other = load_examples(like)
    weights = other.weights[other.synthetic]
    if not len(weights):
        raise SettingError(
            f"{like} adds no rows to the real ones.", hint="Name a training set that does."
        )
    return len(weights), float(weights.mean())
