"""Answers of a target as arrays of catalogue rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from footfall.simulator.fast.block import FAILURES
from footfall.simulator.targets.protocol import AnsweredPage

__all__ = ["Answers", "read_answers"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FAILURE: Final = {name: place for place, name in enumerate(FAILURES)}


class Answers(NamedTuple):
    """Pages that were answered.

    Attributes
    ----------
    page, position, item
        Of every item shown: its page, its place on it from 1, and its row, shape (items shown,).
    sizes, failure, seconds
        Of every page: items on it, place in :data:`~.block.FAILURES`, and how long it took, shape
        (pages,).
    """

    page: Ints
    position: Ints
    item: Ints
    sizes: Ints
    failure: Ints
    seconds: Floats


def read_answers(
    answers: Sequence[AnsweredPage], place: Mapping[str, int], page_size: int
) -> Answers:
    """Rows of the answered items, in the order of their pages.

    Items that the catalogue lacks and repeats are left out, and what is beyond ``page_size``.

    Parameters
    ----------
    place:
        Row of every item id.
    """
    count = len(answers)
    lengths = np.fromiter((len(each.item_ids) for each in answers), np.int64, count)
    ids = chain.from_iterable(each.item_ids for each in answers)
    item = np.fromiter(map(place.get, ids, repeat(-1)), np.int64, int(lengths.sum()))
    page = np.repeat(np.arange(count), lengths)
    page, item = _without(page, item, item >= 0)
    keys = page * (len(place) + 1) + item
    first = np.unique(keys, return_index=True)[1]
    if len(first) < len(keys):
        kept = np.zeros(len(keys), dtype=np.bool_)
        kept[first] = True
        page, item = _without(page, item, kept)
    starts = np.searchsorted(page, np.arange(count))
    position = np.arange(len(page)) - starts[page] + 1
    kept = position <= page_size
    page, item = _without(page, item, kept)
    return Answers(
        page=page,
        position=position[kept],
        item=item,
        sizes=np.bincount(page, minlength=count).astype(np.int64),
        failure=np.fromiter((_FAILURE[each.failure] for each in answers), np.int64, count),
        seconds=np.fromiter((each.seconds for each in answers), np.float64, count),
    )


def _without(page: Ints, item: Ints, kept: npt.NDArray[np.bool_]) -> tuple[Ints, Ints]:
    return (page, item) if kept.all() else (page[kept], item[kept])
