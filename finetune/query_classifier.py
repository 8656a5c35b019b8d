"""The query classifier: the category that a query is for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from footfall.errors import DataError, EmptyLogError, FootfallError, InputError, TrainingError
from footfall.finetune.model_card import library_versions
from footfall.finetune.model_files import (
    check_parts,
    finished,
    load_tensors,
    read_model_file,
    whole_folder,
    write_json,
)
from footfall.finetune.query_card import card_text, control_figures, figures_of
from footfall.finetune.query_classes import QueryClasses
from footfall.finetune.query_pairs import QueryPairs
from footfall.finetune.query_settings import QuerySettings
from footfall.finetune.tracking import check_tracker

if TYPE_CHECKING:
    from footfall.finetune.query_network import QueryTable

__all__ = ["QueryClassifier"]

Array = np.ndarray[Any, Any]


class QueryClassifier:
    """Probabilities of the categories that a query is for.

    Encoder, adapters and training are those of the click-through classifier.

    Attributes
    ----------
    settings:
        What decides the training.
    card:
        Figures of the training and of controls on the same validation rows. Empty before ``fit``.
    """

    def __init__(self, settings: QuerySettings | None = None) -> None:
        self.settings = settings or QuerySettings()
        self.card: dict[str, Any] = {}
        self._classes: QueryClasses | None = None
        self._network: Any = None
        self._tokenizer: Any = None
        self._form = "trained"

    @property
    def classes(self) -> tuple[str, ...]:
        """The category paths that are told apart, in the order of the probabilities."""
        return () if self._classes is None else self._classes.values

    def fit(
        self,
        queries: Sequence[str],
        categories: Sequence[str],
        weights: Any = None,
        *,
        validation: tuple[Sequence[str], Sequence[str]] | QueryPairs | None = None,
        folder: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on queries and the category paths of what was responded to.

        Repeated pairs are trained on once, with their number as weight.

        Parameters
        ----------
        queries, categories:
            Texts of the same length; categories are paths joined by ``" > "``.
        weights:
            How much each pair counts, shape (pairs,); 1 when not given.
        validation:
            Queries and categories that stop the training early and judge it.
        folder:
            Where the model is saved at the end. Checkpoints lie beside it until then.
        resume:
            Go on from the newest checkpoint, or return the model if it is done.

        Raises
        ------
        DataError
            If fewer than two categories have enough responses, or no validation row has a class.
        EmptyLogError
            If there are no pairs.
        MissingPartError
            If torch, transformers, peft, accelerate or the tracker is not installed.
        SettingError
            If the training is to be tracked, and there is no folder.
        TrainingError
            If training cannot go on.
        """
        train = QueryPairs.of(queries, categories, weights)
        if isinstance(validation, tuple):
            validation = QueryPairs.of(*validation)
        if not len(train):
            raise EmptyLogError("There are no queries to learn from.")
        self._classes = QueryClasses.fit(
            train.categories,
            train.weights,
            depth=self.settings.depth,
            smallest=self.settings.smallest_class,
        )
        if validation is not None and not (self._classes.apply(validation.categories) >= 0).any():
            raise DataError(
                "No validation query has a category that is a class.",
                hint="Take validation rows of the same catalogue.",
            )
        check_tracker(self.settings, folder)
        check_parts()
        from footfall.finetune.training_folder import train_into

        fingerprint = _fingerprint(self.settings, train, validation)
        place = None if folder is None else Path(folder)
        if place is not None and resume and finished(place, fingerprint):
            self.__dict__.update(type(self).load(place).__dict__)
            return self

        def work(checkpoints: Path) -> None:
            self._train(train, validation, checkpoints, fingerprint, resume and place is not None)

        train_into(place, self.settings.device, work, self.save)
        return self

    def _train(
        self,
        train: QueryPairs,
        validation: QueryPairs | None,
        checkpoints: Path,
        fingerprint: str,
        resume: bool,
    ) -> None:
        from transformers import set_seed

        from footfall.finetune.backbone import load_tokenizer
        from footfall.finetune.processes import local_device
        from footfall.finetune.query_network import QueryNetwork, query_task
        from footfall.finetune.text_network import build_reader
        from footfall.finetune.training import planned_steps, train_network

        settings = self.settings
        assert self._classes is not None
        set_seed(settings.seed)
        self._form = "trained"
        parts = [train] if validation is None else [train, validation]
        numbers = [self._classes.apply(part.categories) for part in parts]
        kept = [part.take(n >= 0) for part, n in zip(parts, numbers, strict=True)]
        targets = [n[n >= 0] for n in numbers]
        self._tokenizer = load_tokenizer(settings.encoder)
        reader = build_reader(settings, steps=planned_steps(settings, len(kept[0])))
        network = QueryNetwork(reader, len(self._classes))
        self._network = network.to(local_device(settings.device))
        tables = [self._table(p, t) for p, t in zip(kept, targets, strict=True)]
        figures = train_network(
            self._network,
            settings,
            query_task(self._network, settings, tables[0], tables[1] if validation else None),
            folder=checkpoints,
            fingerprint=fingerprint,
            resume=resume,
        )
        self._network.eval()
        names = ("training", "validation")
        self.card = {
            "fingerprint": fingerprint,
            "classes": len(self._classes),
            "rows": {
                name: _described(part, own)
                for name, part, own in zip(names, parts, kept, strict=False)
            },
            "training": figures.as_dict(),
            "validation": self._judged(kept, targets) if validation else None,
            "seen": _seen(*kept) if validation else None,
            "settings": settings.model_dump(mode="json"),
            "versions": library_versions(),
        }

    def _judged(
        self, kept: Sequence[QueryPairs], targets: Sequence[Array]
    ) -> dict[str, dict[str, float]]:
        train, validation = kept
        predicted = self.predict_proba(validation.queries).argmax(1)
        own = {"classifier": figures_of(predicted, targets[1], validation.weights)}
        return own | control_figures(train, targets[0], validation, targets[1])

    def _table(self, pairs: QueryPairs, targets: Array) -> QueryTable:
        from footfall.finetune.hidden_states import states_of
        from footfall.finetune.query_network import QueryTable

        settings = self.settings
        table = QueryTable.of(
            pairs.queries, targets, pairs.weights, self._tokenizer, settings.max_tokens
        )
        split = self._network.split
        if split is None:
            return table
        return replace(table, states=states_of(table.tokens, split, settings))

    def predict_proba(self, queries: Sequence[str]) -> Array:
        """Probabilities of the classes, float64, shape (queries, classes).

        Raises
        ------
        TrainingError
            If the classifier has not been trained.
        """
        if self._network is None:
            raise TrainingError(
                "The query classifier has not been trained.",
                hint="Call fit, or QueryClassifier.load(folder).",
            )
        from footfall.finetune.query_network import class_log_probabilities

        texts = list(queries)
        nothing = QueryPairs(texts, [], np.ones(len(texts)))
        table = self._table(nothing, np.zeros(len(texts), np.int64))
        probabilities: Array = np.exp(class_log_probabilities(self._network, table))
        return probabilities

    def predict(self, queries: Sequence[str]) -> list[str]:
        """The likeliest category path of each query."""
        return [self.classes[place] for place in self.predict_proba(queries).argmax(1)]

    def save(self, folder: str | Path) -> Path:
        """Write adapter (or encoder), head, classes, settings and card; replaces ``folder`` whole.

        Raises
        ------
        TrainingError
            If the classifier has not been trained, or ``folder`` holds something else.
        """
        if self._network is None or self._classes is None:
            raise TrainingError("The query classifier has not been trained.", hint="Call fit.")
        from footfall.finetune.saved_network import save_network

        with whole_folder(Path(folder)) as partial:
            save_network(self._network, self._tokenizer, self.settings, partial, self._form)
            write_json(partial / "classes.json", self._classes.model_dump(mode="json"))
            write_json(partial / "card.json", self.card)
            (partial / "README.md").write_text(card_text(self.card), encoding="utf-8")
        return Path(folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a saved classifier.

        Raises
        ------
        InputError
            If the folder does not hold one.
        MissingPartError
            If torch, transformers or peft is not installed.
        """
        folder = Path(folder)
        try:
            classes = QueryClasses.model_validate_json(read_model_file(folder, "classes.json"))
            model = cls(QuerySettings.model_validate_json(read_model_file(folder, "settings.json")))
            model.card = json.loads(read_model_file(folder, "card.json"))
        except ValueError as error:
            raise InputError(
                f"{folder} does not hold a query classifier: {error}",
                hint="Name a folder written by `footfall classify train` or `classify export`.",
            ) from error
        check_parts()
        from footfall.finetune.processes import local_device
        from footfall.finetune.query_network import QueryNetwork
        from footfall.finetune.saved_network import form_of, load_parts
        from footfall.finetune.text_network import build_reader

        model._classes, model._form = classes, form_of(model.card)
        model._tokenizer, serving = load_parts(model.settings, folder, model._form)
        try:
            reader = build_reader(model.settings, trained=folder, serving=serving)
            network = QueryNetwork(reader, len(classes))
            network.load_head(load_tensors(folder / "head.safetensors"))
        except (OSError, ValueError, RuntimeError) as error:
            if isinstance(error, FootfallError):
                raise
            raise InputError(f"{folder}: the weights cannot be read: {error}") from error
        device = "cpu" if model._form == "int8" else model.settings.device
        model._network = network.to(local_device(device)).eval()
        return model


def _fingerprint(settings: QuerySettings, train: QueryPairs, validation: QueryPairs | None) -> str:
    digest = hashlib.sha256(settings.model_dump_json().encode())
    for part in (train, validation):
        if part is not None:
            content = (part.queries, part.categories, part.weights.tolist())
            digest.update(repr(content).encode())
    return digest.hexdigest()


def _described(part: QueryPairs, kept: QueryPairs) -> dict[str, float]:
    responses = float(part.weights.sum())
    return {
        "pairs": len(kept),
        "queries": len(set(kept.queries)),
        "responses": responses,
        "left_out": responses - float(kept.weights.sum()),
    }


def _seen(train: QueryPairs, validation: QueryPairs) -> float:
    """Share of the validation responses whose very query is in training, too."""
    known = set(train.queries)
    seen = np.array([query in known for query in validation.queries])
    return float(validation.weights[seen].sum() / validation.weights.sum())
