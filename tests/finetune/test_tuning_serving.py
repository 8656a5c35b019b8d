"""A tuned model served by vLLM, merged and as an adapter, and which of the two is chosen."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from small_shop import day
from tuning_parts import clicks_log, tiny_model

from footfall.finetune import tuning_serving
from footfall.finetune.tuning import read_tuning_card, tune_model
from footfall.finetune.tuning_examples import TuningExample
from footfall.finetune.tuning_settings import TuningSettings
from footfall.simulator.engines import ChoiceAnswer, ChoiceRequest, EngineSettings, ask, open_engine

pytest.importorskip("torch")
pytest.importorskip("peft")
PROMPTS = ("Looking for: halo\nA: halo wars\nB: fifa\nChosen:", "A: x\nB: y\nChosen:", "Chosen:")
OPTIONS = (" A", " B", " none")


def _settings(base: str, **more) -> TuningSettings:
    values = {
        "model": base,
        "queries": 20,
        "choices": 30,
        "page_size": 4,
        "epochs": 3.0,
        "batch_tokens": 512,
        "learning_rate": 1e-2,
        "rank": 4,
        "alpha": 16.0,
    }
    return TuningSettings(**values | more)


@pytest.mark.engine
def test_merged_and_adapter_answer_alike_and_the_faster_is_chosen(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    base = tiny_model(tmp_path / "base", "llama")
    shop = clicks_log(tmp_path / "shop.duckdb")
    card = tune_model(shop.log, tmp_path / "tuned", until=day(50), settings=_settings(base))
    shop.log.close()
    assert card.speeds.note == ""
    assert card.speeds.merged > 0
    assert card.speeds.adapter > 0
    faster = "adapter" if card.speeds.adapter > card.speeds.merged else "merged"
    assert card.serving == faster
    assert read_tuning_card(tmp_path / "tuned") == card
    answers, identities = {}, {}
    for name, model, way in (
        ("merged", tmp_path / "tuned", "merged"),
        ("adapter", tmp_path / "tuned", "adapter"),
        ("base", Path(base), "card"),
    ):
        engine = open_engine(
            # Sums in another order differ more in bfloat16 than the two ways of serving do.
            EngineSettings(
                model=str(model), tuning=way, kv_cache_gb=0.25, max_model_len=256, dtype="float32"
            )
        )
        try:
            found = ask(engine, [ChoiceRequest(prompt, OPTIONS) for prompt in PROMPTS])
            identities[name] = engine.identity
        finally:
            engine.close()
        assert all(isinstance(answer, ChoiceAnswer) and answer.usable for answer in found)
        answers[name] = [value for answer in found for value in answer.log_probabilities]
    assert answers["adapter"] == pytest.approx(answers["merged"], abs=2e-3)
    assert max(abs(a - b) for a, b in zip(answers["base"], answers["merged"], strict=True)) > 0.05
    assert [identities[name].tuned for name in ("merged", "adapter", "base")] == [True, True, False]
    assert len({identity.model_hash for identity in identities.values()}) == 3


class _Clock:
    """An engine that takes a while for every request, more where the adapter is beside.

    What is collected first pays for what is set up on first use.
    """

    def __init__(self, settings: EngineSettings, clock: list[float]) -> None:
        self.submitted = 0
        self._set_up = 50.0
        self._seconds = {"merged": 1.0, "adapter": 4.0}[settings.tuning]
        self._clock = clock
        self._waiting: list[int] = []

    def submit(self, request: ChoiceRequest) -> int:
        self.submitted += 1
        self._waiting.append(len(self._waiting))
        return self._waiting[-1]

    def collect(self):
        found = self._waiting
        self._clock[0] += self._set_up + self._seconds * len(found)
        self._set_up = 0.0
        self._waiting = []
        return [(ticket, ChoiceAnswer((-math.log(2),) * 2, 1, 1)) for ticket in found]

    def close(self) -> None:
        self._clock[0] += 100.0


def _examples(count: int) -> list[TuningExample]:
    return [
        TuningExample("choice", f"prompt {number}:", " A", (" A", " none"), "s", "u")
        for number in range(count)
    ]


def test_speeds_are_of_the_timed_prompts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, opened = [0.0], []

    def open_clock(settings: EngineSettings) -> _Clock:
        opened.append(_Clock(settings, clock))
        return opened[-1]

    monkeypatch.setattr(tuning_serving, "open_engine", open_clock)
    monkeypatch.setattr(tuning_serving, "find_spec", lambda name: object())
    monkeypatch.setattr(tuning_serving.time, "perf_counter", lambda: clock[0])
    speeds = tuning_serving.measure_serving("folder", _examples(200))
    assert speeds.merged == 1.0
    assert speeds.adapter == 0.25
    assert speeds.note == ""
    # Four to warm up, then 48 that are timed.
    assert [engine.submitted for engine in opened] == [52, 52]


def test_an_adapter_that_vllm_cannot_load_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    from footfall.errors import EngineMissingError

    clock = [0.0]

    def open_some(settings: EngineSettings) -> _Clock:
        if settings.tuning == "adapter":
            raise EngineMissingError("vLLM cannot load it", hint="no")
        return _Clock(settings, clock)

    monkeypatch.setattr(tuning_serving, "open_engine", open_some)
    monkeypatch.setattr(tuning_serving, "find_spec", lambda name: object())
    monkeypatch.setattr(tuning_serving.time, "perf_counter", lambda: clock[0])
    speeds = tuning_serving.measure_serving("folder", _examples(10))
    assert speeds.merged == 1.0
    assert speeds.adapter is None
    assert "vLLM cannot load it" in speeds.note


def test_without_vllm_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_serving, "find_spec", lambda name: None)
    speeds = tuning_serving.measure_serving("folder", _examples(3))
    assert (speeds.merged, speeds.adapter) == (None, None)
    assert "not installed" in speeds.note
