"""Translation models of transformers, such as MarianMT's.

Imports torch and transformers when a model is first used.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from footfall.errors import EngineMissingError, MissingPartError
from footfall.progress import track

__all__ = ["TranslationModel"]

#: Ways that are followed at once, so that the best few are found.
_LEAST_BEAMS = 4


class TranslationModel:
    """A sequence-to-sequence model of one direction in a folder, with its tokeniser.

    Parameters
    ----------
    folder:
        A folder that ``AutoModelForSeq2SeqLM`` and ``AutoTokenizer`` read.
    batch_size:
        Texts translated at once.
    max_tokens:
        Longest translation; longer texts are cut to as many tokens before.
    """

    def __init__(self, folder: str | Path, batch_size: int = 32, max_tokens: int = 48) -> None:
        self.folder = Path(folder)
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self._loaded: tuple[Any, Any] | None = None

    def translate(self, texts: Sequence[str], ranks: Sequence[int]) -> list[str]:
        """The ``rank``-th best translation of each text by beam search; empty texts stay empty.

        Raises
        ------
        MissingPartError
            If torch, transformers or the tokeniser's package is not installed.
        EngineMissingError
            If the folder holds no such model.
        """
        found = [""] * len(texts)
        filled = [place for place, text in enumerate(texts) if text.strip()]
        if not filled:
            return found
        # Texts of like length together, so that little is padded.
        filled.sort(key=lambda place: (len(texts[place]), place))
        with track(f"Translating with {self.folder.name}", total=len(filled)) as progress:
            for start in range(0, len(filled), self.batch_size):
                batch = filled[start : start + self.batch_size]
                best = self._best([texts[place] for place in batch], [ranks[p] for p in batch])
                for place, text in zip(batch, best, strict=True):
                    found[place] = " ".join(text.split())
                progress.advance(len(batch))
        return found

    def _best(self, texts: list[str], ranks: list[int]) -> list[str]:
        import torch

        tokenizer, model = self._load()
        ways = max(ranks) + 1
        inputs = tokenizer(
            texts, return_tensors="pt", padding=True, truncation=True, max_length=self.max_tokens
        ).to(model.device)
        with torch.inference_mode():
            answers = model.generate(
                **inputs,
                max_new_tokens=self.max_tokens,
                num_beams=max(_LEAST_BEAMS, ways),
                num_return_sequences=ways,
                do_sample=False,
            )
        chosen = [place * ways + rank for place, rank in enumerate(ranks)]
        decoded: list[str] = tokenizer.batch_decode(answers[chosen], skip_special_tokens=True)
        return decoded

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = _load(self.folder)
        return self._loaded


def _load(folder: Path) -> tuple[Any, Any]:
    """Tokeniser and network, ready for inference."""
    if not folder.is_dir():
        raise EngineMissingError(
            f"{folder}: there is no such folder of a translation model.",
            hint="Name a folder with a sequence-to-sequence model of transformers.",
        )
    try:
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        with warnings.catch_warnings():
            # It would even out punctuation, of which queries have next to none.
            warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
            tokenizer = AutoTokenizer.from_pretrained(folder)
    except ImportError as error:
        raise MissingPartError(
            f"A translation model needs torch, transformers and sentencepiece ({error}).",
            hint="Install them with `pip install 'footfall[translate]'`.",
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(folder, error) from error
    try:
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(folder, error) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return tokenizer, model.eval().requires_grad_(False).to(device)


def _unreadable(folder: Path, error: Exception) -> EngineMissingError:
    return EngineMissingError(
        f"{folder}: no translation model can be loaded: {str(error).splitlines()[0]}",
        hint="Name a folder with a sequence-to-sequence model of transformers.",
    )
