"""Folders of saved models: written whole, and read with a word about what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from footfall.errors import InputError, MissingPartError, TrainingError
from footfall.models import BUNDLED_LANGUAGE_MODEL, MINILM, whole_name

if TYPE_CHECKING:
    from footfall.finetune.training_settings import TrainingSettings

__all__ = [
    "check_parts",
    "check_replaceable",
    "finished",
    "load_tensors",
    "read_model_file",
    "save_encoder",
    "save_head",
    "saved_settings",
    "whole_folder",
    "write_json",
]


def check_parts() -> None:
    """Find out that a package for training is missing before any work.

    Raises
    ------
    MissingPartError
        If one is not installed.
    """
    for part in ("torch", "transformers", "peft", "accelerate"):
        if find_spec(part) is None:
            raise MissingPartError(
                f"The package {part} is not installed.",
                hint="Install it with `pip install 'footfall[train,models]'`.",
            )


def check_replaceable(folder: Path) -> None:
    """Refuse to write over what is not a saved model.

    Raises
    ------
    TrainingError
        If the folder holds something else.
    """
    if not folder.exists() or (folder / "settings.json").is_file():
        return
    if folder.is_dir() and not any(folder.iterdir()):
        return
    raise TrainingError(f"{folder} exists and is not a saved model.", hint="Choose another folder.")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A place to write a model that takes the name ``folder`` only when the block ends well."""
    check_replaceable(folder)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that people can read."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def saved_settings(settings: TrainingSettings) -> dict[str, Any]:
    """Settings for JSON; the encoder's folder is whole, as a model may be loaded from elsewhere."""
    content = settings.model_dump(mode="json")
    if settings.encoder.lower() not in {BUNDLED_LANGUAGE_MODEL, MINILM}:
        content["encoder"] = whole_name(settings.encoder)
    return content


def read_model_file(folder: Path, name: str) -> bytes:
    """Content of a file of a saved model.

    Raises
    ------
    InputError
        If it is not there.
    """
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise InputError(
            f"{folder} does not hold a model: {name} cannot be read ({error.strerror}).",
            hint="Name a folder written by `footfall train` or `footfall export-model`, or for "
            "queries by `footfall classify train` or `classify export`.",
        ) from error


def save_encoder(network: Any, folder: Path) -> None:
    """Write what was trained of the encoder: an ``adapter``, or the whole ``encoder``."""
    encoder = network.encoder
    if not hasattr(encoder, "peft_config"):
        if any(value.requires_grad for value in encoder.parameters()):
            encoder.save_pretrained(str(folder / "encoder"))
        return
    # AdaLoRA would cut its matrices down to the last ranks, while the weights kept may be earlier
    # ones: ranks that are switched off are 0 in them anyway.
    configuration = encoder.peft_config["default"]
    ranks = getattr(configuration, "rank_pattern", None)
    if configuration.peft_type == "ADALORA":
        configuration.rank_pattern = None
    # "auto" would ask the model hub whether the vocabulary was changed.
    encoder.save_pretrained(str(folder / "adapter"), save_embedding_layers=False)
    if configuration.peft_type == "ADALORA":
        configuration.rank_pattern = ranks


def save_head(network: Any, folder: Path) -> None:
    """Write everything that is not the encoder."""
    from safetensors.torch import save_file

    head = {
        name: value.detach().cpu().contiguous()
        for name, value in network.state_dict().items()
        if not name.startswith("encoder.")
    }
    save_file(head, str(folder / "head.safetensors"))


def load_tensors(path: Path) -> dict[str, Any]:
    """Tensors of a saved model.

    Raises
    ------
    InputError
        If the file is damaged or missing.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found: dict[str, Any] = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: the weights cannot be read: {error}") from error
    return found


def finished(folder: Path, fingerprint: str) -> bool:
    """Whether the folder holds the model of exactly this training."""
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(card.get("fingerprint") == fingerprint)
