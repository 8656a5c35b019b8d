"""Whole people from counts of pairs: each attribute is drawn given the one it hangs on most.

Chow and Liu, "Approximating discrete probability distributions with dependence trees", 1968: of
all trees the one whose branches hold the most mutual information is the likeliest. The segment is
a node of it. A branch that tells no more than chance would is cut (Akaike's criterion), and the
attribute is then drawn alone.

What is kept are counts of values and of pairs of values, each of ``k`` users at least. So many
attributes can be drawn of which hardly a combination is shared by ``k`` users, and nobody's record
is among what is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from footfall.personas.anonymity import encode_values

__all__ = ["Branch", "DependencyTree"]

Codes = npt.NDArray[np.int64]

_ROOT: Final = -1
#: Information in nats below which a branch is a rounding error.
_NOTHING: Final = 1e-9


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Branch(_Stored):
    """How one attribute is drawn."""

    attribute: int = Field(ge=0, description="Place among the attributes.")
    given: int | None = Field(
        ge=_ROOT, description="Place of the attribute it hangs on, -1 the segment, none if alone."
    )
    users: dict[str, int] = Field(description="Value to users; the empty value is unknown.")
    pairs: dict[str, dict[str, int]] = Field(
        description="Value of what it hangs on to value to users."
    )
    others: dict[str, int] = Field(
        description="Value of what it hangs on to users of all values too rare to be told with it."
    )

    def draw(self, given: str, random: np.random.Generator) -> str:
        """A value beside ``given``; one that no pair is known of is drawn alone."""
        values, bounds = self._drawn_from.get(given) or self._alone
        return values[min(int(np.searchsorted(bounds, random.random(), "right")), len(values) - 1)]

    @cached_property
    def _alone(self) -> tuple[list[str], npt.NDArray[np.float64]]:
        return _bounds({value: float(users) for value, users in self.users.items()})

    @cached_property
    def _drawn_from(self) -> dict[str, tuple[list[str], npt.NDArray[np.float64]]]:
        """The pairs that are told, and what is left shared out as the values are elsewhere."""
        found = {}
        for given in self.pairs.keys() | self.others.keys():
            shares = {value: float(users) for value, users in self.pairs.get(given, {}).items()}
            rest = {value: users for value, users in self.users.items() if value not in shares}
            total = sum(rest.values())
            left = self.others.get(given, 0)
            shares |= {value: left * users / total for value, users in rest.items() if left}
            if shares:
                found[given] = _bounds(shares)
        return found


class DependencyTree(_Stored):
    """Branches in the order in which they are drawn."""

    branches: list[Branch]

    @classmethod
    def fit(cls, segments: Sequence[str], attributes: Sequence[Sequence[str]], k: int) -> Self:
        """The tree of people, one row each; ``""`` is unknown.

        Parameters
        ----------
        segments:
            One per person, each of ``k`` people at least.
        attributes:
            One tuple per person, without values of fewer than ``k`` people
            (:func:`~footfall.personas.anonymity.blank_rare_values`).
        k:
            Users that every kept count stands for, at least.
        """
        codes, words = encode_values(
            [(segment, *row) for segment, row in zip(segments, attributes, strict=True)]
        )
        sizes = [len(known) for known in words]
        gains = _gains(codes, sizes)
        branches = []
        for node, given in _drawing_order(gains):
            users = np.bincount(codes[:, node], minlength=sizes[node])
            pairs: dict[str, dict[str, int]] = {}
            others: dict[str, int] = {}
            if given is not None:
                table = _pair_table(codes, sizes, given, node)
                pairs = {
                    word: kept
                    for word, row in zip(words[given], table, strict=True)
                    if (kept := _told(words[node], row, k))
                }
                left = np.where(table < k, table, 0).sum(axis=1)
                others = _told(words[given], left, k)
            branches.append(
                Branch(
                    attribute=node - 1,
                    given=None if given is None else given - 1,
                    users=_told(words[node], users, k) or {"": k},
                    pairs=pairs,
                    others=others,
                )
            )
        return cls(branches=branches)

    def draw(self, segment: str, random: np.random.Generator) -> dict[int, str]:
        """Place to value of one new person of the segment; unknown ones are left out."""
        drawn = {_ROOT: segment}
        for branch in self.branches:
            given = "" if branch.given is None else drawn[branch.given]
            drawn[branch.attribute] = branch.draw(given, random)
        return {place: drawn[place] for place in sorted(drawn) if place != _ROOT and drawn[place]}


def _bounds(shares: dict[str, float]) -> tuple[list[str], npt.NDArray[np.float64]]:
    bounds = np.cumsum(np.fromiter(shares.values(), np.float64, len(shares)))
    return list(shares), bounds / bounds[-1]


def _told(words: Sequence[str], users: Codes, k: int) -> dict[str, int]:
    """The counts of at least ``k`` users, most users first."""
    order = np.argsort(-users, kind="stable")
    return {words[place]: int(users[place]) for place in order.tolist() if users[place] >= k}


def _pair_table(codes: Codes, sizes: list[int], row: int, column: int) -> Codes:
    pairs = codes[:, row] * sizes[column] + codes[:, column]
    table: Codes = np.bincount(pairs, minlength=sizes[row] * sizes[column]).reshape(
        sizes[row], sizes[column]
    )
    return table


def _gains(codes: Codes, sizes: list[int]) -> npt.NDArray[np.float64]:
    """Mutual information of all pairs in nats, less what Akaike's criterion takes from it."""
    people, width = codes.shape
    gains = np.zeros((width, width))
    for row in range(width):
        for column in range(row + 1, width):
            table = _pair_table(codes, sizes, row, column) / people
            expected = np.outer(table.sum(axis=1), table.sum(axis=0))
            seen = table > 0
            told = float((table[seen] * np.log(table[seen] / expected[seen])).sum())
            free = (seen.any(axis=1).sum() - 1) * (seen.any(axis=0).sum() - 1)
            gains[row, column] = told - free / people
    return gains


def _drawing_order(gains: npt.NDArray[np.float64]) -> list[tuple[int, int | None]]:
    """Every node but the segment (0) with what it hangs on, after that."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    width = len(gains)
    # The heaviest tree is the lightest one of the negated gains; a zero is no edge.
    tree = minimum_spanning_tree(csr_array(np.where(gains > _NOTHING, -gains, 0.0)))
    order: list[tuple[int, int | None]] = []
    reached: set[int] = set()
    for start in range(width):
        if start in reached:
            continue
        found, before = breadth_first_order(tree, start, directed=False)
        for node in found.tolist():
            reached.add(node)
            if node:
                order.append((node, None if node == start else int(before[node])))
    return order
