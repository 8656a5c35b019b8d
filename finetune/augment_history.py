"""Other orders and parts of a shopper's history, in the manner of CL4SRec.

Xie et al., *Contrastive Learning for Sequential Recommendation* (ICDE 2022), crop, mask and reorder
what a user did before; rotating is a cyclic shift. There two such views of one user are drawn
together; here each becomes a training row beside the original.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Final

import numpy as np

from footfall.finetune.augmentation_settings import AugmentationSettings

__all__ = ["HISTORY_CHANGES", "crop", "mask", "reorder", "rotate"]

History = Sequence[str]
Change = Callable[[History, AugmentationSettings, np.random.Generator], list[str]]


def crop(history: History, settings: AugmentationSettings, rng: np.random.Generator) -> list[str]:
    """A contiguous part of ``crop_share`` of the history, at least one text and never all."""
    return list(history[_stretch(history, settings.crop_share, rng, least=1)])


def mask(history: History, settings: AugmentationSettings, rng: np.random.Generator) -> list[str]:
    """Without each text with the probability ``mask_share``; at least one goes and one stays.

    A masked text is left out: the shopper's line has no sign for a hidden item.
    """
    hidden = rng.random(len(history)) < settings.mask_share
    first, second = rng.permutation(len(history))[:2]
    if hidden.all():
        hidden[first] = False
    if not hidden.any():
        hidden[second] = True
    return [text for text, gone in zip(history, hidden, strict=True) if not gone]


def reorder(
    history: History, settings: AugmentationSettings, rng: np.random.Generator
) -> list[str]:
    """A contiguous part of ``reorder_share`` of the history, at least two texts, is shuffled."""
    part = _stretch(history, settings.reorder_share, rng, least=2, whole=True)
    changed = list(history)
    order = rng.permutation(part.stop - part.start)
    if (np.diff(order) > 0).all():
        order = np.roll(order, 1)
    changed[part] = [history[part.start + place] for place in order]
    return changed


def rotate(
    history: History,
    settings: AugmentationSettings,  # noqa: ARG001 - all changes are called alike
    rng: np.random.Generator,
) -> list[str]:
    """Shifted cyclically by at least one place: the latest texts come first, or the other way."""
    by = int(rng.integers(1, len(history)))
    return [*history[by:], *history[:by]]


#: Changes by kind; each takes a history of at least two texts.
HISTORY_CHANGES: Final[dict[str, Change]] = {
    "crop": crop,
    "mask": mask,
    "reorder": reorder,
    "rotate": rotate,
}


def _stretch(
    history: History,
    share: float,
    rng: np.random.Generator,
    *,
    least: int,
    whole: bool = False,
) -> slice:
    count = len(history)
    length = min(max(least, ceil(share * count - 1e-9)), count if whole else count - 1)
    start = int(rng.integers(count - length + 1))
    return slice(start, start + length)
