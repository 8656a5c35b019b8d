"""Augmentation: real slates again, with another part of the history or other words in the query.

Every kind is an arm of its own beside the simulated rows: if it gives as much, the language model's
shoppers were not needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from footfall.errors import DataError, EmptyLogError, SettingError
from footfall.finetune.augment_history import HISTORY_CHANGES
from footfall.finetune.augment_queries import queries_of_slates, rewrite_slates
from footfall.finetune.augmentation_settings import (
    AUGMENTATIONS,
    QUERY_KINDS,
    AugmentationSettings,
)
from footfall.finetune.example_table import Examples
from footfall.finetune.query_rewriters import (
    BackTranslator,
    ModelBackTranslator,
    Paraphraser,
    Rewriter,
)
from footfall.finetune.slate_copies import draw_slates, rename_copies, rows_of_slates
from footfall.personas.describe import shopper_line
from footfall.simulator.engines.protocol import Engine
from footfall.simulator.language import language_of

__all__ = ["Augmented", "augment", "augment_with_report", "needs_engine", "open_rewriter"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Augmented:
    """Augmented rows, and what there was to augment.

    ``eligible`` of the ``slates`` have what the kind changes (a history that is long enough, a
    query); ``changed`` counts the different changed slates behind the rows. ``refused`` counts
    rewritings that could not be used, by reason.
    """

    examples: Examples
    slates: int
    eligible: int
    changed: int
    asked: int = 0
    refused: dict[str, int] | None = None

    def lines(self) -> list[str]:
        """In words, one finding a line."""
        said = [
            f"{len(self.examples):,} rows of {self.changed:,} changed slates",
            f"{self.eligible:,} of {self.slates:,} slates have what is changed",
        ]
        if self.asked:
            refused = self.refused or {}
            reasons = "".join(f"; {reason}: {count:,}" for reason, count in refused.items())
            said.append(f"{self.asked:,} rewritings asked for{reasons}")
        return said


def augment(
    real: Examples,
    kind: str,
    count: int,
    seed: int = 0,
    *,
    settings: AugmentationSettings | None = None,
    engine: Engine | None = None,
    rewriter: Rewriter | None = None,
) -> Examples:
    """``count`` augmented rows: :func:`augment_with_report` without the report."""
    return augment_with_report(
        real, kind, count, seed, settings=settings, engine=engine, rewriter=rewriter
    ).examples


def augment_with_report(
    real: Examples,
    kind: str,
    count: int,
    seed: int = 0,
    *,
    settings: AugmentationSettings | None = None,
    engine: Engine | None = None,
    rewriter: Rewriter | None = None,
) -> Augmented:
    """Copy whole real slates, positives with their negatives, and change what ``kind`` says.

    The copies have ids of their own, the origin ``augment:<kind>``, their labels, and the weight 1;
    the last slate is cut so that there are exactly ``count`` rows, as in
    :func:`~footfall.finetune.controls.oversample_real`. Where there are too few changed slates,
    they are repeated. Numeric features stay those of the original row.

    Parameters
    ----------
    real:
        Rows of the real log, of the training part.
    kind:
        ``crop``, ``mask``, ``reorder``, ``rotate`` change the history, ``paraphrase`` and
        ``back-translation`` the query.
    count:
        Rows to make.
    seed:
        Of all that is drawn.
    settings:
        How far a copy may be from its original.
    engine, rewriter:
        What writes queries in other words; an engine, or anything else with the same interface.
        Back-translation can do without where the settings name two models.

    Raises
    ------
    EmptyLogError
        If there are no rows, or no slate has what is changed.
    DataError
        If a row is not real.
    SettingError
        If ``count`` is negative, the kind unknown, or nothing is there to write queries.
    EngineAnswerError
        If no rewriting of any query can be used.
    """
    settings = settings or AugmentationSettings()
    _check(real, kind, count)
    rng = np.random.default_rng(seed)
    if kind in QUERY_KINDS:
        if rewriter is None:
            rewriter = open_rewriter(real, kind, settings, engine, seed)
        return _with_queries(real, kind, count, rng, rewriter, settings)
    return _with_histories(real, kind, count, rng, settings)


def needs_engine(kind: str, settings: AugmentationSettings) -> bool:
    """Whether a language model writes the queries of this kind of augmentation.

    Raises
    ------
    SettingError
        If there is no such kind.
    """
    _check_kind(kind)
    translated = kind == "back-translation" and settings.forth_model is not None
    return kind in QUERY_KINDS and not translated


def open_rewriter(
    real: Examples,
    kind: str,
    settings: AugmentationSettings,
    engine: Engine | None,
    seed: int = 0,
) -> Rewriter:
    """What writes the queries of ``real`` in other words.

    Raises
    ------
    SettingError
        If neither an engine nor (for back-translation) two translation models are given.
    """
    if kind == "back-translation" and settings.forth_model and settings.back_model:
        from footfall.finetune.translation import TranslationModel

        forth, back = TranslationModel(settings.forth_model), TranslationModel(settings.back_model)
        return ModelBackTranslator(forth, back)
    if engine is None:
        raise SettingError(
            f"{kind} needs a language model.",
            hint="Give an engine; back-translation also takes forth_model and back_model.",
        )
    language = settings.language
    if language is None:
        locale = language_of(queries_of_slates(real)).default_locale()
        language = locale.split("_", maxsplit=1)[0]
    if kind == "paraphrase":
        return Paraphraser(engine, language, settings, seed)
    pivot = settings.pivot or ("zh" if language == "en" else "en")
    if pivot == language:
        raise SettingError(
            f"pivot: the queries are in {language!r} already.", hint="Name another language."
        )
    return BackTranslator(engine, language, pivot, settings, seed)


def _check_kind(kind: str) -> None:
    if kind not in AUGMENTATIONS:
        raise SettingError(
            f"kind: {kind!r} is unknown.", hint=f"Kinds: {', '.join(AUGMENTATIONS)}."
        )


def _check(real: Examples, kind: str, count: int) -> None:
    _check_kind(kind)
    if count < 0:
        raise SettingError(f"count: {count} is negative.")
    if not len(real):
        raise EmptyLogError("There are no real examples to augment.")
    if real.synthetic.any():
        raise DataError(
            "The examples to augment hold rows that are not real (origin).",
            hint="Augment real.parquet, which `footfall fuse` writes.",
        )


def _with_histories(
    real: Examples,
    kind: str,
    count: int,
    rng: np.random.Generator,
    settings: AugmentationSettings,
) -> Augmented:
    histories = [history or [] for history in real.table["shopper_history"].to_pylist()]
    _, first = np.unique(real.slate_numbers(), return_index=True)
    long = [len(histories[row]) >= settings.least_history for row in first]
    eligible = _eligible(np.flatnonzero(long), f"a history of {settings.least_history} items")
    rows, copy = draw_slates(real, count, rng, eligible)
    change = HISTORY_CHANGES[kind]
    _, drawn = np.unique(copy, return_index=True)
    changed = [change(histories[row], settings, rng) for row in rows[drawn]]
    copies = real.take(rows)
    profiles = copies.column("shopper_profile")
    lines = [
        shopper_line(profile or "", changed[number])
        for profile, number in zip(profiles, copy, strict=True)
    ]
    copies = copies.with_column("shopper_history", [changed[number] for number in copy])
    copies = copies.with_column("shopper_text", lines)
    return Augmented(_finished(copies, copy, kind), len(first), len(eligible), len(changed))


def _with_queries(
    real: Examples,
    kind: str,
    count: int,
    rng: np.random.Generator,
    rewriter: Rewriter,
    settings: AugmentationSettings,
) -> Augmented:
    queries = queries_of_slates(real)
    eligible = _eligible(np.flatnonzero([bool(query) for query in queries]), "a query")
    found = rewrite_slates(real, count, rng, rewriter, settings)
    sizes = np.bincount(real.slate_numbers())
    # Refused rewritings leave gaps; the slates that have one are repeated until there are enough.
    order = np.arange(len(found.slates))
    while len(order) and sizes[found.slates[order]].sum() < count:
        order = np.r_[order, rng.permutation(len(found.slates))]
    rows, copy = rows_of_slates(real, found.slates[order])
    rows, copy = rows[:count], copy[:count]
    written = [found.queries[order[number]] for number in copy]
    copies = real.take(rows).with_column("query", pa.array(written, pa.string()))
    changed = len(np.unique(order[copy])) if len(copy) else 0
    return Augmented(
        _finished(copies, copy, kind),
        len(queries),
        len(eligible),
        changed,
        found.asked,
        found.refused,
    )


def _eligible(slates: Array, what: str) -> Array:
    if not len(slates):
        raise EmptyLogError(
            f"None of the real slates has {what}.", hint="Use another kind of augmentation."
        )
    return slates


def _finished(copies: Examples, copy: Array, kind: str) -> Examples:
    weighed = copies.with_column("weight", np.ones(len(copies)))
    return rename_copies(weighed, copy, f"augment:{kind}")
