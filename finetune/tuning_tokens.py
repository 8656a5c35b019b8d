"""Tuning examples as token ids, in batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from footfall.finetune.tuning_examples import TuningExample
from footfall.simulator.engines.choices import following_tokens

__all__ = ["TokenizedExample", "collate", "make_batches", "tokenize_example", "tokenizer_cutter"]

#: Target of places that no loss is taken at.
IGNORED = -100


@dataclass(frozen=True, slots=True)
class TokenizedExample:
    """``ids`` of prompt and answer; the last ``answer`` of them are the answer's."""

    ids: tuple[int, ...]
    answer: int
    is_choice: bool
    options: tuple[int, ...] = ()


def tokenize_example(
    tokenizer: Any, example: TuningExample, *, max_tokens: int
) -> TokenizedExample:
    """Token ids of an example, cut as the engine reads it.

    The prompt is encoded as engines encode it; of a longer one the end is kept. The answer begins
    with the very token from which an engine reads a choice.
    """

    def encode(text: str) -> Sequence[int]:
        ids: Sequence[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    prompt = list(tokenizer.encode(example.prompt))[-max_tokens:]
    answer = following_tokens(encode, example.completion)
    options = tuple(following_tokens(encode, option)[0] for option in example.options)
    return TokenizedExample((*prompt, *answer), len(answer), example.task == "choice", options)


def tokenizer_cutter(tokenizer: Any) -> Callable[[str, int], str]:
    """A function that cuts a text after so many tokens, remembering what it cut."""
    kept: dict[tuple[str, int], str] = {}

    def cut(text: str, most: int) -> str:
        # A token is at least one byte, so short texts need not be looked at.
        if len(text.encode()) <= most:
            return text
        if (text, most) not in kept:
            ids = tokenizer.encode(text, add_special_tokens=False)
            short = text if len(ids) <= most else tokenizer.decode(ids[:most])
            kept[text, most] = short.rstrip("\ufffd").strip()
        return kept[text, most]

    return cut


def make_batches(
    lengths: Sequence[int], *, batch_tokens: int, rng: np.random.Generator
) -> list[list[int]]:
    """Rows of like length together, as many as ``batch_tokens`` hold with their padding.

    A row longer than that has a batch of its own. Rows of one length are in an order drawn anew.
    """
    order = rng.permutation(len(lengths))
    order = order[np.argsort(np.asarray(lengths)[order], kind="stable")]
    batches: list[list[int]] = []
    for row in order.tolist():
        # Rising lengths: this row is the longest of its batch.
        if batches and (len(batches[-1]) + 1) * lengths[row] <= batch_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def collate(rows: Sequence[TokenizedExample], pad: int) -> dict[str, Any]:
    """Padded batch as tensors.

    Padding stands at the end, where a causal model cannot see it from any answer.

    Returns
    -------
    dict
        ``input_ids`` and ``attention_mask`` of shape (rows, longest); ``places`` (k,): positions
        that answer tokens of any row are read at; ``targets`` (rows, k): the tokens to be read
        there, -100 where a row has none.
    """
    import torch

    longest = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    targets = np.full((len(rows), longest), IGNORED, dtype=np.int64)
    for number, row in enumerate(rows):
        size = len(row.ids)
        ids[number, :size] = row.ids
        mask[number, :size] = 1
        targets[number, size - row.answer - 1 : size - 1] = row.ids[size - row.answer :]
    places = np.flatnonzero((targets != IGNORED).any(axis=0))
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "places": torch.from_numpy(places),
        "targets": torch.from_numpy(targets[:, places]),
    }
