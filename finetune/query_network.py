"""The query classifier's network, and what it is trained on.

Imports torch; load it only where a model is trained or asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from footfall.finetune.adapters import orthogonality
from footfall.finetune.batches import Chunk, SlateSampler, TokenTable
from footfall.finetune.hidden_states import HiddenStates
from footfall.finetune.prediction import at_rest
from footfall.finetune.text_network import Reader, TextNetwork
from footfall.finetune.training import TrainingTask

if TYPE_CHECKING:
    from footfall.finetune.query_settings import QuerySettings

__all__ = ["QueryNetwork", "QueryTable", "class_log_probabilities", "query_task"]

Array = np.ndarray[Any, Any]

#: Most queries that the head is fitted on before training.
_START_ROWS = 5000
#: Inverse strength of that fit's penalty: vectors have length one, so weights have to be large.
_START_STRENGTH = 30.0


class QueryNetwork(TextNetwork):
    """Log-odds of every class, linear in the query's vector.

    Parameters
    ----------
    reader:
        The encoder.
    classes:
        How many.
    """

    def __init__(self, reader: Reader, classes: int) -> None:
        super().__init__(reader)
        self.classes = nn.Linear(self.encoder.config.hidden_size, classes)
        nn.init.zeros_(self.classes.weight)

    def score(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        """Log-odds up to a constant, shape (queries, classes)."""
        logits: torch.Tensor = self.classes(self.encode(chunks))
        return logits

    def forward(
        self,
        *,
        chunks: Sequence[Chunk],
        places: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Weighted cross-entropy in nats and log-odds of a batch.

        ``places`` are those of the rows' queries among the chunks' texts.
        """
        logits = self.score(chunks)[places]
        losses = nn.functional.cross_entropy(logits, targets, reduction="none")
        loss = (losses * weights).mean()
        if self.training:
            loss = loss + orthogonality(self.encoder)
        return {"loss": loss, "logits": logits}


@dataclass(frozen=True)
class QueryTable:
    """Pairs as numbers: ``queries``, ``targets``: int64, ``weights``: float32, shape (pairs,).

    ``queries`` are numbers of texts of ``tokens``; ``weights`` have mean 1.
    """

    tokens: TokenTable
    queries: Array
    targets: Array
    weights: Array
    states: HiddenStates | None = None

    @classmethod
    def of(
        cls,
        queries: Sequence[str],
        targets: Array,
        weights: Array,
        tokenizer: Any,
        max_tokens: int,
    ) -> QueryTable:
        """Tokenise every distinct query once."""
        texts = list(dict.fromkeys(queries))
        places = {text: place for place, text in enumerate(texts)}
        numbers = np.fromiter((places[text] for text in queries), np.int64, len(queries))
        mean = weights.mean() if len(weights) else 1.0
        return cls(
            TokenTable(texts, tokenizer, max_tokens),
            numbers,
            targets,
            (weights / mean).astype(np.float32),
        )

    def __len__(self) -> int:
        return len(self.queries)

    def padded(self, texts: Array) -> Chunk:
        """What the encoder starts from, and the mask, padded to the longest of some texts."""
        return (self.states or self.tokens).padded(texts)

    def prepare(self) -> None:
        """Compute the states of the texts that stand still."""
        if self.states is not None:
            self.states.prepare(np.arange(len(self.tokens)))


def collate(table: QueryTable, rows: Sequence[int]) -> dict[str, Any]:
    """One batch: each distinct query once."""
    chosen = np.asarray(rows, np.int64)
    texts, inverse = np.unique(table.queries[chosen], return_inverse=True)
    parts, places = table.tokens.parts(texts)
    return {
        "chunks": [table.padded(part) for part in parts],
        "places": torch.from_numpy(places[inverse]),
        "targets": torch.from_numpy(table.targets[chosen]),
        "weights": torch.from_numpy(table.weights[chosen]),
    }


def _by_text(network: QueryNetwork, table: QueryTable, texts: Array, scored: bool) -> Array:
    """Vectors of some texts, or the log-odds of their classes, float64."""
    if not len(texts):
        return np.zeros((0, network.classes.out_features))
    parts, places = table.tokens.parts(texts)
    device = network.classes.weight.device
    read = network.score if scored else network.encode
    with at_rest(network):
        chunks = map(table.padded, parts)
        found = torch.cat([read([(first.to(device), mask.to(device))]) for first, mask in chunks])
    values: Array = found.double().cpu().numpy()
    return values[places]


def class_log_probabilities(network: QueryNetwork, table: QueryTable) -> Array:
    """Natural logs of the probabilities of the classes, float64, shape (pairs, classes)."""
    logits = _by_text(network, table, np.arange(len(table.tokens)), scored=True)
    logits = logits - logits.max(1, keepdims=True, initial=-np.inf)
    logits -= np.log(np.exp(logits).sum(1, keepdims=True))
    found: Array = logits[table.queries]
    return found


def query_task(
    network: QueryNetwork, settings: QuerySettings, train: QueryTable, validation: QueryTable | None
) -> TrainingTask:
    """Pairs in shuffled order, stopped early by log loss on the validation pairs."""

    def start() -> None:
        for table in (validation, train):
            if table is not None:
                table.prepare()
        _start(network, train, settings.seed)

    return TrainingTask(
        rows=len(train),
        collate=partial(collate, train),
        sampler=lambda: SlateSampler(np.arange(len(train)), settings.seed),
        start=start,
        validation=None if validation is None else partial(_metrics, network, validation),
    )


def _metrics(network: QueryNetwork, table: QueryTable) -> dict[str, float]:
    """Cross-entropy in nats, and the share of responses whose class is the likeliest."""
    logs = class_log_probabilities(network, table)
    losses = -logs[np.arange(len(table)), table.targets]
    right = logs.argmax(1) == table.targets
    return {
        "loss": float(np.average(losses, weights=table.weights)),
        "accuracy": float(np.average(right, weights=table.weights)),
    }


def _start(network: QueryNetwork, table: QueryTable, seed: int) -> None:
    """Fit the classes by logistic regression on the untrained encoder's vectors."""
    from sklearn.linear_model import LogisticRegression

    classes = network.classes.out_features
    order = np.random.default_rng([seed, 3]).permutation(len(table))
    # One pair of every class first: the fit needs them all.
    _, first = np.unique(table.targets[order], return_index=True)
    rows = order[np.unique(np.r_[first, np.arange(min(len(order), _START_ROWS))])]
    vectors = _by_text(network, table, table.queries[rows], scored=False)
    model = LogisticRegression(C=_START_STRENGTH, max_iter=300)
    model.fit(vectors, table.targets[rows], sample_weight=table.weights[rows])
    slopes, offsets = model.coef_, model.intercept_
    if classes == 2:
        slopes, offsets = np.r_[-slopes, slopes] / 2, np.r_[-offsets, offsets] / 2
    with torch.no_grad():
        network.classes.weight.copy_(torch.from_numpy(slopes))
        network.classes.bias.copy_(torch.from_numpy(offsets))
