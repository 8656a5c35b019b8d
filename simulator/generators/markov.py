"""A Markov simulator of sessions: pages follow one another by category, items by frequency.

A page is in a state: opened by a query or by browsing, in a category. The next state depends on
the state and on whether the page led to a response. What a page shows is drawn given its state:
how many items and how many responses, the category of every item given its response, the item
given its category and response, and the place on the page given the response. All of it is
frequencies of the real log; what is rare borrows from the category above it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from footfall.errors import SettingError
from footfall.simulator.catalog import Catalog
from footfall.simulator.generators.backoff import BackOff, crossed
from footfall.simulator.generators.blocks import (
    SESSIONS_AT_ONCE,
    DrawnPages,
    DrawnRows,
    block_table,
    drawn_once,
    ranked,
)
from footfall.simulator.generators.categories import CategoryTree, ColdItems
from footfall.simulator.generators.page_states import page_nodes
from footfall.simulator.generators.real_pages import QUERY, RealPages

if TYPE_CHECKING:
    from footfall.simulator.log import Log

__all__ = ["MarkovGenerator", "MarkovSettings"]

Flags: TypeAlias = npt.NDArray[np.bool_]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Rows that an item counts for although nobody saw it: Jeffreys' prior of a share.
_UNSEEN: Final = 0.5


class MarkovSettings(BaseModel):
    """Options of the Markov simulator."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fewest_rows: int = Field(
        50, ge=1, description="A category is a state of its own if the log shows so many of it."
    )
    strength: float = Field(
        10.0, gt=0, description="Observations that the category above is worth."
    )
    most_pages: int = Field(50, ge=1, description="A session ends after so many pages.")
    most_sessions: int = Field(
        200_000, ge=1, description="Real sessions to count, chosen by a hash of their id."
    )


class MarkovGenerator:
    """Sessions as a Markov chain over pages; see the module's description.

    Parameters
    ----------
    **options:
        Those of :class:`MarkovSettings`.
    """

    name = "markov"

    def __init__(self, **options: Any) -> None:
        self.settings = MarkovSettings(**options)
        self._fitted: _Fitted | None = None

    def fit(self, log: Log, *, until: datetime | None, seed: int) -> Self:
        """Count the real pages before ``until``; errors as in the protocol."""
        catalog = Catalog.from_log(log, until=until)
        pages = RealPages.read(
            log, catalog, until=until, most_sessions=self.settings.most_sessions, seed=seed
        )
        self._fitted = _Fitted(catalog, pages, self.settings)
        return self

    def sessions(self, count: int, *, seed: int, cold_items: float = 0.0) -> Iterator[pa.Table]:
        """Sessions as in the protocol."""
        if self._fitted is None:
            raise SettingError("The Markov simulator was not fitted.", hint="Call fit first.")
        for number, first in enumerate(range(0, count, SESSIONS_AT_ONCE)):
            generator = np.random.default_rng([seed, number])
            size = min(SESSIONS_AT_ONCE, count - first)
            yield self._fitted.block(first, size, generator, cold_items)


class _Fitted:
    """The frequencies, and drawing from them.

    A state is ``kind * nodes + node``; contexts add to it what they also depend on.
    """

    def __init__(self, catalog: Catalog, pages: RealPages, settings: MarkovSettings) -> None:
        shown = np.bincount(pages.item, minlength=len(catalog)).astype(np.int64)
        tree = CategoryTree.build(
            catalog.table["category"].to_pylist(), shown, fewest=settings.fewest_rows
        )
        self.catalog, self.pages, self.tree, self.settings = catalog, pages, tree, settings
        self.cold = ColdItems(tree, catalog.table["popularity"].to_numpy() == 0)
        self.nodes, self.kinds = len(tree), len(pages.responses)
        state = pages.kind * self.nodes + page_nodes(pages, tree)
        # States of one kind lie in one another as their categories do.
        above = np.concatenate(
            [np.where(tree.parent < 0, -1, tree.parent + first) for first in (0, self.nodes)]
        )
        self._fit_chain(state, above)
        self._fit_pages(state, above)
        self._fit_items(state, above)

    def _fit_chain(self, state: Integers, above: Integers) -> None:
        """How sessions begin and go on; the two last outcomes are the same list, and the end."""
        pages, states = self.pages, 2 * self.nodes
        self.more, self.stop = states, states + 1
        following = np.append(state[1:], self.stop)
        following[np.append(pages.continues[1:], False)] = self.more
        following[np.append(pages.first[1:], True)] = self.stop
        context = 2 * state + pages.responded
        first = pages.first
        nothing = np.zeros(first.sum(), np.int64)
        strength = self.settings.strength
        self.starts = BackOff(nothing, state[first], np.array([-1]), strength=0.0)
        self.follows = BackOff(context, following, crossed(above, 2), strength=strength)

    def _fit_pages(self, state: Integers, above: Integers) -> None:
        """How many items with which responses a page shows, and which query opened it."""
        pages = self.pages
        counts = np.zeros((len(pages), self.kinds), dtype=np.int64)
        np.add.at(counts, (pages.page, pages.response), 1)
        self.layouts, layout = np.unique(counts, axis=0, return_inverse=True)
        strength = self.settings.strength
        self.shows = BackOff(state, layout.reshape(-1), above, strength=strength)
        asked = pages.query >= 0
        self.queries = BackOff(
            state[asked] % self.nodes, pages.query[asked], self.tree.parent, strength=0.0
        )

    def _fit_items(self, state: Integers, above: Integers) -> None:
        """Category given state and response, item given category and response, and place."""
        pages, tree, kinds = self.pages, self.tree, self.kinds
        strength = self.settings.strength
        node = tree.item_node[pages.item]
        # Every item of the catalogue counts a little, so that all of it can be reached.
        rates = np.bincount(pages.response, minlength=kinds) / len(pages.response)
        unseen = np.bincount(tree.item_node, minlength=self.nodes)[:, None] * _UNSEEN * rates
        everywhere = 2 * self.nodes
        context = np.append(
            state[pages.page] * kinds + pages.response,
            everywhere * kinds + np.tile(np.arange(kinds), self.nodes),
        )
        outcome = np.append(node, np.repeat(np.arange(self.nodes), kinds))
        weights = np.append(np.ones(len(node)), unseen.reshape(-1))
        wider = crossed(np.append(np.where(above < 0, everywhere, above), -1), kinds)
        self.categories = BackOff(context, outcome, wider, strength=strength, weights=weights)
        # Contexts below `nodes` are whole categories; above, a category with a response.
        inside = self.nodes + node * kinds + pages.response
        self.items = BackOff(
            np.append(inside, tree.item_node),
            np.append(pages.item, np.arange(len(self.catalog))),
            np.append(np.full(self.nodes, -1), np.repeat(np.arange(self.nodes), kinds)),
            strength=strength,
            weights=np.append(np.ones(len(inside)), np.full(len(self.catalog), _UNSEEN)),
        )
        placed = pages.position > 0
        self.ordered = bool(placed.any())
        self.places = BackOff(
            pages.response[placed],
            pages.position[placed],
            np.append(np.full(kinds, kinds), -1),
            strength=strength,
        )

    def block(
        self, first: int, count: int, generator: np.random.Generator, cold_items: float
    ) -> pa.Table:
        """The sessions from ``first`` on as a table."""
        drawn, state, layout = self._chain(first, count, generator)
        rows = self._rows(state, layout, generator, cold_items)
        return block_table(
            drawn,
            rows,
            catalog=self.catalog,
            queries=self.pages.queries,
            responses=self.pages.responses,
            kept_shares=self.pages.kept_shares(),
        )

    def _chain(
        self, first: int, count: int, generator: np.random.Generator
    ) -> tuple[DrawnPages, Integers, Integers]:
        """Pages of all sessions, one page of each at a time; their states and layouts."""
        responding: Flags = np.any(self.layouts[:, self.pages.responding] > 0, axis=1)
        session = np.arange(count)
        state = self.starts.draw(np.zeros(count, np.int64), generator)
        query = self._typed(state, generator)
        page = np.ones(count, np.int64)
        found = []
        for step in range(1, self.settings.most_pages + 1):
            layout = self.shows.draw(state, generator)
            found.append((session, np.full(len(session), step), page, query, state, layout))
            following = self.follows.draw(2 * state + responding[layout], generator)
            going = following != self.stop
            session, following = session[going], following[going]
            if not len(session):
                break
            more = following == self.more
            state = np.where(more, state[going], following)
            query = np.where(more, query[going], self._typed(state, generator))
            page = np.where(more, page[going] + 1, 1)
        session, step_, page, query, state, layout = map(np.concatenate, zip(*found, strict=True))
        order = np.lexsort((step_, session))
        drawn = DrawnPages(
            session[order] + first,
            step_[order],
            page[order],
            query[order],
            np.full(len(order), -1),
        )
        return drawn, state[order], layout[order]

    def _typed(self, state: Integers, generator: np.random.Generator) -> Integers:
        """Queries of states that have one, -1 of the others."""
        drawn = self.queries.draw(state % self.nodes, generator)
        return np.where(state // self.nodes == QUERY, drawn, -1)

    def _rows(
        self,
        state: Integers,
        layout: Integers,
        generator: np.random.Generator,
        cold_items: float,
    ) -> DrawnRows:
        counts = self.layouts[layout]
        page = np.repeat(np.arange(len(state)), counts.sum(axis=1))
        kinds = np.tile(np.arange(self.kinds), len(state))
        response = np.repeat(kinds, counts.reshape(-1))
        node = self.categories.draw(state[page] * self.kinds + response, generator)
        replaced = generator.random(len(page)) < cold_items * bool(len(self.cold))

        def draw(rows: Integers) -> Integers:
            context = self.nodes + node[rows] * self.kinds + response[rows]
            items = self.items.draw(context, generator)
            if replaced.any():
                items = np.where(replaced[rows], self.cold.draw(node[rows], generator), items)
            return items

        # Of two rows with one item, the one that was responded to stays.
        last = ~self.pages.responding[response] * len(page) + np.arange(len(page))
        kept, item = drawn_once(page, last, draw)
        page, response = page[kept], response[kept]
        position = np.zeros(len(page), np.int64)
        if self.ordered:
            wanted = self.places.draw(response, generator) + generator.random(len(page))
            position = ranked(page, wanted)
        return DrawnRows(page, item, response, position)
