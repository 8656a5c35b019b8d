"""Texts to vectors with a BERT-like encoder (MiniLM by default)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from footfall.errors import EngineMissingError, MissingPartError, SettingError
from footfall.models import MINILM, encoder_folder
from footfall.progress import track

__all__ = ["TextEncoder"]


class TextEncoder:
    """Mean-pooled sentence vectors in float32, on CUDA where there is one, else on the CPU.

    Parameters
    ----------
    model:
        ``all-minilm-l6-v2`` (bundled), a folder, or a hub name of any Hugging Face encoder.
    batch_size:
        Texts per forward pass.
    max_tokens:
        Longer texts are cut after this many tokens, the two special ones included.
    device:
        ``"cpu"``, ``"cuda"``, ...; chosen automatically when ``None``.
    threads:
        CPU threads of torch for the whole process; torch decides when ``None``.

    Notes
    -----
    Mean pooling over the unmasked tokens is what all-MiniLM-L6-v2 was trained with (Reimers and
    Gurevych, "Sentence-BERT", EMNLP 2019). The weights are loaded at the first :meth:`encode`.
    """

    def __init__(
        self,
        model: str = MINILM,
        batch_size: int = 64,
        *,
        max_tokens: int = 64,
        device: str | None = None,
        threads: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise SettingError(f"batch_size is {batch_size}.", hint="Use 1 or more.")
        if max_tokens < 3:
            raise SettingError(f"max_tokens is {max_tokens}.", hint="Use 3 or more.")
        self.model = model
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self.device = device
        self.threads = threads
        self._loaded: tuple[Any, Any] | None = None
        self._identity = ""

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._load()[1].config.hidden_size)

    @property
    def identity(self) -> str:
        """Hash of what decides a vector: the weights (or the hub name) and the token limit."""
        if not self._identity:
            digest = hashlib.sha256(f"mean {self.max_tokens} ".encode())
            folder = Path(encoder_folder(self.model))
            files = [*folder.glob("*.safetensors"), *folder.glob("*.bin"), *folder.glob("*.json")]
            for file in sorted(files):
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
            if not files:
                digest.update(self.model.encode())
            self._identity = digest.hexdigest()[:16]
        return self._identity

    def encode(
        self, texts: Sequence[str], *, normalize: bool = True, description: str = ""
    ) -> npt.NDArray[np.float32]:
        """Vectors of ``texts``, shape ``(len(texts), dimension)``.

        Each distinct text is encoded once, in batches of similar length. With ``normalize`` the
        vectors have length one, so that their dot product is the cosine. A ``description`` shows
        a progress bar.

        Raises
        ------
        MissingPartError
            If torch, transformers or the bundled model is not installed.
        EngineMissingError
            If the model cannot be loaded.
        """
        if not texts:
            return np.zeros((0, self.dimension), dtype=np.float32)
        places: dict[str, int] = {}
        inverse = np.fromiter(
            (places.setdefault(text, len(places)) for text in texts), np.int64, len(texts)
        )
        vectors = self._encode_distinct(list(places), description)
        if normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors /= np.maximum(lengths, 1e-12)
        return vectors[inverse]

    def _encode_distinct(self, texts: list[str], description: str) -> npt.NDArray[np.float32]:
        tokenizer, _ = self._load()
        ids = tokenizer(texts, truncation=True, max_length=self.max_tokens)["input_ids"]
        order = sorted(range(len(texts)), key=lambda place: (len(ids[place]), place))
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        batches = [
            order[start : start + self.batch_size]
            for start in range(0, len(order), self.batch_size)
        ]
        if not description:
            for batch in batches:
                vectors[batch] = self._forward([ids[place] for place in batch])
            return vectors
        with track(description, len(texts)) as task:
            for batch in batches:
                vectors[batch] = self._forward([ids[place] for place in batch])
                task.advance(len(batch))
        return vectors

    def _forward(self, ids: list[list[int]]) -> npt.NDArray[np.float32]:
        import torch

        tokenizer, model = self._load()
        batch = tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(model.device)
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        vectors: npt.NDArray[np.float32] = pooled.float().cpu().numpy()
        return vectors

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = _load(self.model, self.device, self.threads)
        return self._loaded


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the bar that transformers draws for every loaded weight off the terminal."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _load(model: str, device: str | None, threads: int | None) -> tuple[Any, Any]:
    """Tokeniser and network, ready for inference."""
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise MissingPartError(
            f"The text encoder needs torch and transformers ({error}).",
            hint="Install them with `pip install 'footfall[train,models]'`.",
        ) from error
    folder = encoder_folder(model)
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        with _quiet():
            network = AutoModel.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise EngineMissingError(
            f"The text encoder {model!r} cannot be loaded: {str(error).splitlines()[0]}",
            hint=f"Use {MINILM!r} or a folder with a Hugging Face encoder.",
        ) from error
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return tokenizer, network.eval().requires_grad_(False).to(chosen)
