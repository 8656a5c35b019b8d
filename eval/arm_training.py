"""Trains the arms of a proof and keeps their scores, so that nothing is trained twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from footfall.errors import DataError, SettingError
from footfall.files import whole_file
from footfall.finetune.click_model import ClickModel
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.example_table import Examples
from footfall.finetune.standardise import with_derived

__all__ = ["ArmScores", "ArmTrainer", "ValidationObjective"]


@dataclass(frozen=True)
class ArmScores:
    """Score tables of one trained model on the validation and, where asked, the test part.

    ``seconds`` is what training and scoring took; ``steps`` and ``kept`` are of the model's card.
    """

    validation: pa.Table
    test: pa.Table | None
    seconds: float
    steps: int
    kept: str


class ArmTrainer:
    """Trains on the real rows and an arm's added rows.

    Parameters
    ----------
    real, validation, test:
        Examples of the three parts; no test where none is scored.
    settings:
        Of the classifier; the seed is replaced, and nothing is tracked.
    folder:
        Where scores are kept; a model trained with the same rows and settings is not trained
        again.
    """

    def __init__(
        self,
        real: Examples,
        validation: Examples,
        test: Examples | None,
        settings: ClickSettings,
        folder: Path,
    ) -> None:
        self.real, self.validation, self.test = real, validation, test
        # Of models that nobody keeps there is no course to record.
        self.settings = settings.model_copy(update={"report_to": "none"})
        self.folder = folder
        #: Seconds of every training asked for so far, those that were found done included.
        self.cost: dict[str, float] = {}
        self._parts = _digest(validation, *([] if test is None else [test]))

    def test_scores(self, arm: str, added: Examples | None, alpha: float, seed: int) -> pa.Table:
        """Test scores of one fully trained arm; arguments as of :meth:`train`."""
        scores = self.train(arm, added, alpha, seed, test=True)
        assert scores.test is not None
        return scores.test

    def train(
        self,
        arm: str,
        added: Examples | None,
        alpha: float,
        seed: int,
        *,
        budget: float = 1.0,
        test: bool = False,
    ) -> ArmScores:
        """Scores of one arm: ``added`` rows weigh ``alpha`` times their own weight.

        With an alpha of 0 the arm is the real rows, whatever would be added. A ``budget`` below 1
        takes that share of the epochs (of ``max_steps``, where these end it, no share). ``test``
        asks for the scores of the test part too.

        Raises
        ------
        SettingError
            If there is no test part to score.
        """
        if test and self.test is None:
            raise SettingError(
                "Scores of a test part are asked for, and the trainer was given none.",
                hint="Give it a test part, or ask for validation scores alone.",
            )
        rows = self.real
        if added is not None and alpha > 0 and len(added):
            weighed = added.with_column("weight", added.weights * alpha)
            rows = Examples.concat([self.real, weighed])
        settings = self.settings.model_copy(
            update={"seed": seed, "epochs": self.settings.epochs * budget}
        )
        read = ",".join(with_derived(settings.features))
        text = settings.model_dump_json() + read + self._parts + _digest(rows)
        key = hashlib.sha256(text.encode()).hexdigest()[:20]
        found = self._kept(key)
        if found is not None and (found.test is not None or not test):
            self.cost[key] = found.seconds
            return found
        began = monotonic()
        model = ClickModel(settings).fit(rows, self.validation)
        scores = ArmScores(
            validation=self.validation.score_table(model.predict_proba(self.validation)),
            test=self._test_scores(model) if test else None,
            seconds=monotonic() - began,
            steps=int(model.card["training"]["steps"]),
            kept=str(model.card["training"]["kept"]),
        )
        self.cost[key] = scores.seconds
        self._keep(key, scores, {"arm": arm, "alpha": alpha, "seed": seed, "budget": budget})
        return scores

    def _test_scores(self, model: ClickModel) -> pa.Table:
        assert self.test is not None
        return self.test.score_table(model.predict_proba(self.test))

    def _kept(self, key: str) -> ArmScores | None:
        card = self.folder / f"{key}.json"
        if not card.is_file():
            return None
        try:
            told = json.loads(card.read_text(encoding="utf-8"))
            validation = pq.read_table(self.folder / f"{key}.validation.parquet")
            test = None
            if told.get("test", True):
                test = pq.read_table(self.folder / f"{key}.test.parquet")
        except (OSError, ValueError) as error:
            raise DataError(
                f"{card}: the scores kept there cannot be read: {error}",
                hint="Delete that file: the arm is trained again.",
            ) from error
        return ArmScores(validation, test, told["seconds"], told["steps"], told["kept"])

    def _keep(self, key: str, scores: ArmScores, told: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for part, table in (("validation", scores.validation), ("test", scores.test)):
            if table is not None:
                with whole_file(self.folder / f"{key}.{part}.parquet") as partial:
                    pq.write_table(table, partial)
        # The card comes last: with it the scores are complete.
        told |= {"seconds": scores.seconds, "steps": scores.steps, "kept": scores.kept}
        told["test"] = scores.test is not None
        with whole_file(self.folder / f"{key}.json") as partial:
            partial.write_text(json.dumps(told), encoding="utf-8")


@dataclass(frozen=True)
class ValidationObjective:
    """What a weight of added rows is chosen by, on real validation rows; lower is better.

    Log loss in nats: of all rows, or (``cold``) of the rows of cold items or users, as long as the
    warm rows lose no more than ``most_harm`` against the real arm by what ``harm_by`` names (log
    loss in nats), a mean over the seeds. Where validation has fewer than ``fewest`` responses of
    cold rows, or of warm ones, too few to choose or to tell harm by, all rows count.
    """

    cold: bool = False
    most_harm: float = 0.002
    harm_by: tuple[Literal["log_loss", "auc"], ...] = ("log_loss", "auc")
    fewest: int = 20
    of: Literal["items", "users"] = "items"

    def uses_cold(self, validation: pa.Table) -> bool:
        """Whether cold rows decide, and whether there are enough of both kinds for that."""
        cold = self._cold(validation)
        labels = validation["label"].to_numpy()
        responses = min(int((labels & cold).sum()), int((labels & ~cold).sum()))
        return self.cold and responses >= self.fewest

    def score(self, validation: pa.Table) -> float:
        """Log loss of one model on the rows that decide."""
        cold = self._cold(validation)
        return _log_loss(validation, cold if self.uses_cold(validation) else np.ones_like(cold))

    def harm(self, validation: pa.Table, reference: pa.Table) -> float:
        """What the warm rows lose beside the real arm of the same seed, where cold ones decide.

        The larger of what log loss rises and AUC falls by: rows about new items can leave the one
        as it is and spoil the other.
        """
        if not self.uses_cold(validation):
            return 0.0
        warm = ~self._cold(validation)
        lost = {
            "log_loss": _log_loss(validation, warm) - _log_loss(reference, warm),
            "auc": _auc(reference, warm) - _auc(validation, warm),
        }
        return max(lost[name] for name in self.harm_by)

    def _cold(self, validation: pa.Table) -> np.ndarray[Any, Any]:
        column = "item_cold" if self.of == "items" else "user_cold"
        return np.asarray(validation[column].to_numpy(), bool)


def _log_loss(table: pa.Table, rows: np.ndarray[Any, Any]) -> float:
    from sklearn.metrics import log_loss

    if not rows.any():
        return 0.0
    return float(
        log_loss(
            table["label"].to_numpy()[rows],
            table["probability"].to_numpy()[rows],
            sample_weight=table["weight"].to_numpy()[rows],
            labels=[False, True],
        )
    )


def _auc(table: pa.Table, rows: np.ndarray[Any, Any]) -> float:
    """Area under the curve; a half where there is one label only."""
    from sklearn.metrics import roc_auc_score

    labels = table["label"].to_numpy()[rows]
    if labels.all() or not labels.any():
        return 0.5
    probability = table["probability"].to_numpy()[rows]
    return float(roc_auc_score(labels, probability, sample_weight=table["weight"].to_numpy()[rows]))


def _digest(*parts: Examples) -> str:
    """Of all columns that training or scoring reads."""
    digest = hashlib.sha256()
    for part in parts:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, part.table.schema) as writer:
            writer.write_table(part.table)
        digest.update(sink.getvalue())
    return digest.hexdigest()
