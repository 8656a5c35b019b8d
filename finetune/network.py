"""The classifier's network: what the texts say, what the numbers say, added up to log-odds.

Imports torch; load it only where a model is trained or asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from footfall.finetune.adapters import orthogonality
from footfall.finetune.text_network import Reader, TextNetwork, build_reader

if TYPE_CHECKING:
    from pathlib import Path

    from footfall.finetune.click_settings import ClickSettings

__all__ = ["ClickNetwork", "CrossEncoder", "TwoTowers", "build_network"]

#: Scales of the cosines before any fitting; positive, so that ranking starts at zero-shot.
_QUERY_SCALE, _SHOPPER_SCALE = 8.0, 4.0
#: Share of the categories that are taken for unknown in a training step, so that a category which
#: training has not seen counts as much as the average one.
_UNKNOWN_SHARE = 0.1
#: Numbers that describe a category to the hidden layer.
_CATEGORY_WIDTH = 8


class Head(nn.Module):  # type: ignore[misc]
    """Log-odds of numbers and categories: linear, and through a hidden layer where it has one."""

    def __init__(self, features: int, hidden: int, categories: Sequence[int]) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.offsets = nn.ModuleList([nn.Embedding(size, 1) for size in categories])
        for offset in self.offsets:
            nn.init.zeros_(offset.weight)
        self.hidden: nn.Module | None = None
        self.described = nn.ModuleList()
        if hidden:
            self.described.extend(nn.Embedding(size, _CATEGORY_WIDTH) for size in categories)
            last = nn.Linear(hidden, 1, bias=False)
            nn.init.zeros_(last.weight)
            width = features + _CATEGORY_WIDTH * len(categories)
            self.hidden = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), last)

    def forward(self, numbers: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """Log-odds, shape (rows,), of numbers (rows, features) and categories (rows, columns)."""
        if self.training and categories.shape[1]:
            kept = torch.rand(categories.shape, device=categories.device) >= _UNKNOWN_SHARE
            categories = categories * kept
        logits = self.linear(numbers)
        for column, offset in enumerate(self.offsets):
            logits = logits + offset(categories[:, column])
        if self.hidden is not None:
            parts = [part(categories[:, n]) for n, part in enumerate(self.described)]
            logits = logits + self.hidden(torch.cat([numbers, *parts], -1))
        return logits.squeeze(-1)


class ClickNetwork(TextNetwork):
    """Log-odds of a response: ``texts + bias + head(numbers, categories)``.

    Subclasses say how texts are read (:meth:`read`) and what they say of a row (:meth:`terms`,
    :meth:`weigh`).
    """

    def __init__(self, reader: Reader, head: Head, *, squared: bool = False) -> None:
        super().__init__(reader)
        self.head = head
        self.bias = nn.Parameter(torch.zeros(()))
        self._squared = squared

    def read(self, chunks: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """What has to be kept of each text, shape (texts, anything)."""
        raise NotImplementedError

    def terms(
        self,
        texts: torch.Tensor,
        query: torch.Tensor,
        shopper: torch.Tensor,
        item: torch.Tensor,
        asked: torch.Tensor,
    ) -> torch.Tensor:
        """What the texts say of each row, shape (rows, terms).

        ``query``, ``shopper`` and ``item`` are places among ``texts``, shape (rows,); ``asked`` is
        1 where there is a query.
        """
        raise NotImplementedError

    def weigh(self, terms: torch.Tensor) -> torch.Tensor:
        """Log-odds of the texts, shape (rows,)."""
        raise NotImplementedError

    def score(
        self, terms: torch.Tensor, numbers: torch.Tensor, categories: torch.Tensor
    ) -> torch.Tensor:
        """Log-odds of a response, shape (rows,)."""
        return self.weigh(terms) + self.bias + self.head(numbers, categories)

    def forward(
        self,
        *,
        chunks: Sequence[tuple[torch.Tensor, torch.Tensor]],
        query: torch.Tensor,
        shopper: torch.Tensor,
        item: torch.Tensor,
        asked: torch.Tensor,
        numbers: torch.Tensor,
        categories: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Weighted loss and log-odds of a batch.

        The loss is divided by rows, not by their weights: a batch of light rows stays light.
        """
        terms = self.terms(self.read(chunks), query, shopper, item, asked)
        logits = self.score(terms, numbers, categories)
        if self._squared:
            losses = (torch.sigmoid(logits) - targets).square()
        else:
            losses = nn.functional.binary_cross_entropy_with_logits(
                logits, targets, reduction="none"
            )
        loss = (losses * weights).mean()
        if self.training:
            loss = loss + orthogonality(self.encoder)
        return {"loss": loss, "logits": logits}


class TwoTowers(ClickNetwork):
    """Shopper and query on one side, the item on the other.

    The texts say ``scale_q cos(query, item) + scale_s cos(shopper, item)``; the query term is 0
    when browsing. The scales are exponentials, so they stay positive and the untrained network
    ranks like the encoder's cosines.
    """

    def __init__(self, reader: Reader, head: Head, *, squared: bool = False) -> None:
        super().__init__(reader, head, squared=squared)
        self.log_scales = nn.Parameter(torch.tensor([_QUERY_SCALE, _SHOPPER_SCALE]).log())

    def read(self, chunks: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """The vector of each text, of length one."""
        return self.encode(chunks)

    def terms(
        self,
        texts: torch.Tensor,
        query: torch.Tensor,
        shopper: torch.Tensor,
        item: torch.Tensor,
        asked: torch.Tensor,
    ) -> torch.Tensor:
        """Cosines of query and item (0 when browsing) and of shopper and item."""
        items = texts[item]
        sides = [(texts[query] * items).sum(-1) * asked, (texts[shopper] * items).sum(-1)]
        return torch.stack(sides, -1)

    def weigh(self, terms: torch.Tensor) -> torch.Tensor:
        """The scaled cosines."""
        return terms @ self.log_scales.exp()


class CrossEncoder(ClickNetwork):
    """Query, shopper and item in one sequence, which the encoder reads whole.

    The texts say a linear function of the sequence's vector. It starts at 0: before training, the
    log-odds are those of the numbers, and ranking by text has to be learnt.
    """

    def __init__(self, reader: Reader, head: Head, *, squared: bool = False) -> None:
        super().__init__(reader, head, squared=squared)
        self.match = nn.Linear(self.encoder.config.hidden_size, 1, bias=False)
        nn.init.zeros_(self.match.weight)

    def read(self, chunks: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """What each sequence says, log-odds."""
        return self.match(self.encode(chunks))

    def terms(
        self,
        texts: torch.Tensor,
        query: torch.Tensor,
        shopper: torch.Tensor,
        item: torch.Tensor,
        asked: torch.Tensor,
    ) -> torch.Tensor:
        """What each row's sequence says; the three places are the same one."""
        del query, shopper, asked
        return texts[item]

    def weigh(self, terms: torch.Tensor) -> torch.Tensor:
        """The sequence's log-odds as they are."""
        return terms.squeeze(-1)


def build_network(
    settings: ClickSettings,
    features: int,
    *,
    categories: Sequence[int] = (),
    steps: int = 1,
    trained: Path | None = None,
    serving: nn.Module | None = None,
) -> ClickNetwork:
    """A fresh network, or with ``trained`` one whose encoder or adapter lies in that folder.

    Parameters
    ----------
    settings:
        Architecture, encoder and tuning.
    features:
        How many numbers describe a row.
    categories:
        How many values each categorical feature has, the unknown one included.
    steps:
        Planned training steps; AdaLoRA shares its ranks out over them.
    trained:
        Folder of a saved model.
    serving:
        An encoder made for serving, which is taken as it is.

    Raises
    ------
    EngineMissingError
        If the encoder cannot be loaded.
    SettingError
        If the encoder's architecture does not take the settings.
    """
    reader = build_reader(settings, steps=steps, trained=trained, serving=serving)
    head = Head(features, settings.head_hidden, categories)
    kind = TwoTowers if settings.architecture == "two_towers" else CrossEncoder
    return kind(reader, head, squared=settings.loss == "mse")
