"""Which weights of a tuned model's folder are loaded, and what a recording says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from footfall.errors import EngineMissingError
from footfall.simulator.engines import (
    EngineIdentity,
    RecordingEngine,
    ReplayEngine,
    ScriptedEngine,
    TextRequest,
    ask,
)
from footfall.simulator.engines.bundled import model_hash
from footfall.simulator.engines.recording import header_line, read_recording
from footfall.simulator.engines.tuned import TUNING_CARD, served_folder


def _model(folder: Path, weights: bytes) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    base = _model(tmp_path / "base", b"base")
    folder = _model(tmp_path / "tuned", b"merged")
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"adapter")
    card = {
        "base_model": str(base),
        "base_hash": model_hash(base),
        "rank": 16,
        "serving": "merged",
        "more": "for people",
    }
    (folder / TUNING_CARD).write_text(json.dumps(card))
    return folder


def _set(folder: Path, **fields: object) -> None:
    card = json.loads((folder / TUNING_CARD).read_text()) | fields
    (folder / TUNING_CARD).write_text(json.dumps(card))


def test_a_plain_folder_is_served_as_it_is(tmp_path: Path) -> None:
    folder = _model(tmp_path / "plain", b"weights")
    for tuning in ("card", "merged"):
        served = served_folder(str(folder), tuning)
        assert (served.weights, served.adapter, served.tuned) == (str(folder), None, False)
        assert served.model_hash == model_hash(folder)
    with pytest.raises(EngineMissingError, match="holds no tuned model") as caught:
        served_folder(str(folder), "adapter")
    assert "footfall tune" in caught.value.hint


def test_the_card_says_how_a_tuned_model_is_served(tuned: Path) -> None:
    base = tuned.parent / "base"
    merged = served_folder(str(tuned), "card")
    assert (merged.weights, merged.adapter, merged.tuned) == (str(tuned), None, True)
    assert merged.model_hash == model_hash(tuned)
    assert (merged.until, merged.part) == (None, None)
    _set(tuned, serving="adapter", until="2024-03-01T00:00:00", part="p1")
    beside = served_folder(str(tuned), "card")
    assert (beside.weights, beside.rank, beside.tuned) == (str(base), 16, True)
    assert beside.adapter == str(tuned / "adapter")
    assert (beside.until, beside.part) == ("2024-03-01T00:00:00", "p1")
    # The settings overrule the card.
    told = {"until": "2024-03-01T00:00:00", "part": "p1"}
    assert served_folder(str(tuned), "merged") == merged.model_copy(update=told)
    _set(tuned, serving="merged")
    assert served_folder(str(tuned), "adapter") == beside


def test_the_hash_of_an_adapter_is_of_both_parts(tuned: Path) -> None:
    first = served_folder(str(tuned), "adapter").model_hash
    assert first not in {model_hash(tuned / "adapter"), model_hash(tuned.parent / "base")}
    (tuned / "adapter" / "adapter_model.safetensors").write_bytes(b"another adapter")
    assert served_folder(str(tuned), "adapter").model_hash != first


def test_an_adapter_is_not_put_on_another_base(tuned: Path) -> None:
    (tuned.parent / "base" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(EngineMissingError, match="weights have changed") as caught:
        served_folder(str(tuned), "adapter")
    assert "merged" in caught.value.hint
    assert served_folder(str(tuned), "merged").tuned


def test_a_missing_adapter_and_a_damaged_card_are_named(tuned: Path) -> None:
    (tuned / "adapter" / "adapter_config.json").unlink()
    with pytest.raises(EngineMissingError, match=r"adapter_config\.json is missing"):
        served_folder(str(tuned), "adapter")
    _set(tuned, serving="upside down")
    with pytest.raises(EngineMissingError, match=TUNING_CARD) as caught:
        served_folder(str(tuned), "card")
    assert caught.value.hint


TUNED: dict[str, Any] = {
    "tuned": True,
    "unseen_people": ("ab", "cd"),
    "tuned_until": "2024-03-01T00:00:00",
    "tuned_part": "p1",
}


class _Tuned(ScriptedEngine):
    @property
    def identity(self) -> EngineIdentity:
        return EngineIdentity("scripted", "m", "h", **TUNED)


def test_a_recording_keeps_that_the_model_was_tuned(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    engine = RecordingEngine(_Tuned(0), path)
    ask(engine, [TextRequest("p", temperature=0.0)])
    engine.close()
    assert read_recording(path)[0] == EngineIdentity("scripted", "m", "h", **TUNED)
    assert ReplayEngine(path).identity == EngineIdentity("replay", "m", "h", **TUNED)
    # A recording of an untuned model reads as before there was tuning.
    assert json.loads(header_line(EngineIdentity("vllm", "m", "h"))) == {
        "footfall_recording": 1,
        "kind": "vllm",
        "model": "m",
        "model_hash": "h",
    }
