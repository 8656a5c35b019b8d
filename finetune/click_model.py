"""The click-through classifier: fit, predict, save, load."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from footfall.errors import (
    EmptyLogError,
    FootfallError,
    InputError,
    MissingPartError,
    NoResponseError,
    TrainingError,
)
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.example_table import FEATURE_NAMES, Examples
from footfall.finetune.model_card import card_text, describe_examples, library_versions
from footfall.finetune.probability import correct_log_odds, negative_rates
from footfall.finetune.standardise import Standardiser

if TYPE_CHECKING:
    from footfall.finetune.batches import PairTable

__all__ = ["ClickModel"]

Array = np.ndarray[Any, Any]


class ClickModel:
    """Probability that a shopper responds to an item.

    Two towers of one text encoder (shopper and query; item) whose cosines are scaled and added to
    numeric features; the encoder is tuned by low-rank adapters. See
    :class:`~footfall.finetune.network.ClickNetwork`.

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
        MissingPartError
            If torch, transformers, peft or accelerate is not installed.
        TrainingError
            If training cannot go on.
        """
        train = train.take(train.weights > 0)
        _check_rows(train, "training")
        if validation is not None:
            _check_validation(validation)
        _check_parts()
        fingerprint = _fingerprint(self.settings, train, validation)
        if folder is None:
            with tempfile.TemporaryDirectory(prefix="footfall-") as scratch:
                self._train(train, validation, Path(scratch) / "checkpoints", fingerprint, False)
            return self
        folder = Path(folder)
        if resume and _finished(folder, fingerprint):
            self.__dict__.update(type(self).load(folder).__dict__)
            return self
        checkpoints = folder.with_name(folder.name + ".checkpoints")
        self._train(train, validation, checkpoints, fingerprint, resume)
        self.save(folder)
        shutil.rmtree(checkpoints, ignore_errors=True)
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

        from footfall.finetune.network import build_network, load_tokenizer
        from footfall.finetune.training import train_network

        set_seed(self.settings.seed)
        self._standardiser = Standardiser.fit(train)
        self._tokenizer = load_tokenizer(self.settings)
        self._network = _placed(
            build_network(self.settings, len(FEATURE_NAMES)), self.settings.device
        )
        figures = train_network(
            self._network,
            self.settings,
            self._pairs(train),
            None if validation is None else self._pairs(validation),
            folder=checkpoints,
            fingerprint=fingerprint,
            resume=resume,
        )
        self.card = {
            "fingerprint": fingerprint,
            "training_rows": describe_examples(train),
            "validation_rows": None if validation is None else describe_examples(validation),
            "training": figures.as_dict(),
            "settings": self.settings.model_dump(mode="json"),
            "versions": library_versions(),
        }

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
        probability: Array = 0.5 * (1.0 + np.tanh(0.5 * log_odds))
        return np.clip(probability, 1e-9, 1.0 - 1e-9)

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
        return log_odds

    def _pairs(self, examples: Examples) -> PairTable:
        from footfall.finetune.batches import PairTable

        assert self._standardiser is not None
        pairs = PairTable.from_examples(
            examples,
            self._standardiser.apply(examples),
            self._tokenizer,
            self.settings.max_tokens,
        )
        if self._network.split is None or not len(pairs):
            return pairs
        from footfall.finetune.hidden_states import with_states

        return with_states(pairs, self._network.split, self.settings)

    def save(self, folder: str | Path) -> Path:
        """Write adapter (or encoder), head, settings and model card; replaces ``folder`` whole.

        Raises
        ------
        TrainingError
            If the model has not been trained, or ``folder`` holds something else.
        """
        from safetensors.torch import save_file

        if self._network is None or self._standardiser is None:
            raise TrainingError("The classifier has not been trained.", hint="Call fit first.")
        folder = Path(folder)
        _check_replaceable(folder)
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        encoder = self._network.encoder
        if self.settings.tuning == "lora":
            # "auto" would ask the model hub whether the vocabulary was changed.
            encoder.save_pretrained(str(partial / "adapter"), save_embedding_layers=False)
        else:
            encoder.save_pretrained(str(partial / "encoder"))
        head = {
            name: value.detach().cpu().contiguous()
            for name, value in self._network.state_dict().items()
            if not name.startswith("encoder.")
        }
        save_file(head, str(partial / "head.safetensors"))
        _write_json(partial / "settings.json", self.settings.model_dump(mode="json"))
        _write_json(partial / "features.json", self._standardiser.model_dump(mode="json"))
        _write_json(partial / "card.json", self.card)
        (partial / "README.md").write_text(card_text(self.card), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
        return folder

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
            settings = ClickSettings.model_validate_json((folder / "settings.json").read_bytes())
            features = Standardiser.model_validate_json((folder / "features.json").read_bytes())
            card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder} does not hold a click-through model: {error}",
                hint="Name a folder written by ClickModel.save or `footfall train`.",
            ) from error
        _check_parts()
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from footfall.finetune.network import build_network, load_tokenizer

        model = cls(settings)
        model.card = card
        model._standardiser = features
        model._tokenizer = load_tokenizer(settings)
        try:
            network = build_network(settings, len(features.names), trained=folder)
            network.load_state_dict(load_file(str(folder / "head.safetensors")))
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            if isinstance(error, FootfallError):
                raise
            raise InputError(f"{folder}: the weights cannot be read: {error}") from error
        model._network = _placed(network, settings.device).eval()
        return model


def _placed(network: Any, device: str) -> Any:
    import torch

    return network.to("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")


def _check_parts() -> None:
    for part in ("torch", "transformers", "peft", "accelerate"):
        if find_spec(part) is None:
            raise MissingPartError(
                f"The package {part} is not installed.",
                hint="Install it with `pip install 'footfall[train,models]'`.",
            )


def _check_rows(examples: Examples, name: str) -> None:
    if not len(examples):
        raise EmptyLogError(
            f"There are no {name} examples with a weight.",
            hint="Check the time span and the label.",
        )
    positives = int(examples.labels.sum())
    if positives in {0, len(examples)}:
        raise NoResponseError(
            f"All {len(examples)} {name} examples have the label {bool(positives)}.",
            hint="Learning needs both: check the label, or read a log that holds what was shown.",
        )


def _check_validation(validation: Examples) -> None:
    _check_rows(validation, "validation")
    if validation.synthetic.any():
        raise InputError(
            "The validation examples hold synthetic rows.",
            hint="Stopping early on them would reward likeness to the simulator; use real rows.",
        )


def _check_replaceable(folder: Path) -> None:
    if not folder.exists() or (folder / "settings.json").is_file():
        return
    if folder.is_dir() and not any(folder.iterdir()):
        return
    raise TrainingError(f"{folder} exists and is not a saved model.", hint="Choose another folder.")


def _finished(folder: Path, fingerprint: str) -> bool:
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(card.get("fingerprint") == fingerprint)


def _fingerprint(settings: ClickSettings, train: Examples, validation: Examples | None) -> str:
    """Identify a training: settings and all columns of the rows."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for part in (train, validation):
        if part is None:
            continue
        for column in part.table.columns:
            digest.update(repr(column.to_pylist()).encode())
    return digest.hexdigest()


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
