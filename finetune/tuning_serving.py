"""Which way of serving a tuned model is faster on this machine: merged, or as an adapter."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from footfall.errors import EngineError
from footfall.finetune.tuning_card import ServingSpeeds
from footfall.finetune.tuning_examples import TuningExample
from footfall.simulator.engines.protocol import ChoiceRequest, Request, TextRequest, ask
from footfall.simulator.engines.settings import EngineSettings, open_engine

__all__ = ["measure_serving"]

_PROMPTS: Final = 48
#: Asked before the clock starts: the first requests pay for what is set up on first use.
_WARM_UP: Final = 4
_CACHE_GB: Final = 0.5


def measure_serving(folder: str | Path, examples: Sequence[TuningExample]) -> ServingSpeeds:
    """Answer the same prompts with vLLM both ways, one after the other.

    Parameters
    ----------
    folder:
        A tuned model's.
    examples:
        Where the prompts come from; the first 48 distinct ones are timed.

    Returns
    -------
    ServingSpeeds
        Prompts answered a second. A way that cannot be loaded is null and said in the note:
        vLLM serves adapters of fewer architectures than it serves models of.
    """
    if find_spec("vllm") is None:
        return ServingSpeeds(note="vLLM is not installed here, so neither way was measured")
    requests = _requests(examples)
    speeds: dict[str, float | None] = {}
    notes = []
    ways: tuple[Literal["merged", "adapter"], ...] = ("merged", "adapter")
    for way in ways:
        try:
            speeds[way] = _speed(str(folder), way, requests)
        except EngineError as error:
            speeds[way] = None
            notes.append(f"{way}: {error.message}")
    return ServingSpeeds(merged=speeds["merged"], adapter=speeds["adapter"], note="; ".join(notes))


def _requests(examples: Sequence[TuningExample]) -> list[Request]:
    distinct = {example.prompt: example for example in examples}
    return [
        ChoiceRequest(example.prompt, example.options)
        if example.options
        else TextRequest(example.prompt, 8, 0.0)
        for example in list(distinct.values())[: _PROMPTS + _WARM_UP]
    ]


def _speed(
    folder: str, way: Literal["merged", "adapter"], requests: Sequence[Request]
) -> float | None:
    engine = open_engine(EngineSettings(model=folder, tuning=way, kv_cache_gb=_CACHE_GB))
    try:
        ask(engine, requests[:_WARM_UP])
        timed = requests[_WARM_UP:] or requests
        begun = time.perf_counter()
        ask(engine, timed)
        return round(len(timed) / (time.perf_counter() - begun), 2)
    finally:
        engine.close()
