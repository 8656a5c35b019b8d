"""k-anonymity: what is published of a person is shared by k people at least.

Sweeney, "k-anonymity: a model for protecting privacy", 2002. Coarsening is by local suppression:
an attribute of a record is blanked (``""``), never altered.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.errors import PersonaError

__all__ = ["blank_rare_values", "encode_values", "smallest_group", "suppress"]

Codes = npt.NDArray[np.int64]


def smallest_group(records: pa.Table | Sequence[Sequence[str]]) -> int:
    """Number of rows in the smallest group of equal rows; 0 where there is no row.

    A table whose smallest group has ``k`` rows is k-anonymous in the columns given.
    """
    rows = (
        [tuple(row.values()) for row in records.to_pylist()]
        if isinstance(records, pa.Table)
        else [tuple(row) for row in records]
    )
    counts: dict[tuple[str, ...], int] = {}
    for row in rows:
        counts[row] = counts.get(row, 0) + 1
    return min(counts.values(), default=0)


def suppress(
    groups: Sequence[str], attributes: Sequence[Sequence[str]], k: int
) -> list[tuple[str, ...]]:
    """Blank attributes until every combination of group and attributes has ``k`` rows at least.

    Greedy, within each group: of the rows whose combination is still too rare, blank the one
    attribute that leaves the fewest such rows (ties: the attribute with the most distinct values
    among them, then the first). Rows that are blank all over and still too few pull the smallest
    other combination of their group down with them.

    Parameters
    ----------
    groups:
        The attribute that is never blanked (the segment), one per row.
    attributes:
        One tuple per row, all of the same length; ``""`` is missing.
    k:
        Smallest allowed group.

    Returns
    -------
    list
        The attributes of every row after suppression.

    Raises
    ------
    PersonaError
        If a group itself has fewer than ``k`` rows.
    """
    labels, starts = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    sizes = np.bincount(starts, minlength=len(labels))
    if len(sizes) and sizes.min() < k:
        raise PersonaError(
            f"The group {labels[int(sizes.argmin())]!r} has {sizes.min()} people, fewer than"
            f" k_anonymity = {k}.",
            hint="Set fewer segments or a smaller k_anonymity.",
        )
    codes, words = encode_values(attributes)
    for group in range(len(labels)):
        members = np.flatnonzero(starts == group)
        codes[members] = _suppress_group(codes[members], k)
    return [tuple(words[column][code] for column, code in enumerate(row)) for row in codes.tolist()]


def blank_rare_values(attributes: Sequence[Sequence[str]], k: int) -> list[tuple[str, ...]]:
    """The rows without values that fewer than ``k`` of them have: those become ``""``."""
    if not attributes:
        return []
    codes, words = encode_values(attributes)
    kept = []
    for column, known in enumerate(words):
        users = np.bincount(codes[:, column], minlength=len(known))
        kept.append(np.where(users >= k, np.array(known, dtype=object), "")[codes[:, column]])
    return list(zip(*(column.tolist() for column in kept), strict=True)) or [()] * len(attributes)


def encode_values(attributes: Sequence[Sequence[str]]) -> tuple[Codes, list[list[str]]]:
    """Integer codes per column, 0 being missing, and the words they stand for, sorted."""
    width = len(attributes[0]) if attributes else 0
    codes = np.zeros((len(attributes), width), dtype=np.int64)
    words = []
    for column in range(width):
        values = [row[column] for row in attributes]
        known = ["", *sorted(set(values) - {""})]
        place = {word: code for code, word in enumerate(known)}
        codes[:, column] = [place[value] for value in values]
        words.append(known)
    return codes, words


def _sizes(codes: Codes) -> Codes:
    """For each row, how many rows equal it."""
    if not codes.shape[1]:
        return np.full(len(codes), len(codes), dtype=np.int64)
    _, inverse, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    result: Codes = counts[inverse.reshape(-1)]
    return result


def _suppress_group(codes: Codes, k: int) -> Codes:
    codes = codes.copy()
    while True:
        rare = _sizes(codes) < k
        if not rare.any():
            return codes
        open_columns = np.flatnonzero((codes[rare] != 0).any(axis=0))
        if len(open_columns):
            _blank_best_column(codes, rare, open_columns, k)
        else:
            _pull_down_smallest(codes, rare)


def _blank_best_column(codes: Codes, rare: npt.NDArray[np.bool_], columns: Codes, k: int) -> None:
    def cost(column: int) -> tuple[int, int, int]:
        trial = codes.copy()
        trial[rare, column] = 0
        distinct = len(np.unique(codes[rare, column]))
        return int((_sizes(trial) < k).sum()), -distinct, column

    codes[rare, min(columns.tolist(), key=cost)] = 0


def _pull_down_smallest(codes: Codes, rare: npt.NDArray[np.bool_]) -> None:
    """Blank the smallest combination that is not blank already."""
    sizes = np.where(rare, np.iinfo(np.int64).max, _sizes(codes))
    chosen = codes[int(sizes.argmin())]
    codes[(codes == chosen).all(axis=1)] = 0
