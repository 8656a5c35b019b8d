"""Log-odds of many rows, with each distinct text encoded once.

Imports torch; load it only where a model is trained or asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from footfall.finetune.batches import PairTable
from footfall.finetune.network import ClickNetwork
from footfall.finetune.text_network import TextNetwork

__all__ = ["at_rest", "predict_log_odds", "text_terms", "weighted_log_loss"]

Array = np.ndarray[Any, Any]

_BLOCK_ROWS = 65_536


def text_terms(network: ClickNetwork, pairs: PairTable) -> torch.Tensor:
    """What the texts say of each row, shape (rows, terms); each distinct text is read once."""
    used = pairs.used_texts()
    parts, places = pairs.tokens.parts(used)
    device = network.bias.device
    with at_rest(network):
        chunks = map(pairs.padded, parts)
        texts = torch.cat(
            [network.read([(first.to(device), mask.to(device))]) for first, mask in chunks]
        )
        row_of = np.zeros(len(pairs.tokens), np.int64)
        row_of[used] = places
        terms = []
        for start in range(0, len(pairs), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            sides = (row_of[side[block]] for side in (pairs.query, pairs.shopper, pairs.item))
            query, shopper, item = (torch.from_numpy(side).to(device) for side in sides)
            asked = torch.from_numpy(pairs.asked[block]).to(device)
            terms.append(network.terms(texts, query, shopper, item, asked))
        return torch.cat(terms)


@contextmanager
def at_rest(network: TextNetwork) -> Iterator[None]:
    """Without dropout and without gradients."""
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        yield
    network.train(was_training)


def predict_log_odds(network: ClickNetwork, pairs: PairTable) -> Array:
    """Log-odds of a response on the scale of the slates, float64, shape (rows,)."""
    if not len(pairs):
        return np.zeros(0)
    terms = text_terms(network, pairs)
    device = network.bias.device
    with at_rest(network):
        logits = network.score(
            terms,
            torch.from_numpy(pairs.numbers).to(device),
            torch.from_numpy(pairs.categories).to(device),
        )
    values: Array = logits.double().cpu().numpy()
    return values


def weighted_log_loss(log_odds: Array, targets: Array, weights: Array) -> float:
    """Mean cross-entropy in nats, from log-odds so that no probability rounds to 0 or 1."""
    losses = np.logaddexp(0.0, np.where(targets > 0, -log_odds, log_odds))
    return float(np.average(losses, weights=weights))
