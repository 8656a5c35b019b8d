"""Architecture, loss, features, calibration, order of rows, tracking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from small_shop import build

pytest.importorskip("torch")
pytest.importorskip("peft")

import torch
from tiny_models import save_tiny_model, tokenizer

from footfall.errors import MissingPartError, SettingError
from footfall.finetune import (
    ClickClassifier,
    ClickModel,
    ClickSettings,
    QueryClassifier,
    QuerySettings,
    tracking,
)
from footfall.finetune.batches import PairTable, SlateSampler, collate
from footfall.finetune.calibration import Calibration, calibration_error, cross_fitted
from footfall.finetune.categories import Categories
from footfall.finetune.network import CrossEncoder, build_network

BRIEF = ClickSettings(
    batch_size=24,
    epochs=2,
    learning_rate=1e-2,
    evaluations=2,
    device="cpu",
    max_tokens=48,
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("encoder") / "bert")


def settings_of(encoder, **changes):
    return ClickSettings.model_validate(BRIEF.model_dump() | {"encoder": encoder, **changes})


def area_under_curve(labels, scores):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(labels, scores)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_cross_encoder_reads_query_shopper_and_item_together(kind):
    words = tokenizer(kind)
    rows = [
        {"query": "tea", "shopper_text": "ann", "item_text": "mug"},
        {"query": None, "shopper_text": "ann", "item_text": "mug"},
        {"query": "tea", "shopper_text": "ann", "item_text": "mug"},
        {"query": "", "shopper_text": "bob", "item_text": "cup"},
    ]
    pairs = PairTable.from_examples(build(rows), np.zeros((4, 6)), words, 48, whole=True)
    assert len(pairs.tokens) == 3
    assert pairs.item.tolist() == [0, 1, 0, 2]
    read = [words.decode(pairs.padded(np.array([n]))[0][0]).replace(" ", "") for n in range(3)]
    if kind == "bert":
        assert read == ["[CLS]tea[SEP]ann[SEP]mug[SEP]", "[CLS]ann[SEP]mug[SEP]",
                        "[CLS][SEP]bob[SEP]cup[SEP]"]  # fmt: skip
    else:
        assert [text.split() for text in read] == [["tea", "ann", "mug"], ["ann", "mug"],
                                                   ["bob", "cup"]]  # fmt: skip
    batch = collate(pairs, [0, 1, 2])
    assert sum(len(ids) for ids, _ in batch["chunks"]) == 2


def test_a_cross_encoder_starts_at_the_numbers_and_learns(encoder, text_decides, tmp_path):
    settings = settings_of(encoder, architecture="cross_encoder", epochs=6, lora_targets="all")
    train, held_out = text_decides(80, 1), text_decides(20, 3)
    network = build_network(settings, 6)
    assert isinstance(network, CrossEncoder)
    assert not network.match.weight.any()
    model = ClickModel(settings).fit(train, folder=tmp_path / "model")
    assert model._network.match.weight.abs().sum() > 0
    again = ClickModel.load(tmp_path / "model")
    expected = model.predict_log_odds(held_out)
    assert again.predict_log_odds(held_out) == pytest.approx(expected, abs=1e-5)
    # Both sides of the sequence count.
    for column in ("shopper_text", "item_text"):
        other = held_out.with_column(column, ["another text"] * len(held_out))
        assert not np.allclose(model.predict_log_odds(other), expected)


def test_a_cross_encoder_takes_trained_layers(encoder, text_decides):
    settings = settings_of(encoder, architecture="cross_encoder", trained_layers=1)
    held_out = text_decides(8, 3)
    model = ClickModel(settings).fit(text_decides(20, 1))
    halves = model.predict_log_odds(held_out)
    model._network.split = None
    assert model.predict_log_odds(held_out) == pytest.approx(halves, abs=1e-5)


def test_losses_by_hand(encoder):
    batch = {
        "chunks": [(torch.tensor([[1, 7, 2]]), torch.ones(1, 3, dtype=torch.int64))],
        "query": torch.zeros(2, dtype=torch.int64),
        "shopper": torch.zeros(2, dtype=torch.int64),
        "item": torch.zeros(2, dtype=torch.int64),
        "asked": torch.zeros(2),
        "numbers": torch.zeros(2, 6),
        "categories": torch.zeros(2, 0, dtype=torch.int64),
        "targets": torch.tensor([1.0, 0.0]),
        "weights": torch.tensor([1.0, 3.0]),
    }
    # The cosine of a text with itself is 1, so the log-odds are the shopper's scale: 4.
    p = 1 / (1 + np.exp(-4.0))
    for loss, expected in (
        ("cross_entropy", (-np.log(p) - 3 * np.log(1 - p)) / 2),
        ("mse", ((1 - p) ** 2 + 3 * p**2) / 2),
    ):
        network = build_network(settings_of(encoder, loss=loss), 6).eval()
        assert network(**batch)["loss"].item() == pytest.approx(expected, rel=1e-4)


def with_categories(rows=120, seed=0):
    """The label depends on the category; the rare one and the brand say nothing."""
    rng = np.random.default_rng(seed)
    made = []
    for n in range(rows):
        top = ("food", "home")[n % 2]
        made.append(
            {
                "search_id": f"{seed} {n // 6}",
                "item_category": "rare > thing" if n == 0 else f"{top} > {n % 3}",
                "item_brand": None if n % 4 == 0 else f"brand {n % 3}",
                "label": bool(rng.random() < (0.8 if top == "food" else 0.1)),
                "price_log": float(rng.normal()),
            }
        )
    return build(made)


def test_categories_by_hand():
    train = with_categories()
    found = Categories.fit(train, ("category", "category_path", "brand"), 2)
    assert found.values[0] == ("food", "home")
    assert found.values[1] == tuple(f"{top} > {n}" for top in ("food", "home") for n in range(3))
    assert found.values[2] == ("brand 0", "brand 1", "brand 2")
    assert found.sizes == (3, 7, 4)
    new = build(
        [
            {"item_category": "home > 9", "item_brand": "brand 1"},
            {"item_category": "rare > thing", "item_brand": "unheard of"},
            {"item_category": None, "item_brand": None},
        ]
    )
    assert found.apply(new).tolist() == [[2, 0, 2], [0, 0, 0], [0, 0, 0]]
    assert Categories().apply(new).shape == (3, 0)


@pytest.mark.train
@pytest.mark.parametrize("hidden", [0, 8])
def test_categories_are_learnt_and_new_ones_are_safe(encoder, hidden, tmp_path):
    settings = settings_of(
        encoder,
        tuning="none",
        categories=("category", "brand"),
        features=("price_log",),
        head_hidden=hidden,
        epochs=20,
        head_learning_rate=0.05,
    )
    train = with_categories(600)
    model = ClickModel(settings).fit(train, folder=tmp_path / "model")
    held_out = with_categories(300, seed=1)
    assert area_under_curve(held_out.labels, model.predict_proba(held_out)) > 0.7
    again = ClickModel.load(tmp_path / "model")
    assert again.predict_log_odds(held_out) == pytest.approx(
        model.predict_log_odds(held_out), abs=1e-6
    )
    known, new = (
        model.predict_log_odds(held_out.with_column("item_category", [name] * 300)).mean()
        for name in ("food > 1", "never seen")
    )
    low = model.predict_log_odds(held_out.with_column("item_category", ["home > 1"] * 300)).mean()
    assert low < new < known
    # Numbers that are no feature of the model change nothing.
    other = held_out.with_column("popularity_log", np.ones(300) * 99)
    assert (model.predict_log_odds(other) == model.predict_log_odds(held_out)).all()


def rows(count=4000, seed=0, slope=0.5, offset=-1.0):
    """Log-odds that are twice too wide, and 2 too high."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0, 2, count)
    labels = rng.random(count) < 1 / (1 + np.exp(-(slope * log_odds + offset)))
    return log_odds, labels.astype(float), np.ones(count)


def test_platt_finds_slope_and_offset():
    found = Calibration.fit("platt", *rows(40_000))
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.offset == pytest.approx(-1.0, abs=0.05)
    assert found.apply(np.array([2.0]))[0] == pytest.approx(2 * found.slope + found.offset)


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_calibration_helps_where_it_is_needed_and_is_judged_apart(kind):
    log_odds, labels, weights = rows()
    slates = np.arange(len(labels)) // 8
    figures = cross_fitted(kind, log_odds, labels, weights, slates)
    assert figures["log_loss_after"] < figures["log_loss_before"] - 0.05
    assert figures["calibration_error_after"] < 0.05 < figures["calibration_error_before"]
    own = Calibration.fit(kind, log_odds, labels, weights).apply(log_odds)
    losses = np.logaddexp(0.0, np.where(labels > 0, -own, own))
    # Judged on its own rows the map looks better than it is.
    assert losses.mean() < figures["log_loss_after"]


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["platt", "isotonic"]),
    st.lists(
        st.tuples(st.floats(-20, 20), st.booleans(), st.floats(0.1, 5)), min_size=2, max_size=40
    ).filter(lambda found: len({label for _, label, _ in found}) == 2),
)
def test_calibration_never_turns_the_order(kind, found):
    log_odds, labels, weights = map(np.asarray, zip(*found, strict=True))
    made = Calibration.fit(kind, log_odds, labels.astype(float), weights)
    ascending = np.sort(np.r_[log_odds, -40.0, 40.0])
    mapped = made.apply(ascending)
    assert np.isfinite(mapped).all()
    assert (np.diff(mapped) >= -1e-9).all()
    assert Calibration.model_validate_json(made.model_dump_json()) == made


def test_calibration_error_by_hand():
    even = np.zeros(4)
    assert calibration_error(even, np.array([1.0, 0, 1, 0]), np.ones(4)) == pytest.approx(0.5)
    assert calibration_error(np.zeros(20), np.tile([1.0, 0.0], 10), np.ones(20)) == 0.0
    # One row of weight 3 that is .5 off, one of weight 1 that is .5 off.
    assert calibration_error(even[:2], np.array([1.0, 1.0]), np.array([3.0, 1.0])) == 0.5


def test_too_few_slates_to_calibrate_on():
    with pytest.raises(SettingError, match="5 validation slates"):
        cross_fitted("platt", *rows(12), np.arange(12) // 3)


@pytest.mark.train
def test_a_calibrated_model_says_so_and_loads(encoder, text_decides, tmp_path):
    settings = settings_of(encoder, calibration="isotonic")
    with pytest.raises(SettingError, match="no validation rows"):
        ClickModel(settings).fit(text_decides(20, 1))
    model = ClickModel(settings).fit(text_decides(40, 1), text_decides(30, 2), tmp_path / "model")
    figures = model.card["calibration"]
    assert figures["kind"] == "isotonic"
    text = (tmp_path / "model" / "README.md").read_text()
    assert f"{figures['log_loss_before']:.4f} -> {figures['log_loss_after']:.4f}" in text
    held_out = text_decides(10, 3)
    again = ClickModel.load(tmp_path / "model").predict_proba(held_out)
    assert again == pytest.approx(model.predict_proba(held_out), abs=1e-6)
    model._calibration = None
    assert model.predict_proba(held_out) != pytest.approx(again, abs=1e-3)


@hypothesis_settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=9), min_size=1, max_size=60),
    st.integers(1, 12),
)
# Every fifty batches end in the middle of a slate.
@example([[n * 37 % 60 + 1] * 7 for n in range(300)], 4)
def test_length_groups_hold_every_row_once_and_slates_together(found, batch):
    slates = np.repeat(np.arange(len(found)), [len(rows) for rows in found])
    lengths = np.concatenate(found)
    sampler = SlateSampler(slates, 3, lengths=lengths, batch=batch)
    order = list(sampler)
    assert sorted(order) == list(range(len(slates)))
    # A slate stands together in a batch; where it does not fit, its rest is in another one.
    met = np.zeros(len(found), np.int64)
    for start in range(0, len(order), batch):
        slate = slates[order[start : start + batch]]
        runs = slate[np.r_[True, slate[1:] != slate[:-1]]]
        assert len(set(runs.tolist())) == len(runs)
        met[runs] += 1
    assert (met <= -(-(np.bincount(slates) - 1) // batch) + 1).all()
    assert order == list(SlateSampler(slates, 3, lengths=lengths, batch=batch))


def test_length_groups_pad_less():
    rng = np.random.default_rng(0)
    lengths = np.repeat(rng.integers(4, 64, 400), 6)
    slates = np.repeat(np.arange(400), 6)

    def padding(sampler):
        order = np.array(list(sampler))
        parts = np.array_split(lengths[order], len(order) // 24)
        return np.mean([part.max() - part.mean() for part in parts])

    grouped = SlateSampler(slates, 0, lengths=lengths, batch=24)
    assert padding(grouped) < 0.3 * padding(SlateSampler(slates, 0))
    first = list(grouped)
    grouped.set_epoch(1)
    assert first != list(grouped)
    # The batches are not in the order of their lengths.
    means = [lengths[first[n : n + 24]].mean() for n in range(0, 2400, 24)]
    assert np.corrcoef(np.arange(100), means)[0, 1] < 0.4


@pytest.mark.train
def test_length_grouped_training_runs(encoder, text_decides):
    settings = settings_of(encoder, length_grouped=True)
    first, again = (
        ClickModel(settings).fit(text_decides(20, 1)).predict_proba(text_decides(5, 3))
        for _ in range(2)
    )
    assert (first == again).all()


def test_a_missing_tracker_is_found_before_training(encoder, monkeypatch, tmp_path):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match=r"wandb.*footfall\[tracking\]"):
        ClickModel(settings_of(encoder, report_to="wandb")).fit(
            build([{"label": True}, {"label": False}]), folder=tmp_path / "model"
        )


def test_records_that_nobody_would_keep_are_refused(encoder):
    rows = build([{"label": True}, {"label": False}])
    settings = settings_of(encoder, report_to="tensorboard")
    with pytest.raises(SettingError, match=r"report_to is 'tensorboard'.*no folder"):
        ClickModel(settings).fit(rows)
    with pytest.raises(SettingError, match="no folder"):
        ClickClassifier(settings=settings).fit(rows.table, rows.labels)
    with pytest.raises(SettingError, match="no folder"):
        QueryClassifier(QuerySettings(encoder=encoder, report_to="tensorboard")).fit(
            ["a", "b", "c", "d"] * 6, ["x", "y"] * 12
        )


@pytest.mark.train
def test_tensorboard_gets_the_course_of_the_losses(encoder, text_decides, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = settings_of(encoder, report_to="tensorboard")
    ClickModel(settings).fit(text_decides(20, 1), text_decides(8, 2), tmp_path / "model")
    events = EventAccumulator(str(tmp_path / "model.tracking")).Reload()
    losses = events.Scalars("eval/loss")
    assert len(losses) == 2
    assert all(np.isfinite(event.value) for event in losses)
    assert "train/loss" in events.Tags()["scalars"]


@pytest.mark.train
def test_wandb_writes_offline_beside_the_model(encoder, text_decides, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    settings = settings_of(encoder, report_to="wandb")
    ClickModel(settings).fit(text_decides(20, 1), text_decides(8, 2), tmp_path / "model")
    runs = list((tmp_path / "model.tracking" / "wandb").glob("offline-run-*"))
    assert len(runs) == 1
    assert list(runs[0].glob("*.wandb"))
    assert "WANDB_MODE" not in __import__("os").environ
