"""The language model under tuning: loaded, with its adapter, and its loss on answers.

Imports torch; load it only where a model is tuned or measured.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from footfall.errors import EngineMissingError, TrainingError
from footfall.finetune.tuning_settings import TuningSettings
from footfall.finetune.tuning_tokens import IGNORED, TokenizedExample, collate
from footfall.simulator.engines.processor import fast_dtype

__all__ = [
    "add_adapter",
    "answer_log_probabilities",
    "answer_logits",
    "load_language_model",
    "pad_token",
    "quiet_transformers",
    "training_dtype",
]


def training_dtype(settings: TuningSettings) -> torch.dtype:
    """The number format of the weights under training."""
    if settings.dtype != "auto":
        return torch.float32 if settings.dtype == "float32" else torch.bfloat16
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if fast_dtype() == "bfloat16" else torch.float32


def load_language_model(folder: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and tokeniser of a folder.

    Raises
    ------
    EngineMissingError
        If transformers cannot load them as a causal language model.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        with quiet_transformers(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise EngineMissingError(
            f"The model in {folder} cannot be loaded: {str(error).splitlines()[0]}",
            hint="Tuning needs a causal language model of transformers with its tokeniser.",
        ) from error
    return model, tokenizer


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' bars for reading and writing weights, and its remarks on them."""
    from transformers.utils import logging

    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def pad_token(tokenizer: Any) -> int:
    """An id to fill rows up with; which one does not matter, as no answer sees it."""
    for value in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if value is not None:
            return int(value)
    return 0


def add_adapter(model: Any, settings: TuningSettings) -> Any:
    """The model with a fresh low-rank adapter (Hu et al. 2021) that changes nothing yet.

    Raises
    ------
    TrainingError
        If no layer of the model matches ``target``.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(settings.seed)
    configuration = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.target,
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            # Of layers that keep their weights turned, peft says that it turns them.
            warnings.simplefilter("ignore")
            return get_peft_model(model, configuration)
    except ValueError as error:
        raise TrainingError(
            f"No adapter can be put into the model: {str(error).splitlines()[0]}",
            hint="Set `target` to all-linear, or to layers that the model has.",
        ) from error


def answer_logits(model: Any, batch: dict[str, Any]) -> Any:
    """Logits at ``batch["places"]``, shape (rows, places, vocabulary).

    The last layer, which is as large as all others of a small model together, is computed at these
    places only where the architecture can.
    """
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    forward = inspect.signature(_inner(model).forward).parameters
    extra: dict[str, Any] = {"use_cache": False} if "use_cache" in forward else {}
    if "logits_to_keep" in forward:
        return model(**inputs, **extra, logits_to_keep=batch["places"]).logits
    return model(**inputs, **extra).logits[:, batch["places"]]


def answer_log_probabilities(
    model: Any, rows: Sequence[TokenizedExample], pad: int, *, batch_tokens: int = 4096
) -> list[npt.NDArray[np.float64]]:
    """Natural-log probability of every answer token, one array a row.

    A choice's is normalised over its options, as engines answer; shape (1,).
    """
    from footfall.finetune.tuning_tokens import make_batches

    found: list[npt.NDArray[np.float64]] = [np.zeros(0)] * len(rows)
    lengths = [len(row.ids) for row in rows]
    was_training = model.training
    model.eval()
    try:
        rng = np.random.default_rng(0)
        for places in make_batches(lengths, batch_tokens=batch_tokens, rng=rng):
            batch = {
                name: value.to(model.device)
                for name, value in collate([rows[place] for place in places], pad).items()
            }
            with torch.inference_mode():
                logits = answer_logits(model, batch).float()
            for number, place in enumerate(places):
                found[place] = _of_row(logits[number], batch["targets"][number], rows[place])
    finally:
        model.train(was_training)
    return found


def _of_row(logits: Any, targets: Any, row: TokenizedExample) -> npt.NDArray[np.float64]:
    used = targets != IGNORED
    logits, targets = logits[used], targets[used]
    if row.options:
        # Only the first token is read, and only the options' tokens are allowed.
        options = torch.log_softmax(logits[0][list(row.options)], dim=-1)
        value = options[row.options.index(int(targets[0]))]
        return np.asarray([float(value)])
    values = torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0]
    return np.asarray(values.cpu().numpy(), dtype=np.float64)


def _inner(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model
