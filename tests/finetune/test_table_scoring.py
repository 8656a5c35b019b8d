"""Scores of tables and logs of any size."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_shop import day

pytest.importorskip("torch")
pytest.importorskip("peft")

from tiny_models import save_tiny_model

from footfall.errors import DataError, SettingError, TrainingError
from footfall.finetune import (
    ClickModel,
    ClickSettings,
    log_batches,
    parquet_batches,
    read_examples,
    score_batches,
)

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def model(tmp_path_factory, text_decides):
    """Trained on slates of whose negatives a fifth was kept."""
    encoder = save_tiny_model(tmp_path_factory.mktemp("encoder") / "bert")
    train = text_decides(20, 1)
    settings = ClickSettings(
        encoder=encoder, device="cpu", max_tokens=24, max_steps=4, batch_size=24, epochs=9
    )
    return ClickModel(settings).fit(
        train.with_column("sample_rate", np.where(train.labels, 1.0, 0.2))
    )


def test_a_table_is_scored_portion_by_portion_in_order(model, text_decides, tmp_path):
    examples = text_decides(10, 3)
    pq.write_table(examples.table, tmp_path / "rows.parquet")
    source = parquet_batches(tmp_path / "rows.parquet", needed=model.needed_columns, rows_at_once=7)
    assert score_batches(model, source, tmp_path / "scores.parquet") == 60
    scores = pq.read_table(tmp_path / "scores.parquet")
    assert scores["row"].to_pylist() == list(range(60))
    assert scores["example_id"].equals(examples.table["example_id"])
    expected = model.predict_log_odds(examples)
    assert np.ptp(expected) > 0
    assert scores["log_odds"].to_numpy() == pytest.approx(expected, abs=1e-5)
    assert scores["probability"].to_numpy() == pytest.approx(
        model.predict_proba(examples), abs=1e-6
    )


def test_sampled_negatives_are_corrected_without_any_label(model, text_decides, tmp_path):
    examples = text_decides(6, 3)
    names = ["item_text", "shopper_text", *(n for n in model.settings.features if n != "has_query")]
    pq.write_table(examples.table.select(names), tmp_path / "rows.parquet")
    found = {}
    for correct in (False, True):
        source = parquet_batches(tmp_path / "rows.parquet", needed=model.needed_columns)
        score_batches(model, source, tmp_path / "scores.parquet", correct_prior=correct)
        found[correct] = pq.read_table(tmp_path / "scores.parquet")
    # What the source does not have is not in the scores either.
    assert found[True].column_names == ["row", "log_odds", "probability"]
    odds = {name: np.exp(table["log_odds"].to_numpy()) for name, table in found.items()}
    assert odds[True] == pytest.approx(0.2 * odds[False])
    probability = found[True]["probability"].to_numpy()
    assert probability == pytest.approx(odds[True] / (1 + odds[True]))


def test_the_rate_of_training_is_kept_with_the_model(model, tmp_path):
    assert model.negative_rate == pytest.approx(0.2)
    model.save(tmp_path / "model")
    again = ClickModel.load(tmp_path / "model")
    assert again.negative_rate == model.negative_rate
    assert "kept at a rate of 0.2" in (tmp_path / "model" / "README.md").read_text()
    del again.card["negative_rate"]
    with pytest.raises(TrainingError, match="at what rate"):
        list(again.predict_batches([], correct_prior=True))


def test_a_calibrated_models_rate_is_that_of_the_rows_it_is_calibrated_on(model, text_decides):
    train, validation = text_decides(20, 1), text_decides(20, 2)
    sampled = {
        rate: rows.with_column("sample_rate", np.where(rows.labels, 1.0, rate))
        for rate, rows in ((0.2, train), (0.5, validation))
    }
    rates = {}
    for calibration in ("none", "platt"):
        settings = model.settings.model_copy(update={"calibration": calibration})
        rates[calibration] = ClickModel(settings).fit(sampled[0.2], sampled[0.5]).negative_rate
    assert rates == {"none": pytest.approx(0.2), "platt": pytest.approx(0.5)}


def test_results_of_duckdb_and_arrow_are_scored(model, text_decides):
    examples = text_decides(8, 3)
    expected = model.predict_proba(examples)
    names = ["item_text", "shopper_text", *(n for n in model.settings.features if n != "has_query")]
    connection = duckdb.connect()
    connection.register("rows_to_score", examples.table)
    query = f"SELECT {', '.join(names)} FROM rows_to_score"
    reader = connection.sql(query).to_arrow_reader(13)
    for batches in (reader, examples.table.select(names).to_batches(max_chunksize=20)):
        parts = list(model.predict_batches(batches))
        assert len(parts) > 1
        scores = pa.concat_tables(parts)
        assert scores["probability"].to_numpy() == pytest.approx(expected, abs=1e-6)
        # Rows without an id are numbered through.
        assert scores["example_id"].to_pylist() == [str(n) for n in range(48)]
    with pytest.raises(DataError, match=r"item_text are missing|item_text.*missing"):
        list(model.predict_batches(examples.table.select(names[1:]).to_batches()))


def test_a_log_is_scored_as_its_examples_are(model, shop, tmp_path):
    chosen = {"until": day(12), "start": day(12)}
    source = log_batches(shop.log, **chosen, slates_at_once=1)
    rows = score_batches(model, source, tmp_path / "scores.parquet")
    examples = read_examples(shop.log, **chosen)
    assert rows == len(examples) == 2
    scores = pq.read_table(tmp_path / "scores.parquet")
    assert scores["label"].to_pylist() == examples.table["label"].to_pylist()
    assert scores["item_id"].to_pylist() == examples.table["item_id"].to_pylist()
    assert scores["log_odds"].to_numpy() == pytest.approx(
        model.predict_log_odds(examples), abs=1e-5
    )


def test_what_goes_wrong_leaves_no_scores(model, text_decides, tmp_path):
    table = text_decides(4, 3).table
    broken = table.set_column(
        table.column_names.index("item_text"), "item_text", pa.array(["soup"] * 23 + [None])
    )
    pq.write_table(broken, tmp_path / "rows.parquet")
    needed = model.needed_columns
    with pytest.raises(DataError, match="row 24"):
        score_batches(
            model,
            parquet_batches(tmp_path / "rows.parquet", needed=needed, rows_at_once=6),
            tmp_path / "scores.parquet",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
    with pytest.raises(SettingError, match="does not exist"):
        score_batches(
            model,
            parquet_batches(tmp_path / "rows.parquet", needed=needed),
            tmp_path / "no" / "scores.parquet",
        )
    pq.write_table(table.slice(0, 0), tmp_path / "rows.parquet")
    source = parquet_batches(tmp_path / "rows.parquet", needed=needed)
    assert score_batches(model, source, tmp_path / "scores.parquet") == 0
    assert pq.read_table(tmp_path / "scores.parquet").num_rows == 0
