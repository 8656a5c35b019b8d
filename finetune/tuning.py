"""Tuning the simulator's language model on a real log, from examples to a folder to serve.

Imports torch and transformers when called.
"""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footfall.errors import DataError, MissingPartError, TrainingError
from footfall.files import whole_file
from footfall.finetune.model_card import library_versions
from footfall.finetune.tuning_card import ServingSpeeds, TuningCard
from footfall.finetune.tuning_examples import Cut, TuningExamples, read_tuning_examples
from footfall.finetune.tuning_settings import TuningSettings
from footfall.models import whole_name
from footfall.simulator.catalog import utc_moment
from footfall.simulator.engines.bundled import model_hash, prepare_model
from footfall.simulator.engines.tuned import ADAPTER_FOLDER, TUNING_CARD
from footfall.simulator.log_part import log_part

if TYPE_CHECKING:
    from footfall.finetune.tuning_tokens import TokenizedExample
    from footfall.finetune.tuning_trainer import TunedFigures
    from footfall.simulator.log import Log

__all__ = ["read_tuning_card", "tune_model", "write_card"]

_CHECKPOINTS = "checkpoints"
_PARTIAL = "merged.partial"


def tune_model(
    log: Log,
    folder: str | Path,
    *,
    until: datetime | None = None,
    settings: TuningSettings | None = None,
    resume: bool = False,
) -> TuningCard:
    """Tune a language model on the real log before ``until`` and save it to a folder.

    The folder then holds the merged weights, which any engine serves, the adapter alone in
    ``adapter/``, and the card ``footfall-tuning.json``. It appears whole: the card is written
    last.

    Parameters
    ----------
    log:
        An open log.
    folder:
        Where the model is put.
    until:
        End of the training part, exclusive; all of the log where none is given.
    settings:
        Everything else.
    resume:
        Go on from the last checkpoint of an interrupted tuning; a finished one is left as it is.

    Raises
    ------
    TrainingError
        If the folder holds a tuning already (without ``resume``), the checkpoints are of other
        settings or data, or training fails.
    EngineMissingError
        If there is no such model.
    MissingPartError
        If torch, transformers or peft are not installed.
    """
    settings = settings or TuningSettings()
    folder = Path(folder)
    if not resume and (folder / TUNING_CARD).exists():
        raise TrainingError(
            f"{folder} holds a tuned model already.",
            hint="Choose another folder, delete this one, or give --resume.",
        )
    _require_parts()
    base = prepare_model(settings.model)
    examples = read_tuning_examples(log, settings, until=until, cut=_cutter(base))
    base_hash = model_hash(base)
    fingerprint = _fingerprint(settings, examples, base_hash)
    if (folder / TUNING_CARD).exists():
        return _finished(folder, fingerprint)
    _make(folder)
    figures = _train(base, examples, settings, folder, fingerprint, resume=resume)
    card = TuningCard(
        base_model=whole_name(settings.model),
        base_hash=base_hash,
        until=None if until is None else utc_moment(until).isoformat(),
        part=log_part(log),
        tasks=tuple(
            task for task in ("query", "choice") if any(row.task == task for row in examples.train)
        ),
        response=examples.response,
        candidates=examples.candidates,
        examples=examples.counts(),
        unseen_people=examples.unseen_people(),
        steps=figures.steps,
        planned_steps=figures.planned_steps,
        tokens=figures.tokens,
        seconds=figures.seconds,
        kept=figures.kept,
        before=figures.before,
        after=figures.after,
        rank=settings.rank,
        serving="adapter" if settings.serving == "adapter" else "merged",
        speeds=ServingSpeeds(note="not measured: the settings say how it is served"),
        settings=settings,
        versions=library_versions(),
        fingerprint=fingerprint,
    )
    card = _choose_serving(folder, card, examples)
    shutil.rmtree(folder / _CHECKPOINTS, ignore_errors=True)
    return card


def read_tuning_card(folder: str | Path) -> TuningCard:
    """The card of a tuned model's folder.

    Raises
    ------
    DataError
        If there is none, or it is damaged.
    """
    path = Path(folder) / TUNING_CARD
    try:
        return TuningCard.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is no card of a tuned model ({str(error).splitlines()[0]}).",
            hint="Make one with `footfall tune`.",
        ) from error


def _cutter(base: str) -> Cut:
    from transformers import AutoTokenizer

    from footfall.finetune.tuning_tokens import tokenizer_cutter

    return tokenizer_cutter(AutoTokenizer.from_pretrained(base))


def _require_parts() -> None:
    try:
        import peft  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingPartError(
            f"Tuning needs torch, transformers and peft ({error}).",
            hint="Install them with `pip install 'footfall[train]'`.",
        ) from error


def _fingerprint(settings: TuningSettings, examples: TuningExamples, base_hash: str) -> str:
    """Of all that decides the adapter; a time limit and the serving may change on resuming."""
    fields = settings.model_dump(mode="json", exclude={"max_minutes", "serving", "model"})
    digest = hashlib.sha256(json.dumps([fields, base_hash], sort_keys=True).encode())
    for part in (examples.train, examples.validation):
        for example in part:
            text = f"{example.prompt}\0{example.completion}\0\0"
            digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _finished(folder: Path, fingerprint: str) -> TuningCard:
    card = read_tuning_card(folder)
    if card.fingerprint != fingerprint:
        raise TrainingError(
            f"{folder} holds a model tuned with other settings, examples or another base.",
            hint="Choose another folder, or delete this one.",
        )
    return card


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"The folder {folder} cannot be made ({error.strerror or error}).",
            hint="Choose a folder that can be written to.",
        ) from error


def _train(
    base: str,
    examples: TuningExamples,
    settings: TuningSettings,
    folder: Path,
    fingerprint: str,
    *,
    resume: bool,
) -> TunedFigures:
    from footfall.finetune.tuning_network import (
        add_adapter,
        load_language_model,
        pad_token,
        quiet_transformers,
        training_dtype,
    )
    from footfall.finetune.tuning_trainer import train_adapter

    model, tokenizer = load_language_model(base, training_dtype(settings))
    train, validation = (
        _tokenized(part, tokenizer, settings) for part in (examples.train, examples.validation)
    )
    # The Trainer changes the configuration (such as `use_cache`); what is served keeps the base's.
    kept = copy.deepcopy((model.config, model.generation_config))
    tuned = add_adapter(model, settings)
    with quiet_transformers(), warnings.catch_warnings():
        # Of third parties: the Trainer's and peft's remarks on how they save.
        warnings.simplefilter("ignore")
        figures = train_adapter(
            tuned,
            settings,
            train,
            validation,
            pad=pad_token(tokenizer),
            folder=folder / _CHECKPOINTS,
            fingerprint=fingerprint,
            resume=resume,
        )
        model.config, model.generation_config = kept
        _save(tuned, tokenizer, folder)
    return figures


def _tokenized(
    examples: Sequence[Any], tokenizer: Any, settings: TuningSettings
) -> list[TokenizedExample]:
    from footfall.finetune.tuning_tokens import tokenize_example

    return [
        tokenize_example(tokenizer, example, max_tokens=settings.max_tokens) for example in examples
    ]


def _save(tuned: Any, tokenizer: Any, folder: Path) -> None:
    """The adapter, then base and adapter merged; the weights' folder is filled file by file."""
    partial = folder / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    try:
        tuned.save_pretrained(folder / ADAPTER_FOLDER)
        merged = tuned.merge_and_unload(safe_merge=True)
        merged.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        # What tells a folder from a model comes last.
        for path in sorted(partial.iterdir(), key=lambda path: path.name == "config.json"):
            path.replace(folder / path.name)
        partial.rmdir()
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise TrainingError(
            f"The tuned model cannot be written to {folder}: {error}",
            hint="Free disk space and tune again with resume: the training is kept.",
        ) from error
    except ValueError as error:
        raise TrainingError(
            f"The adapter cannot be merged or saved: {error}", hint="Lower `learning_rate`."
        ) from error


def _choose_serving(folder: Path, card: TuningCard, examples: TuningExamples) -> TuningCard:
    from footfall.finetune.tuning_serving import measure_serving

    write_card(folder, card)
    if card.settings.serving != "auto":
        return card
    prompts = [row for row in examples.validation + examples.train if row.task == "choice"]
    speeds = measure_serving(folder, prompts or examples.train)
    faster = (
        "adapter"
        if speeds.adapter is not None and speeds.adapter > (speeds.merged or 0.0)
        else "merged"
    )
    card = card.model_copy(update={"serving": faster, "speeds": speeds})
    write_card(folder, card)
    return card


def write_card(folder: Path, card: TuningCard) -> None:
    """Write the card, whole."""
    with whole_file(folder / TUNING_CARD) as partial:
        partial.write_text(card.model_dump_json(indent=1), encoding="utf-8")
