"""The click-through classifier: fit, predict, save, load."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from footfall.errors import FootfallError, InputError, SettingError, TrainingError
from footfall.finetune.calibration import Calibration, cross_fitted
from footfall.finetune.categories import Categories
from footfall.finetune.click_checks import (
    check_rows,
    check_validation,
    training_fingerprint,
)
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.example_table import Examples
from footfall.finetune.model_card import card_text, describe_examples, library_versions
from footfall.finetune.model_files import (
    check_parts,
    finished,
    load_tensors,
    read_model_file,
    whole_folder,
    write_json,
)
from footfall.finetune.probability import (
    correct_log_odds,
    mean_negative_rate,
    negative_rates,
    probability_of,
)
from footfall.finetune.row_columns import complete_examples, needed_columns
from footfall.finetune.standardise import Standardiser
from footfall.finetune.tracking import check_tracker

if TYPE_CHECKING:
    from footfall.finetune.batches import PairTable

__all__ = ["ClickModel"]

Array = np.ndarray[Any, Any]


class ClickModel:
    """Probability that a shopper responds to an item.

    One text encoder reads shopper, query and item, as two towers or as one sequence; what they say
    is added to what numbers and categories say. See :mod:`footfall.finetune.network`.

    Attributes
    ----------
    settings:
        What decides the training.
    card:
        Figures of the training: data counts, seed, steps, losses, speed. Empty before ``fit``.
    """

    def __init__(self, settings: ClickSettings | None = None) -> None:
        self.settings = settings or ClickSettings()
        self.card: dict[str, Any] = {}
        self._network: Any = None
        self._tokenizer: Any = None
        self._standardiser: Standardiser | None = None
        self._categories = Categories()
        self._calibration: Calibration | None = None
        #: What the weights are: those of a training, or made for serving by an export.
        self._form = "trained"

    def fit(
        self,
        train: Examples,
        validation: Examples | None = None,
        folder: str | Path | None = None,
        *,
        resume: bool = False,
    ) -> Self:
        """Train on weighted rows; stop early and keep the best by log loss on ``validation``.

        Parameters
        ----------
        train:
            Rows, real and synthetic; rows of weight 0 are left out.
        validation:
            Real rows, later than or of other people than the training rows.
        folder:
            Where the model is saved at the end. Checkpoints lie beside it, in
            ``<folder>.checkpoints``, until then. Without a folder nothing is kept on disk.
        resume:
            Go on after an interruption: from the newest complete checkpoint, or return the saved
            model if the same training has ended already.

        Raises
        ------
        EmptyLogError
            If there are no rows.
        NoResponseError
            If the rows have one label only.
        InputError
            If validation rows are not real.
        SettingError
            If the settings need validation rows, an encoder of another architecture, or a folder
            for the tracker's records.
        MissingPartError
            If torch, transformers, peft, accelerate or the tracker is not installed.
        TrainingError
            If training cannot go on, or several processes train without a folder.
        """
        train = train.take(train.weights > 0)
        check_rows(train, "training")
        if validation is not None:
            check_validation(validation)
        elif self.settings.calibration != "none":
            raise SettingError(
                f"calibration is {self.settings.calibration!r}, and there are no validation rows.",
                hint='Give some, or use calibration = "none".',
            )
        check_tracker(self.settings, folder)
        check_parts()
        from footfall.finetune.training_folder import train_into

        fingerprint = training_fingerprint(self.settings, train, validation)
        folder = None if folder is None else Path(folder)
        if folder is not None and resume and finished(folder, fingerprint):
            self.__dict__.update(type(self).load(folder).__dict__)
            return self

        def work(checkpoints: Path) -> None:
            self._train(train, validation, checkpoints, fingerprint, resume and folder is not None)

        train_into(folder, self.settings.device, work, self.save)
        return self

    def _train(
        self,
        train: Examples,
        validation: Examples | None,
        checkpoints: Path,
        fingerprint: str,
        resume: bool,
    ) -> None:
        from transformers import set_seed

        from footfall.finetune.backbone import load_tokenizer
        from footfall.finetune.click_task import click_task
        from footfall.finetune.network import build_network
        from footfall.finetune.training import planned_steps, train_network

        settings = self.settings
        set_seed(settings.seed)
        self._standardiser = Standardiser.fit(train, settings.features)
        self._categories = Categories.fit(train, settings.categories, settings.smallest_category)
        self._calibration, self._form = None, "trained"
        self._tokenizer = load_tokenizer(settings.encoder)
        network = build_network(
            settings,
            len(self._standardiser.names),
            categories=self._categories.sizes,
            steps=planned_steps(settings, len(train)),
        )
        self._network = _placed(network, settings.device)
        validation_pairs = None if validation is None else self._pairs(validation)
        figures = train_network(
            self._network,
            settings,
            click_task(self._network, settings, self._pairs(train), validation_pairs),
            folder=checkpoints,
            fingerprint=fingerprint,
            resume=resume,
        )
        self.card = {
            "fingerprint": fingerprint,
            "training_rows": describe_examples(train),
            "validation_rows": None if validation is None else describe_examples(validation),
            "negative_rate": round(mean_negative_rate(self._scaled_by(train, validation)), 9),
            "training": figures.as_dict(),
            "calibration": None if validation is None else self._calibrate(validation),
            "settings": settings.model_dump(mode="json"),
            "versions": library_versions(),
        }

    def _scaled_by(self, train: Examples, validation: Examples | None) -> Examples:
        """The rows whose sampling the probabilities follow: a calibrated model's, validation's."""
        calibrated = validation is not None and self.settings.calibration != "none"
        return validation if calibrated and validation is not None else train

    def _calibrate(self, validation: Examples) -> dict[str, float | str] | None:
        kind = self.settings.calibration
        if kind == "none":
            return None
        rows = (self.predict_log_odds(validation), validation.labels, validation.weights)
        figures = cross_fitted(kind, *rows, validation.slate_numbers())
        self._calibration = Calibration.fit(kind, *rows)
        return figures

    def predict_proba(self, examples: Examples, *, correct_prior: bool = False) -> Array:
        """Probabilities of a response, float64, shape (rows,), each in (0, 1).

        Parameters
        ----------
        examples:
            Rows; their labels are not looked at, except to find at what rate negatives were
            sampled when ``correct_prior`` is set.
        correct_prior:
            False: the probability within slates as they are in the log, sampled negatives and
            all. True: on the scale of every exposure, by the offset ``ln(sample rate)`` on the
            log-odds; see :func:`~footfall.finetune.probability.correct_log_odds`.

        Raises
        ------
        TrainingError
            If the model has not been trained, or gives values that are not finite.
        """
        log_odds = self.predict_log_odds(examples)
        if correct_prior:
            log_odds = correct_log_odds(log_odds, negative_rates(examples))
        return probability_of(log_odds)

    def predict_log_odds(self, examples: Examples) -> Array:
        """Log-odds of a response on the scale of the slates, float64, shape (rows,)."""
        if self._network is None:
            raise TrainingError(
                "The classifier has not been trained.", hint="Call fit, or ClickModel.load(folder)."
            )
        from footfall.finetune.prediction import predict_log_odds

        log_odds = predict_log_odds(self._network, self._pairs(examples))
        if not np.isfinite(log_odds).all():
            raise TrainingError(
                "The classifier's predictions are not finite.", hint="Train with a lower rate."
            )
        return log_odds if self._calibration is None else self._calibration.apply(log_odds)

    @property
    def negative_rate(self) -> float:
        """Rate at which the negatives that the model learnt from were kept.

        Raises
        ------
        TrainingError
            If its card does not say so: it has not been trained, or by an earlier version.
        """
        rate = self.card.get("negative_rate")
        if rate is None:
            raise TrainingError(
                "The model's card does not say at what rate negatives were sampled.",
                hint="Train it again, or score without the correction.",
            )
        return float(rate)

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """Columns that rows to score must have."""
        return needed_columns(self.settings.features, self._categories.names)

    def predict_batches(
        self, batches: Iterable[pa.RecordBatch], *, correct_prior: bool = False
    ) -> Iterator[pa.Table]:
        """Score a table that need not fit in memory, batch by batch.

        Parameters
        ----------
        batches:
            A ``pyarrow.RecordBatchReader`` (of an Arrow dataset, a Parquet file or a DuckDB
            result) or anything that gives record batches. Columns are those of examples; only
            :attr:`needed_columns` must be there.
        correct_prior:
            Probabilities on the scale of every exposure, by :attr:`negative_rate`: rows to score
            need neither labels nor negatives of their own.

        Yields
        ------
        pyarrow.Table
            For each batch the score table of :meth:`Examples.score_table`, with ``example_id``.

        Raises
        ------
        DataError
            If a needed column or a value in it is missing.
        """
        offset = np.log(self.negative_rate) if correct_prior else 0.0
        before = 0
        for batch in batches:
            table = pa.Table.from_batches([batch])
            part = complete_examples(table, needed=self.needed_columns, rows_before=before)
            scores = part.score_table(probability_of(self.predict_log_odds(part) + offset))
            yield scores.add_column(0, "example_id", part.table["example_id"])
            before += batch.num_rows

    def _pairs(self, examples: Examples) -> PairTable:
        from footfall.finetune.batches import PairTable
        from footfall.finetune.hidden_states import with_states

        assert self._standardiser is not None
        pairs = PairTable.from_examples(
            examples,
            self._standardiser.apply(examples),
            self._tokenizer,
            self.settings.max_tokens,
            categories=self._categories.apply(examples),
            whole=self.settings.architecture == "cross_encoder",
        )
        split = self._network.split
        return pairs if split is None else with_states(pairs, split, self.settings)

    def save(self, folder: str | Path) -> Path:
        """Write adapter (or encoder), head, settings and model card; replaces ``folder`` whole.

        Raises
        ------
        TrainingError
            If the model has not been trained, or ``folder`` holds something else.
        """
        if self._network is None or self._standardiser is None:
            raise TrainingError("The classifier has not been trained.", hint="Call fit first.")
        from footfall.finetune.saved_network import save_network

        with whole_folder(Path(folder)) as partial:
            save_network(self._network, self._tokenizer, self.settings, partial, self._form)
            write_json(partial / "features.json", self._standardiser.model_dump(mode="json"))
            write_json(partial / "categories.json", self._categories.model_dump(mode="json"))
            if self._calibration is not None:
                write_json(partial / "calibration.json", self._calibration.model_dump(mode="json"))
            write_json(partial / "card.json", self.card)
            (partial / "README.md").write_text(card_text(self.card), encoding="utf-8")
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a saved model.

        Raises
        ------
        InputError
            If the folder does not hold a model.
        MissingPartError
            If torch, transformers or peft is not installed.
        """
        folder = Path(folder)
        try:
            settings = ClickSettings.model_validate_json(read_model_file(folder, "settings.json"))
            model = cls(settings)
            model._standardiser = Standardiser.model_validate_json(
                read_model_file(folder, "features.json")
            )
            model.card = json.loads(read_model_file(folder, "card.json"))
            if (folder / "categories.json").is_file():
                model._categories = Categories.model_validate_json(
                    read_model_file(folder, "categories.json")
                )
            if (folder / "calibration.json").is_file():
                model._calibration = Calibration.model_validate_json(
                    read_model_file(folder, "calibration.json")
                )
        except ValueError as error:
            raise InputError(
                f"{folder} does not hold a click-through model: {error}",
                hint="Name a folder written by ClickModel.save or `footfall train`.",
            ) from error
        check_parts()
        model._load_weights(folder)
        return model

    def _load_weights(self, folder: Path) -> None:
        from footfall.finetune.network import build_network
        from footfall.finetune.saved_network import form_of, load_parts

        settings = self.settings
        self._form = form_of(self.card)
        self._tokenizer, serving = load_parts(settings, folder, self._form)
        # Version 0.1.0 had the numbers' weights beside the head's.
        head = {
            f"head.{name}" if name.startswith(("linear.", "hidden.")) else name: value
            for name, value in load_tensors(folder / "head.safetensors").items()
        }
        assert self._standardiser is not None
        try:
            network = build_network(
                settings,
                len(self._standardiser.names),
                categories=self._categories.sizes,
                trained=folder,
                serving=serving,
            )
            network.load_head(head)
        except (OSError, ValueError, RuntimeError) as error:
            if isinstance(error, FootfallError):
                raise
            raise InputError(f"{folder}: the weights cannot be read: {error}") from error
        device = "cpu" if self._form == "int8" else settings.device
        self._network = _placed(network, device).eval()


def _placed(network: Any, device: str) -> Any:
    from footfall.finetune.processes import local_device

    return network.to(local_device(device))
