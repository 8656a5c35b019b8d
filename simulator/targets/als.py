"""Collaborative filtering by implicit's alternating least squares."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import copy
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from footfall.errors import MissingPartError, SettingError
from footfall.simulator.targets.protocol import PageRequest
from footfall.simulator.targets.shop_items import ShopItems, taken_pairs

__all__ = ["ALSTarget", "ImplicitTarget"]


class ImplicitTarget:
    """Any model of the library ``implicit`` that takes ``user_items`` when it recommends.

    A shopper is what they took (``history``), so that people whom the model has not been fitted on
    are served too: they are folded in (``recalculate_user``) where the model can do that; other
    factorisations (BPR, logistic) are given the mean of the items' vectors. Queries are not read.
    Who took nothing that the model knows gets what is popular, and popular items follow where the
    model has no more.

    Parameters
    ----------
    model:
        A model of implicit, fitted or not; it is fitted by :meth:`fit`.
    name:
        What its pages are called by.
    """

    def __init__(self, model: Any, *, name: str | None = None) -> None:
        self.model = model
        self.name = name or type(model).__name__
        self._shop = ShopItems.none()
        self._taken: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._left_out: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._learned = False

    def fit(self, items: pa.Table, events: pa.Table) -> ImplicitTarget:
        """Fit the model on who took what how often; what nobody known took has no vector."""
        from threadpoolctl import threadpool_limits

        self._shop = ShopItems.of(items, events)
        matrix = self._matrix(taken_pairs(events))
        self._learned = bool(matrix.nnz)
        if self._learned:
            # The library shares its work out itself; BLAS threads below it only stand in the way.
            with threadpool_limits(1, "blas"), warnings.catch_warnings():
                # Neighbourhood models warn of the form of a matrix that they make themselves.
                warnings.filterwarnings("ignore", "Method expects CSR input")
                self.model = _unfitted(self.model)
                self.model.fit(matrix, show_progress=False)
        self._taken = np.bincount(matrix.indices, minlength=len(self._shop.ids)) > 0
        self._left_out = np.flatnonzero(~(self._shop.available & self._taken))
        return self

    def _matrix(self, taken: pa.Table) -> Any:
        """Who took what how often, as CSR of shape (shoppers, items); nobody is no shopper."""
        taken = taken.filter(taken["shopper_id"].is_valid())
        places = [self._shop.place.get(each, -1) for each in taken["item_id"].to_pylist()]
        columns = np.array(places, np.int64)
        people, rows = np.unique(taken["shopper_id"].to_numpy(), return_inverse=True)
        known = columns >= 0
        values = taken["times"].to_numpy()[known].astype(np.float32)
        shape = (max(1, len(people)), len(self._shop.ids))
        return sparse.csr_matrix((values, (rows[known], columns[known])), shape=shape)

    def answer(self, requests: Sequence[PageRequest]) -> list[list[str]]:
        """One page a request."""
        self._shop.require(self.name)
        places = [
            [place for place in self._shop.places_of(request.history) if self._taken[place]]
            for request in requests
        ]
        pages = [self._shop.popular(request.limit, request.offset) for request in requests]
        known = [number for number, held in enumerate(places) if held] if self._learned else []
        if not known:
            return pages
        depth = max(requests[number].limit + requests[number].offset for number in known)
        for number, row in zip(
            known, self._recommend([places[n] for n in known], depth), strict=True
        ):
            request = requests[number]
            filled = self._shop.filled(row, request.offset + request.limit)
            pages[number] = filled[request.offset :]
        return pages

    def _recommend(self, histories: Sequence[Sequence[int]], depth: int) -> list[list[str]]:
        starts = np.cumsum([0, *map(len, histories)])
        columns = np.concatenate([np.asarray(history, np.int64) for history in histories])
        shape = (len(histories), len(self._shop.ids))
        taken = sparse.csr_matrix((np.ones(len(columns), np.float32), columns, starts), shape=shape)
        taken.sum_duplicates()
        wanted = min(depth, len(self._shop.ids) - len(self._left_out))
        found = self._ranked(taken, wanted) if wanted else np.zeros((len(histories), 0), int)
        return [self._shop.page(row[row >= 0]) for row in found]

    def _ranked(self, taken: Any, wanted: int) -> Any:
        """Places of the best items of each row of ``taken``; -1 where there are no more."""
        fold_in = {"recalculate_user": True} if hasattr(self.model, "recalculate_user") else {}
        try:
            found, _ = self.model.recommend(
                np.arange(taken.shape[0]),
                taken,
                N=wanted,
                filter_already_liked_items=False,
                filter_items=self._left_out,
                **fold_in,
            )
        except NotImplementedError:  # a factorisation that cannot fold in
            return self._by_mean(taken, wanted)
        return found

    def _by_mean(self, taken: Any, wanted: int) -> Any:
        from implicit.cpu.topk import topk

        counts = np.asarray(taken.sum(axis=1), np.float32)
        people = np.asarray(taken @ self.model.item_factors, np.float32) / counts
        # Where all people have the same value, the model keeps the items' biases.
        fixed = np.ptp(self.model.user_factors, axis=0) == 0
        people[:, fixed] = self.model.user_factors[0, fixed]
        found, _ = topk(self.model.item_factors, people, wanted, filter_items=self._left_out)
        return found


def _unfitted(model: Any) -> Any:
    """The model as it was before it learned.

    The library goes on from the vectors that a model has, also where they belong to other people
    and items, whose places it then reads beyond their end.
    """
    fresh = copy(model)
    for name in ("user_factors", "item_factors"):
        if getattr(fresh, name, None) is not None:
            setattr(fresh, name, None)
    return fresh


def _check(**options: int) -> None:
    """Refuse what is no whole number, or too small a one."""
    for name, value in options.items():
        least = 0 if name == "seed" else 1
        if not isinstance(value, int) or not least <= value < 2**32:
            raise SettingError(
                f"{name} is {value!r}.", hint=f"Use a whole number, {least} or more."
            )


class ALSTarget(ImplicitTarget):
    """Implicit-feedback matrix factorisation (Hu, Koren and Volinsky 2008).

    Parameters
    ----------
    factors:
        Length of a vector.
    regularization, alpha, iterations:
        As in the library.
    seed:
        Of the first vectors.

    Raises
    ------
    MissingPartError
        If implicit is not installed.
    SettingError
        If an option is unknown to it or out of its range.
    """

    def __init__(
        self,
        *,
        factors: int = 32,
        regularization: float = 0.05,
        alpha: float = 2.0,
        iterations: int = 15,
        seed: int = 0,
    ) -> None:
        _check(factors=factors, iterations=iterations, seed=seed)
        if not 0 <= regularization < inf or not 0 < alpha < inf:
            raise SettingError(
                f"regularization is {regularization} and alpha {alpha}.",
                hint="Use 0 or more, and a number above 0.",
            )
        try:
            from implicit.cpu.als import AlternatingLeastSquares
        except ImportError as error:
            raise MissingPartError(
                "The target als needs implicit.", hint="pip install 'footfall[stress]'"
            ) from error
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=factors,
                regularization=regularization,
                alpha=alpha,
                iterations=iterations,
                random_state=seed,
            )
        super().__init__(model, name="als")
