"""vLLM in this process: what only it does, and how it dies."""

from __future__ import annotations

import json
import math
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from footfall.errors import (
    EngineError,
    EngineMissingError,
    EngineUnavailableError,
    SettingError,
)
from footfall.simulator.engines import (
    ChoiceAnswer,
    ChoiceRequest,
    Engine,
    EngineSettings,
    LikelihoodAnswer,
    LikelihoodRequest,
    TextAnswer,
    TextRequest,
    ask,
    open_engine,
)

pytestmark = pytest.mark.engine
SIZE = 128


def _settings(model: str, **more: Any) -> EngineSettings:
    # In float32, as the model that answers are compared with; some processors would take bfloat16.
    return EngineSettings(
        model=model,
        max_concurrent=8,
        kv_cache_gb=0.25,
        max_model_len=SIZE,
        dtype="float32",
        **more,
    )


@pytest.fixture(scope="module")
def engine(bundled_model: str) -> Iterator[Engine]:
    opened = open_engine(_settings(bundled_model))
    yield opened
    opened.close()


def _share(answer: object) -> float:
    assert isinstance(answer, ChoiceAnswer)
    return math.exp(answer.log_probabilities[0])


def test_of_a_long_prompt_the_end_is_kept(engine: Engine) -> None:
    options = (" Yes", " No")
    end = " word" * SIZE + " Is bread food? Answer Yes or No:"
    other_end = " word" * SIZE + " Is a hammer food? No. And"
    answers = ask(
        engine,
        [
            ChoiceRequest("Bread is food." + end, options),
            ChoiceRequest("A hammer is a tool." + end, options),
            ChoiceRequest("Bread is food." + other_end, options),
        ],
    )
    assert {answer.prompt_tokens for answer in answers} == {SIZE - 1}
    assert _share(answers[0]) == pytest.approx(_share(answers[1]), abs=0.01)
    assert abs(_share(answers[0]) - _share(answers[2])) > 0.02
    (text,) = ask(engine, [TextRequest("Bread." + end, 10, 0.0)])
    assert text.prompt_tokens == SIZE - 10
    # More words than there is room for are as many as there is room for.
    (text,) = ask(engine, [TextRequest("Bread", 10_000)])
    assert isinstance(text, TextAnswer)
    assert text.output_tokens < SIZE


def test_choices_are_those_of_the_model_itself(engine: Engine, bundled_model: str) -> None:
    """Against the same weights, read by transformers."""
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    prompts = ["apple: No\nbread: No\nrice:", "Item: bread\nIs it food?", "商品: 面包\n适合："]
    options = (" Yes", " No", " Maybe")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = AutoTokenizer.from_pretrained(bundled_model)
        model = AutoModelForCausalLM.from_pretrained(bundled_model, dtype=torch.float32)
        tokens = [tokenizer.encode(option)[0] for option in options]
        expected = []
        for prompt in prompts:
            with torch.no_grad():
                logits = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1]
            expected.append(torch.log_softmax(logits[tokens], dim=0).tolist())
    answers = ask(engine, [ChoiceRequest(prompt, options) for prompt in prompts])
    for answer, values in zip(answers, expected, strict=True):
        assert isinstance(answer, ChoiceAnswer)
        assert answer.log_probabilities == pytest.approx(values, abs=0.02)


def test_likelihoods_are_those_of_the_model_itself(engine: Engine, bundled_model: str) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    cases = [("Looking for: rice\nQuery:", " white rice\n"), ("想找: 面包\n搜索词:", "面包\n")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = AutoTokenizer.from_pretrained(bundled_model)
        model = AutoModelForCausalLM.from_pretrained(bundled_model, dtype=torch.float32)
    expected = []
    for prompt, continuation in cases:
        start, rest = tokenizer.encode(prompt), tokenizer.encode(continuation)
        with torch.no_grad():
            logits = model(torch.tensor([start + rest])).logits[0, len(start) - 1 : -1]
        values = torch.log_softmax(logits, dim=-1)[range(len(rest)), rest]
        expected.append(float(values.sum()))
    answers = ask(engine, [LikelihoodRequest(*case) for case in cases] * 2)
    for answer, value in zip(answers, expected * 2, strict=True):
        assert isinstance(answer, LikelihoodAnswer)
        assert answer.log_probability == pytest.approx(value, abs=0.05)


def test_text_continues_the_prompt(engine: Engine) -> None:
    (text,) = ask(engine, [TextRequest("one two three four\none two three four\none two", 2, 0.0)])
    assert isinstance(text, TextAnswer)
    assert text.text == "three four"


def test_options_that_begin_alike_are_refused(engine: Engine) -> None:
    with pytest.raises(SettingError, match="' Yes' and ' Yes!' begin with the same token"):
        engine.submit(ChoiceRequest("p", (" Yes", " Yes!")))
    assert engine.collect() == []


def test_the_environment_is_left_as_it_was(engine: Engine) -> None:
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in os.environ
    assert "VLLM_CPU_OMP_THREADS_BIND" not in os.environ


def test_an_engine_that_fails_at_work_is_dead(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stands last of those with this engine."""
    engine.submit(TextRequest("p"))

    def fail() -> None:
        raise RuntimeError("CPU Generator does not use offset\nand more")

    monkeypatch.setattr(engine._engine, "step", fail)  # type: ignore[attr-defined]
    with pytest.raises(EngineUnavailableError, match="does not use offset") as caught:
        engine.collect()
    assert caught.value.hint
    monkeypatch.undo()
    with pytest.raises(EngineUnavailableError, match="does not use offset"):
        engine.submit(TextRequest("p"))
    engine.close()


def test_a_folder_that_vllm_cannot_load(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such-kind"}))
    with pytest.raises(EngineMissingError, match="cannot load the model") as caught:
        open_engine(_settings(str(tmp_path)))
    assert "VLLM_LOGGING_LEVEL" in caught.value.hint


def test_more_tokens_than_the_model_can_read(bundled_model: str) -> None:
    settings = _settings(bundled_model).model_copy(update={"max_model_len": 10**6})
    with pytest.raises(EngineError, match="cannot be loaded") as caught:
        open_engine(settings)
    assert "max_model_len" in caught.value.hint


def test_a_process_of_its_own_can_die_without_this_one(bundled_model: str) -> None:
    """Stands last of all: the model in this process is closed by now."""
    before = _children()
    engine = open_engine(_settings(bundled_model, separate_process=True))
    try:
        assert len(ask(engine, [TextRequest("Query:", 4)])) == 1
        for child in _children() - before:
            os.kill(child, signal.SIGKILL)
        with pytest.raises(EngineUnavailableError, match="stopped working"):
            ask(engine, [TextRequest(f"{number}", 50) for number in range(20)])
    finally:
        engine.close()


def _children() -> set[int]:
    """Processes whose parent is this one or one of these, but Python's own bookkeeping."""
    found = {os.getpid()}
    grown = True
    names: dict[int, str] = {}
    while grown:
        grown = False
        for folder in Path("/proc").iterdir():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                names[int(folder.name)] = (folder / "cmdline").read_text()
            except (OSError, ValueError, IndexError):
                continue
            if int(fields[1]) in found and int(folder.name) not in found:
                found.add(int(folder.name))
                grown = True
    return {pid for pid in found - {os.getpid()} if "resource_tracker" not in names[pid]}


def test_modules_that_vllm_stumbles_over_are_out_of_its_sight_while_it_loads(monkeypatch):
    import sys
    from types import ModuleType

    from footfall.simulator.engines.in_process import _hidden_from_vllm

    class Odd:
        __dict__ = ("no", "mapping")

    odd, plain = ModuleType("llvmlite.odd"), ModuleType("llvmlite.plain")
    odd.lib, plain.lib = Odd(), object()
    monkeypatch.setitem(sys.modules, "llvmlite.odd", odd)
    monkeypatch.setitem(sys.modules, "llvmlite.plain", plain)
    with _hidden_from_vllm():
        assert "llvmlite.odd" not in sys.modules
        assert sys.modules["llvmlite.plain"] is plain
    assert sys.modules["llvmlite.odd"] is odd
