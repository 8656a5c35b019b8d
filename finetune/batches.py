"""Texts tokenised once, and batches in which each distinct text is encoded once.

Imports torch; load it only where a model is trained or asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import Dataset, Sampler

from footfall.finetune.example_table import Examples
from footfall.finetune.hidden_states import HiddenStates

__all__ = ["Chunk", "PairTable", "RowNumbers", "SlateSampler", "TokenTable", "collate"]

Array = np.ndarray[Any, Any]
Chunk = tuple[torch.Tensor, torch.Tensor]

#: Texts of similar length that are padded together.
CHUNK_TEXTS = 32


class TokenTable:
    """Token ids of texts, flat, with offsets: int32, and int64 of shape (texts + 1,)."""

    def __init__(self, texts: Sequence[str], tokenizer: Any, max_tokens: int) -> None:
        self.texts = texts
        ids: list[list[int]] = []
        if texts:
            # An empty text still has the two marks of its ends.
            ids = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
        self.lengths: Array = np.fromiter(map(len, ids), np.int64, len(ids))
        self.offsets: Array = np.r_[0, np.cumsum(self.lengths)]
        self.flat: Array = np.fromiter(chain.from_iterable(ids), np.int32)
        self.padding: int = tokenizer.pad_token_id or 0

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, texts: Array) -> Chunk:
        """Token ids and mask of some texts, padded to the longest of them."""
        lengths = self.lengths[texts]
        places = np.arange(int(lengths.max()))
        mask = places < lengths[:, None]
        source = np.minimum(self.offsets[texts][:, None] + places, len(self.flat) - 1)
        ids = np.where(mask, self.flat[source], self.padding)
        return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(mask.astype(np.int64))

    def parts(self, texts: Array, size: int = CHUNK_TEXTS) -> tuple[list[Array], Array]:
        """Cut texts into parts of like length.

        Returns
        -------
        tuple
            The parts, and for each of ``texts`` its place among their rows, shape (texts,).
        """
        order = np.argsort(self.lengths[texts], kind="stable")
        places = np.empty(len(texts), np.int64)
        places[order] = np.arange(len(texts))
        return [texts[order[start : start + size]] for start in range(0, len(texts), size)], places


@dataclass(frozen=True)
class PairTable:
    """Examples as numbers: which texts a row has, its features, target and weight.

    ``query``, ``shopper``, ``item``, ``slate``: int64, shape (rows,); ``numbers``: float32, shape
    (rows, features), standardised. ``states`` are the hidden states below the trained layers;
    without them the encoder starts at the token ids.
    """

    tokens: TokenTable
    query: Array
    shopper: Array
    item: Array
    slate: Array
    asked: Array
    numbers: Array
    targets: Array
    weights: Array
    states: HiddenStates | None = None

    @classmethod
    def from_examples(
        cls, examples: Examples, numbers: Array, tokenizer: Any, max_tokens: int
    ) -> PairTable:
        """Tokenise every distinct text of the examples once.

        Weights are scaled to mean 1, so that the learning rate means the same for every fusion.
        """
        table = examples.table
        columns = [table["query"].fill_null(""), table["shopper_text"], table["item_text"]]
        joined = pa.chunked_array([c for column in columns for c in column.chunks], pa.string())
        codes = joined.combine_chunks().dictionary_encode()
        if isinstance(codes, pa.ChunkedArray):
            codes = codes.combine_chunks()
        places = codes.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        query, shopper, item = places.reshape(3, len(examples))
        mean = examples.weights.mean() if len(examples) else 1.0
        return cls(
            tokens=TokenTable(codes.dictionary.to_pylist(), tokenizer, max_tokens),
            query=query,
            shopper=shopper,
            item=item,
            slate=examples.slate_numbers(),
            asked=table["query"].is_valid().to_numpy().astype(np.float32),
            numbers=numbers.astype(np.float32),
            targets=examples.labels.astype(np.float32),
            weights=(examples.weights / mean).astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.targets)

    def used_texts(self) -> Array:
        """Numbers of the texts that count in some row, each once, ascending."""
        sides = (self.query[self.asked > 0], self.shopper, self.item)
        return np.unique(np.concatenate(sides))

    def padded(self, texts: Array) -> Chunk:
        """What the encoder starts from, and the mask, padded to the longest of some texts."""
        return (self.states or self.tokens).padded(texts)


class RowNumbers(Dataset):  # type: ignore[misc]
    """A dataset of row numbers; the collator looks the rows up."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> int:
        return row


class SlateSampler(Sampler):  # type: ignore[misc]
    """Rows in the order of shuffled slates, so that a slate's rows meet in one batch.

    The order depends on seed and epoch only: a resumed run sees what the first would have seen.
    """

    def __init__(self, slates: Array, seed: int) -> None:
        self._slates = slates
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._slates)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, self._epoch])
        turns = rng.permutation(int(self._slates.max()) + 1)
        return iter(np.argsort(turns[self._slates], kind="stable").tolist())


def collate(pairs: PairTable, rows: Sequence[int]) -> dict[str, Any]:
    """One batch for :class:`~footfall.finetune.network.ClickNetwork`: each distinct text once."""
    chosen = np.asarray(rows, np.int64)
    asked = pairs.asked[chosen]
    # Without a query the query's text is the item's: it costs no encoding and counts for nothing.
    query = np.where(asked > 0, pairs.query[chosen], pairs.item[chosen])
    every = np.concatenate([query, pairs.shopper[chosen], pairs.item[chosen]])
    texts, inverse = np.unique(every, return_inverse=True)
    parts, places = pairs.tokens.parts(texts)
    where = torch.from_numpy(places[inverse].reshape(3, len(chosen)))
    return {
        "chunks": [pairs.padded(part) for part in parts],
        "query": where[0],
        "shopper": where[1],
        "item": where[2],
        "asked": torch.from_numpy(asked),
        "numbers": torch.from_numpy(pairs.numbers[chosen]),
        "targets": torch.from_numpy(pairs.targets[chosen]),
        "weights": torch.from_numpy(pairs.weights[chosen]),
    }
