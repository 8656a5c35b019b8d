"""Arms are trained once, and the test part is scored where it is asked for only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from footfall.errors import SettingError
from footfall.eval.arm_training import ArmTrainer
from footfall.finetune.click_model import ClickModel
from footfall.finetune.click_settings import ClickSettings
from footfall.finetune.example_table import EXAMPLE_SCHEMA, Examples

pytestmark = pytest.mark.train


def examples(name: str, slates: int) -> Examples:
    rows = [
        {
            "example_id": f"{name}/{slate}/{item}",
            "search_id": f"{name}/{slate}",
            "session_id": f"{name}/{slate}",
            "user_id": f"u{slate % 3}",
            "item_id": item,
            "query": item,
            "shopper_text": "纯牛奶",
            "shopper_profile": "纯牛奶",
            "shopper_history": [],
            "item_text": item,
            "label": (item == "soup") == (slate % 3 > 0),
            "weight": 1.0,
            "sample_rate": 1.0,
            "origin": "real",
            "item_cold": False,
            "user_cold": False,
        }
        for slate in range(slates)
        for item in ("soup", "soap")
    ]
    table = pa.Table.from_pylist(rows, schema=EXAMPLE_SCHEMA)
    for number, field in enumerate(EXAMPLE_SCHEMA):
        if field.type == pa.float64() and table[field.name].null_count:
            table = table.set_column(number, field, pa.array(np.zeros(len(rows))))
    return Examples(table)


@pytest.fixture
def trainer(tmp_path: Path) -> ArmTrainer:
    settings = ClickSettings(tuning="none", max_steps=2, max_tokens=8)
    parts = examples("train", 8), examples("validation", 4), examples("test", 5)
    return ArmTrainer(*parts, settings, tmp_path)


def test_scores_of_a_test_part_that_is_not_there_are_refused(tmp_path: Path) -> None:
    parts = examples("train", 8), examples("validation", 4), None
    without = ArmTrainer(*parts, ClickSettings(), tmp_path)
    with pytest.raises(SettingError, match="test part"):
        without.test_scores("arm", None, 0.0, 3)
    assert not list(tmp_path.iterdir())


def test_the_test_part_is_scored_where_asked_and_then_kept(
    trainer: ArmTrainer, tmp_path: Path
) -> None:
    weighed = trainer.train("arm", None, 0.0, 3)
    assert weighed.test is None
    assert len(weighed.validation) == 8
    assert not list(tmp_path.glob("*.test.parquet"))
    test = trainer.test_scores("arm", None, 0.0, 3)
    assert len(test) == 10
    kept = trainer.train("arm", None, 0.0, 3)
    assert kept.test is not None
    assert kept.test.equals(test)
    assert kept.validation.equals(weighed.validation)


def test_added_rows_weigh_alpha_times_their_own_and_budgets_are_shares(
    trainer: ArmTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[tuple[Examples, ClickSettings]] = []
    fit = ClickModel.fit

    def seen(model: ClickModel, rows: Examples, *rest: Any, **options: Any) -> ClickModel:
        fitted.append((rows, model.settings))
        return fit(model, rows, *rest, **options)

    monkeypatch.setattr(ClickModel, "fit", seen)
    added = examples("made", 2)
    added = added.with_column("weight", np.array([1.0, 2.0, 3.0, 4.0]))
    trainer.train("arm", added, 0.5, 3, budget=0.25)
    trainer.train("arm", added, 0.0, 4)
    (rows, settings), (real, whole) = fitted
    assert rows.weights.tolist() == [1.0] * 16 + [0.5, 1.0, 1.5, 2.0]
    assert real.table.equals(trainer.real.table)
    assert settings.epochs == whole.epochs / 4
    assert (settings.seed, whole.seed) == (3, 4)


def test_nothing_is_trained_twice(trainer: ArmTrainer, tmp_path: Path) -> None:
    first = trainer.test_scores("arm", examples("made", 2), 0.5, 3)
    (card,) = tmp_path.glob("*.json")
    written = card.stat().st_mtime_ns
    assert trainer.test_scores("arm", examples("made", 2), 0.5, 3).equals(first)
    assert trainer.train("arm", examples("made", 2), 0.5, 3).test is not None
    assert card.stat().st_mtime_ns == written
    trainer.train("arm", examples("made", 2), 0.5, 4)
    assert len(list(tmp_path.glob("*.json"))) == 2
