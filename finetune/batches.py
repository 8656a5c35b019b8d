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
import pyarrow.compute as pc
import torch
from torch.utils.data import Dataset, Sampler

from footfall.finetune.example_table import Examples
from footfall.finetune.hidden_states import HiddenStates

__all__ = ["Chunk", "PairTable", "RowNumbers", "SlateSampler", "TokenTable", "collate"]

Array = np.ndarray[Any, Any]
Chunk = tuple[torch.Tensor, torch.Tensor]
#: A text, or the two halves of a sequence.
Text = str | tuple[str, str]

#: Between the halves of a sequence while they are sorted out; no text holds it.
_BETWEEN = "\x1e"
#: Batches whose slates are sorted by length together, where they are.
_GROUPED_BATCHES = 50
#: Texts of similar length that are padded together.
CHUNK_TEXTS = 32


class TokenTable:
    """Token ids of texts, flat, with offsets: int32, and int64 of shape (texts + 1,)."""

    def __init__(self, texts: Sequence[Text], tokenizer: Any, max_tokens: int) -> None:
        self.texts = texts
        limits = {"truncation": True, "max_length": max_tokens}
        blank = [next((n for n in (tokenizer.eos_token_id, tokenizer.pad_token_id) if n), 0)]
        ids: list[list[int]] = []
        if texts:
            sides = zip(*texts, strict=True) if isinstance(texts[0], tuple) else (texts,)
            ids = tokenizer(*map(list, sides), **limits)["input_ids"]
        # Encoders put marks around an empty text, decoders need not.
        ids = [row or blank for row in ids]
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
    (rows, features), standardised; ``categories``: int64, shape (rows, features). ``states`` are
    the hidden states below what is trained; without them the encoder starts at the token ids.
    """

    tokens: TokenTable
    query: Array
    shopper: Array
    item: Array
    slate: Array
    asked: Array
    numbers: Array
    categories: Array
    targets: Array
    weights: Array
    states: HiddenStates | None = None

    @classmethod
    def from_examples(
        cls,
        examples: Examples,
        numbers: Array,
        tokenizer: Any,
        max_tokens: int,
        *,
        categories: Array | None = None,
        whole: bool = False,
    ) -> PairTable:
        """Tokenise every distinct text of the examples once.

        Weights are scaled to mean 1, so that the learning rate means the same for every fusion.

        Parameters
        ----------
        examples:
            The rows.
        numbers, categories:
            Standardised features and numbers of categories, shape (rows, features).
        tokenizer, max_tokens:
            The encoder's tokeniser, and where texts are cut.
        whole:
            Query, shopper and item are one sequence, of which ``query``, ``shopper`` and ``item``
            are the number, for a cross-encoder.
        """
        rows = len(examples)
        asked = examples.table["query"].is_valid().to_numpy().astype(np.float32)
        texts, places = _sequences(examples, tokenizer) if whole else _texts(examples)
        query, shopper, item = places
        mean = examples.weights.mean() if rows else 1.0
        return cls(
            tokens=TokenTable(texts, tokenizer, max_tokens),
            query=query,
            shopper=shopper,
            item=item,
            slate=examples.slate_numbers(),
            asked=asked,
            numbers=numbers.astype(np.float32),
            categories=np.zeros((rows, 0), np.int64) if categories is None else categories,
            targets=examples.labels.astype(np.float32),
            weights=(examples.weights / mean).astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.targets)

    def used_texts(self) -> Array:
        """Numbers of the texts that count in some row, each once, ascending."""
        sides = (self.query[self.asked > 0], self.shopper, self.item)
        return np.unique(np.concatenate(sides))

    def row_lengths(self) -> Array:
        """Tokens of all texts of each row, shape (rows,)."""
        lengths = self.tokens.lengths
        sides: Array = lengths[self.shopper] + lengths[self.item]
        sides += np.where(self.asked > 0, lengths[self.query], 0)
        return sides

    def padded(self, texts: Array) -> Chunk:
        """What the encoder starts from, and the mask, padded to the longest of some texts."""
        return (self.states or self.tokens).padded(texts)


def _texts(examples: Examples) -> tuple[list[Text], Array]:
    """The distinct texts, and the numbers of each row's query, shopper and item."""
    table = examples.table
    columns = [table["query"].fill_null(""), table["shopper_text"], table["item_text"]]
    joined = pa.chunked_array([c for column in columns for c in column.chunks], pa.string())
    texts, places = _distinct(joined)
    return texts, places.reshape(3, len(examples))


def _sequences(examples: Examples, tokenizer: Any) -> tuple[list[Text], Array]:
    """The distinct (query and shopper, item) sequences, and the number of each row's, thrice."""
    table = examples.table
    # Where the tokeniser puts no mark between the halves of a pair, a new line does.
    marked = tokenizer.num_special_tokens_to_add(pair=True) > 1
    mark = f" {tokenizer.sep_token} " if marked and tokenizer.sep_token else "\n"
    asked = pc.binary_join_element_wise(table["query"], table["shopper_text"], mark)
    first = pc.if_else(table["query"].is_valid(), asked, table["shopper_text"])
    keys, places = _distinct(
        pc.binary_join_element_wise(first, table["item_text"], _BETWEEN, null_handling="replace")
    )
    halves = [key.partition(_BETWEEN) for key in keys]
    texts: list[Text] = [(one, two if marked else "\n" + two) for one, _, two in halves]
    return texts, np.tile(places, (3, 1))


def _distinct(column: pa.ChunkedArray) -> tuple[list[Any], Array]:
    codes = column.combine_chunks().dictionary_encode()
    if isinstance(codes, pa.ChunkedArray):
        codes = codes.combine_chunks()
    places: Array = codes.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes.dictionary.to_pylist(), places


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

    Parameters
    ----------
    slates:
        Number of each row's slate, shape (rows,).
    seed:
        Seed of the order.
    lengths:
        Tokens of each row, shape (rows,): slates of like length then follow one another within
        fifty batches, and the batches are shuffled again.
    batch:
        Rows in a batch; needed with ``lengths``.
    """

    def __init__(
        self, slates: Array, seed: int, *, lengths: Array | None = None, batch: int = 1
    ) -> None:
        self._slates = slates
        self._seed = seed
        self._lengths = lengths
        self._batch = batch
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._slates)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self._seed, self._epoch])
        turns = rng.permutation(int(self._slates.max()) + 1)
        rows = np.argsort(turns[self._slates], kind="stable")
        if self._lengths is not None:
            rows = self._grouped(rows, self._lengths, rng)
        return iter(rows.tolist())

    def _grouped(self, rows: Array, lengths: Array, rng: np.random.Generator) -> Array:
        longest = np.zeros(int(self._slates.max()) + 1, np.int64)
        np.maximum.at(longest, self._slates, lengths)
        slate = self._slates[rows]
        # A slate belongs to the group of its first row, so that none is torn apart.
        turn = np.cumsum(np.r_[False, slate[1:] != slate[:-1]])
        first = np.flatnonzero(np.r_[True, slate[1:] != slate[:-1]])
        group = first[turn] // (self._batch * _GROUPED_BATCHES)
        rows = rows[np.lexsort((turn, longest[slate], group))]
        batches = [rows[start : start + self._batch] for start in range(0, len(rows), self._batch)]
        # The last batch may be smaller, and stays the last.
        order = [*rng.permutation(len(batches) - 1), len(batches) - 1]
        return np.concatenate([batches[n] for n in order])


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
        "categories": torch.from_numpy(pairs.categories[chosen]),
        "targets": torch.from_numpy(pairs.targets[chosen]),
        "weights": torch.from_numpy(pairs.weights[chosen]),
    }
