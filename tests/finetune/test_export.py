"""Exports for serving: what they keep, what they refuse, what their card says."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from tiny_models import save_tiny_model

from footfall.errors import InputError, NoResponseError, SettingError, TrainingError
from footfall.finetune import ClickModel, ClickSettings
from footfall.finetune.export import export_model

pytestmark = pytest.mark.train

BRIEF = ClickSettings(
    batch_size=24,
    max_steps=6,
    epochs=9,
    learning_rate=2e-2,
    evaluations=2,
    device="cpu",
    max_tokens=24,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, text_decides):
    """A function that trains a tiny model, once for each way of tuning."""
    folder = tmp_path_factory.mktemp("models")
    made = {}

    def train(kind, tuning, **changes):
        key = f"{kind}-{tuning}-{'-'.join(map(str, changes.values()))}"
        if key not in made:
            encoder = save_tiny_model(folder / f"{key}-encoder", kind)
            settings = {"encoder": encoder, "tuning": tuning, **changes}
            made[key] = ClickModel(BRIEF.model_copy(update=settings)).fit(
                text_decides(20, 1), folder=folder / key
            )
        return made[key]

    return train


@pytest.mark.parametrize(
    ("kind", "tuning", "changes"),
    [
        ("bert", "lora", {}),
        ("bert", "adalora", {}),
        ("bert", "ia3", {}),
        ("bert", "full", {}),
        ("bert", "none", {}),
        ("bert", "lora", {"trained_layers": 1}),
        ("bert", "lora", {"architecture": "cross_encoder"}),
        ("llama", "lora", {}),
        ("gpt2", "lora", {}),
    ],
)
def test_merged_weights_say_the_same(kind, tuning, changes, trained, text_decides, tmp_path):
    model, held_out = trained(kind, tuning, **changes), text_decides(8, 3)
    before = model.predict_log_odds(held_out)
    figures = export_model(model, tmp_path / "out", kind="merged", examples=held_out)
    again = ClickModel.load(tmp_path / "out")
    assert np.ptp(before) > 0
    assert again.predict_log_odds(held_out) == pytest.approx(before, abs=1e-5)
    assert figures["auc_after"] == pytest.approx(figures["auc_before"], abs=1e-6)
    assert not (tmp_path / "out" / "adapter").exists()
    # The model itself is as it was.
    assert (model.predict_log_odds(held_out) == before).all()
    # An export is saved again as what it is.
    again.save(tmp_path / "copy")
    copied = ClickModel.load(tmp_path / "copy").predict_log_odds(held_out)
    assert copied == pytest.approx(before, abs=1e-5)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_eight_bits_are_near_and_smaller(kind, trained, text_decides, tmp_path):
    model, held_out = trained(kind, "lora"), text_decides(8, 3)
    before = model.predict_log_odds(held_out)
    figures = export_model(model, tmp_path / "out", kind="int8", examples=held_out)
    again = ClickModel.load(tmp_path / "out").predict_log_odds(held_out)
    # Rounding has changed something, and little.
    assert not np.array_equal(again, before)
    assert np.abs(again - before).mean() < 0.1 * before.std()
    assert np.corrcoef(again, before)[0, 1] > 0.98
    assert figures["auc_after"] == pytest.approx(figures["auc_before"], abs=0.05)
    assert figures["encoder_megabytes_after"] <= figures["encoder_megabytes_before"]
    stored = [sum(f.stat().st_size for f in (tmp_path / "out" / "encoder").glob("*.safetensors"))]
    export_model(model, tmp_path / "whole", kind="merged", examples=held_out)
    stored += [
        sum(f.stat().st_size for f in (tmp_path / "whole" / "encoder").glob("*.safetensors"))
    ]
    assert stored[0] < 0.7 * stored[1]


@pytest.mark.parametrize("kind", ["merged", "int8"])
def test_an_export_needs_nothing_of_the_encoder_that_it_was_made_from(kind, text_decides, tmp_path):
    encoder = save_tiny_model(tmp_path / "encoder", "bert")
    (tmp_path / "encoder" / "1_Pooling").mkdir()
    pooling = tmp_path / "encoder" / "1_Pooling" / "config.json"
    pooling.write_text('{"pooling_mode_cls_token": true}', encoding="utf-8")
    settings = BRIEF.model_copy(update={"encoder": encoder, "tuning": "lora"})
    model = ClickModel(settings).fit(text_decides(20, 1))
    rows = text_decides(10, 2)
    export_model(model, tmp_path / "export", kind=kind, examples=rows)
    before = ClickModel.load(tmp_path / "export").predict_proba(rows)
    shutil.rmtree(tmp_path / "encoder")
    after = ClickModel.load(tmp_path / "export")
    assert after.settings.pooling == "first"
    assert after.predict_proba(rows) == pytest.approx(before, abs=1e-6)


def test_the_card_says_what_was_lost_and_gained(trained, text_decides, tmp_path):
    figures = export_model(
        trained("bert", "lora"), tmp_path / "out", kind="merged", examples=text_decides(8, 3)
    )
    assert figures["rows"] == 48
    assert figures["rows_per_second_before"] > 0
    assert figures["rows_per_second_after"] > 0
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["export"] == figures
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"AUC {figures['auc_before']:.4f} -> {figures['auc_after']:.4f}" in text
    before, after = (figures[f"rows_per_second_{when}"] for when in ("before", "after"))
    assert f"rows a second {before:,.0f} -> {after:,.0f}" in text
    # What the model was trained on stays on the card.
    assert card["training_rows"]["rows"] == 120


def test_a_calibrated_model_stays_calibrated(trained, text_decides, tmp_path):
    encoder = trained("bert", "lora").settings.encoder
    settings = BRIEF.model_copy(update={"encoder": encoder, "calibration": "platt"})
    held_out = text_decides(8, 3)
    model = ClickModel(settings).fit(text_decides(20, 1), text_decides(20, 2))
    export_model(model, tmp_path / "out", kind="merged", examples=held_out)
    again = ClickModel.load(tmp_path / "out").predict_proba(held_out)
    assert again == pytest.approx(model.predict_proba(held_out), abs=1e-5)


def test_what_cannot_be_exported_is_refused(trained, text_decides, tmp_path):
    held_out, out = text_decides(8, 3), tmp_path / "out"
    model = trained("bert", "lora")
    with pytest.raises(SettingError, match=r"prefix.*cannot be merged"):
        export_model(trained("bert", "prefix"), out, kind="merged", examples=held_out)
    with pytest.raises(SettingError, match=r"no linear layers"):
        export_model(trained("gpt2", "lora"), out, kind="int8", examples=held_out)
    with pytest.raises(SettingError, match=r"'fp4'.*merged or int8"):
        export_model(model, out, kind="fp4", examples=held_out)
    with pytest.raises(NoResponseError, match="both labels"):
        export_model(model, out, kind="merged", examples=held_out.take(held_out.labels))
    with pytest.raises(TrainingError, match="not been trained"):
        export_model(ClickModel(model.settings), out, kind="merged", examples=held_out)
    assert not out.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(TrainingError, match="not a saved model"):
        export_model(model, tmp_path / "mine", kind="merged", examples=held_out)
    export_model(model, out, kind="merged", examples=held_out)
    for source in (out, ClickModel.load(out)):
        with pytest.raises(SettingError, match="is an export"):
            export_model(source, tmp_path / "again", kind="int8", examples=held_out)


def test_batches_score_like_the_whole(trained, text_decides):
    model, held_out = trained("bert", "lora"), text_decides(12, 3)
    sizes = (1, 30, 0, 41)
    table = held_out.table.combine_chunks()
    empty = pa.RecordBatch.from_pylist([], schema=table.schema)
    starts = np.cumsum((0, *sizes))[:-1]
    batches = [
        table.slice(start, size).to_batches()[0] if size else empty
        for start, size in zip(starts, sizes, strict=True)
    ]
    found = list(model.predict_batches(batches))
    assert [part.num_rows for part in found] == list(sizes)
    probability = np.concatenate([part["probability"].to_numpy() for part in found])
    assert probability == pytest.approx(model.predict_proba(held_out), abs=1e-6)
    names = [name for part in found for name in part["example_id"].to_pylist()]
    assert names == table["example_id"].to_pylist()
    assert list(model.predict_batches([])) == []


def test_a_damaged_export_is_told(trained, text_decides, tmp_path):
    from safetensors.torch import load_file, save_file

    out = tmp_path / "out"
    export_model(trained("bert", "lora"), out, kind="int8", examples=text_decides(8, 3))
    weights = out / "encoder" / "int8.safetensors"
    tensors = load_file(str(weights))
    lost = next(name for name in tensors if name.endswith("word_embeddings.weight"))
    del tensors[lost]
    save_file(tensors, str(weights))
    with pytest.raises(InputError, match=rf"{lost} is missing"):
        ClickModel.load(out)
    weights.write_bytes(b"cut")
    with pytest.raises(InputError, match=r"int8\.safetensors: the weights cannot be read"):
        ClickModel.load(out)
