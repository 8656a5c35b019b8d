"""Log-odds of many rows, with each distinct text encoded once.

Imports torch; load it only where a model is trained or asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from footfall.finetune.batches import PairTable
from footfall.finetune.network import ClickNetwork

__all__ = ["cosines", "predict_log_odds", "weighted_log_loss"]

Array = np.ndarray[Any, Any]

_BLOCK_ROWS = 65_536


def cosines(network: ClickNetwork, pairs: PairTable) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines of query and item (0 when browsing) and of shopper and item, shape (rows,) each."""
    used = pairs.used_texts()
    parts, places = pairs.tokens.parts(used)
    device = network.bias.device
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        chunks = map(pairs.padded, parts)
        vectors = torch.cat(
            [network.encode([(first.to(device), mask.to(device))]) for first, mask in chunks]
        )
        row_of = np.zeros(len(pairs.tokens), np.int64)
        row_of[used] = places
        result = [
            _dot(vectors, row_of[side], row_of[pairs.item]) for side in (pairs.query, pairs.shopper)
        ]
    network.train(was_training)
    asked = torch.from_numpy(pairs.asked).to(device)
    return result[0] * asked, result[1]


def _dot(vectors: torch.Tensor, left: Array, right: Array) -> torch.Tensor:
    parts = []
    for start in range(0, len(left), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        a = vectors[torch.from_numpy(left[block]).to(vectors.device)]
        b = vectors[torch.from_numpy(right[block]).to(vectors.device)]
        parts.append((a * b).sum(-1))
    return torch.cat(parts)


def predict_log_odds(network: ClickNetwork, pairs: PairTable) -> Array:
    """Log-odds of a response on the scale of the slates, float64, shape (rows,)."""
    if not len(pairs):
        return np.zeros(0)
    query, shopper = cosines(network, pairs)
    device = network.bias.device
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        logits = network.score(
            query,
            shopper,
            torch.from_numpy(pairs.asked).to(device),
            torch.from_numpy(pairs.numbers).to(device),
        )
    network.train(was_training)
    values: Array = logits.double().cpu().numpy()
    return values


def weighted_log_loss(log_odds: Array, targets: Array, weights: Array) -> float:
    """Mean cross-entropy in nats, from log-odds so that no probability rounds to 0 or 1."""
    losses = np.logaddexp(0.0, np.where(targets > 0, -log_odds, log_odds))
    return float(np.average(losses, weights=weights))
