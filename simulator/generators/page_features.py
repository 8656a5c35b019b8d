"""The log's pages and shown items as tables of features, which networks learn and draw."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.simulator.catalog import Catalog
from footfall.simulator.generators.categories import CategoryTree, ColdItems
from footfall.simulator.generators.columns import normal_scores
from footfall.simulator.generators.nearest import NearestInCategory
from footfall.simulator.generators.network_settings import NetworkSettings
from footfall.simulator.generators.page_states import page_nodes
from footfall.simulator.generators.real_pages import RealPages

__all__ = ["END", "MORE", "OTHER", "START", "FeatureTables"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Columns: TypeAlias = dict[str, "Floats | Integers"]

#: How a page was reached, and how the session goes on after it: the same list, or another.
START, MORE, OTHER, END = 0, 1, 2, 3
#: The kind of page before the first.
_NO_KIND: Final = 2


class FeatureTables:
    """Features of pages and of shown items.

    A page is known by ``kind``, ``node`` (its category), ``size``, ``count_<response>`` for every
    response but the most frequent, ``dearness`` and ``popularity`` (means over its items),
    ``hour`` of the session's start and ``goes_on``; given ``arrived`` and, of the page before,
    ``last_kind``, ``last_node`` and ``last_responded``. A shown item is known by ``item_node``,
    ``dearness``, ``popularity`` and ``place``, given its ``response`` and its page's ``kind``,
    ``node``, ``page_dearness`` and ``page_popularity``.

    Prices and popularity are normal scores of the ranks in the catalogue; an unknown price is the
    middle one.

    Parameters
    ----------
    catalog, pages:
        What the shop sells and what it showed.
    settings:
        How many categories there may be, and how near a real item has to be.
    seed:
        Breaks ties between items that are alike.
    """

    #: Columns whose numbers are only names.
    CATEGORIES: Final = frozenset(
        {"kind", "node", "hour", "goes_on", "arrived", "last_kind", "last_node", "last_responded"}
        | {"item_node", "response"}
    )

    def __init__(
        self, catalog: Catalog, pages: RealPages, settings: NetworkSettings, *, seed: int
    ) -> None:
        shown = np.bincount(pages.item, minlength=len(catalog)).astype(np.int64)
        self.catalog, self.real = catalog, pages
        self.tree = CategoryTree.build(
            catalog.table["category"].to_pylist(),
            shown,
            fewest=settings.fewest_rows,
            most=settings.most_categories,
        )
        self.cold = ColdItems(self.tree, catalog.table["popularity"].to_numpy() == 0)
        self.traits = _traits(catalog)
        self.node = page_nodes(pages, self.tree)
        self.means = _page_means(pages, self.traits)
        counts = np.bincount(pages.response, minlength=len(pages.responses))
        self.usual = int(counts.argmax())
        self.rare = [kind for kind in range(len(counts)) if kind != self.usual]
        self.ordered = bool((pages.position > 0).any())
        near = settings.nearest
        self.items = NearestInCategory(
            self.tree,
            self.tree.item_node,
            self.traits,
            np.ones(len(catalog)),
            nearest=near,
            seed=seed,
        )
        self.queries = self._query_index(near, seed)

    def pages(self) -> tuple[Columns, Columns]:
        """Features and conditions of every real page."""
        real = self.real
        features: Columns = {
            "kind": real.kind,
            "node": self.node,
            "size": real.sizes,
            "dearness": self.means[:, 0],
            "popularity": self.means[:, 1],
            "hour": real.hour,
        }
        for kind in self.rare:
            hits = real.page[real.response == kind]
            features[f"count_{kind}"] = np.bincount(hits, minlength=len(real))
        arrived = np.where(real.first, START, np.where(real.continues, MORE, OTHER))
        features["goes_on"] = np.append(np.where(arrived[1:] == START, END, arrived[1:]), END)
        last = np.arange(len(real)) - 1
        return features, self.page_conditions(
            arrived, real.kind[last], self.node[last], real.responded[last]
        )

    @staticmethod
    def page_conditions(
        arrived: Integers,
        last_kind: Integers,
        last_node: Integers,
        last_responded: npt.NDArray[np.bool_],
    ) -> Columns:
        """What a page depends on; before a session's first page there is nothing."""
        opens = arrived == START
        return {
            "arrived": arrived,
            "last_kind": np.where(opens, _NO_KIND, last_kind),
            "last_node": np.where(opens, 0, last_node),
            "last_responded": np.where(opens, 0, last_responded).astype(np.int64),
        }

    def rows(self) -> tuple[Columns, Columns]:
        """Features and conditions of every real shown item."""
        real = self.real
        features: Columns = {
            "item_node": self.tree.item_node[real.item],
            "dearness": self.traits[real.item, 0],
            "popularity": self.traits[real.item, 1],
        }
        if self.ordered:
            features["place"] = real.position
        page = real.page
        return features, self.row_conditions(
            real.response, real.kind[page], self.node[page], self.means[page]
        )

    @staticmethod
    def row_conditions(
        response: Integers, kind: Integers, node: Integers, means: Floats
    ) -> Columns:
        """What a shown item depends on."""
        return {
            "response": response,
            "kind": kind,
            "node": node,
            "page_dearness": means[:, 0],
            "page_popularity": means[:, 1],
        }

    def row_weights(self) -> Floats:
        """How often each shown item is learned from: rare responses more than they occur.

        The response is a condition, so what is learned given it stays the same.
        """
        counts = np.bincount(self.real.response, minlength=len(self.real.responses))
        weights: Floats = 1.0 / np.sqrt(counts[self.real.response])
        return weights

    def layout(self, drawn: dict[str, Floats]) -> Integers:
        """How many rows of each response the drawn pages show, shape ``(pages, responses)``."""
        counts = np.zeros((len(drawn["size"]), len(self.real.responses)), dtype=np.int64)
        left = drawn["size"].astype(np.int64)
        for kind in self.rare:
            counts[:, kind] = np.minimum(drawn[f"count_{kind}"].astype(np.int64), left)
            left = left - counts[:, kind]
        counts[:, self.usual] = left
        return counts

    def _query_index(self, nearest: int, seed: int) -> NearestInCategory:
        """Queries by the category that they are about and the means of their pages."""
        real, count = self.real, len(self.real.queries)
        asked = np.flatnonzero(real.query >= 0)
        query = real.query[asked]
        times = np.bincount(query, minlength=count)
        node = np.zeros(count, dtype=np.int64)
        node[query] = self.node[asked]
        means = np.stack(
            [
                np.bincount(query, self.means[asked, trait], minlength=count) / np.maximum(times, 1)
                for trait in range(self.means.shape[1])
            ],
            axis=1,
        )
        return NearestInCategory(
            self.tree, node, means, times.astype(np.float64), nearest=nearest, seed=seed
        )


def _traits(catalog: Catalog) -> Floats:
    """Price and popularity of every item as normal scores of their ranks, shape ``(items, 2)``."""
    traits = np.zeros((len(catalog), 2))
    for column, name in enumerate(("price", "popularity")):
        values = catalog.table[name].cast(pa.float64()).to_numpy()
        known = np.isfinite(values)
        if not known.any():
            continue
        traits[known, column] = normal_scores(np.sort(values[known]), values[known])
    return traits


def _page_means(pages: RealPages, traits: Floats) -> Floats:
    """Means of the shown items' traits, shape ``(pages, traits)``; 0 where nothing is shown."""
    sizes = np.maximum(pages.sizes, 1)
    means: Floats = np.stack(
        [
            np.bincount(pages.page, traits[pages.item, trait], minlength=len(pages)) / sizes
            for trait in range(traits.shape[1])
        ],
        axis=1,
    )
    return means
