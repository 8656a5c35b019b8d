"""Sessions by a variational autoencoder or a generative adversarial network.

Two networks of one kind. The first draws the features of a page given what the session did last:
how it was opened, the category it is about, how many items it shows, how many responses it gets,
how dear and how popular its items are, the hour, and how the session goes on. The second draws the
features of each shown item given its page and response: category, price, popularity, place. What
is drawn becomes the nearest real query and item of the category.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.errors import MissingPartError, SettingError
from footfall.simulator.catalog import Catalog
from footfall.simulator.generators.blocks import (
    SESSIONS_AT_ONCE,
    DrawnPages,
    DrawnRows,
    block_table,
    drawn_once,
    ranked,
)
from footfall.simulator.generators.network_settings import (
    GANSettings,
    NetworkSettings,
    VAESettings,
)
from footfall.simulator.generators.page_features import END, MORE, START, FeatureTables
from footfall.simulator.generators.real_pages import QUERY, RealPages

if TYPE_CHECKING:
    from footfall.simulator.generators.columns import TableCodec
    from footfall.simulator.generators.table_models import TableModel
    from footfall.simulator.log import Log

__all__ = ["GANGenerator", "VAEGenerator"]

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Cold items of the category that the nearest in price is taken of.
_COLD_CHOICE = 8


class _NetworkGenerator:
    """What both generators share; see the module's description."""

    name: ClassVar[str]
    _settings_kind: ClassVar[type[NetworkSettings]]

    def __init__(self, **options: Any) -> None:
        self.settings = self._settings_kind(**options)
        self._fitted: _Fitted | None = None

    def fit(self, log: Log, *, until: datetime | None, seed: int) -> Self:
        """Train both networks on the real pages before ``until``.

        Raises
        ------
        EmptyLogError
            If there is no page to learn from.
        MissingPartError
            If torch is not installed.
        """
        catalog = Catalog.from_log(log, until=until)
        pages = RealPages.read(
            log, catalog, until=until, most_sessions=self.settings.most_sessions, seed=seed
        )
        self._fitted = _Fitted(catalog, pages, self.settings, self._model, seed)
        return self

    def sessions(self, count: int, *, seed: int, cold_items: float = 0.0) -> Iterator[pa.Table]:
        """Sessions as in the protocol."""
        if self._fitted is None:
            raise SettingError(f"The generator {self.name} was not fitted.", hint="Call fit first.")
        for number, first in enumerate(range(0, count, SESSIONS_AT_ONCE)):
            generator = np.random.default_rng([seed, number])
            size = min(SESSIONS_AT_ONCE, count - first)
            yield self._fitted.block(first, size, generator, cold_items)

    def _model(self, codec: TableCodec, conditions: int) -> TableModel:
        raise NotImplementedError


class VAEGenerator(_NetworkGenerator):
    """Sessions by a conditional variational autoencoder.

    Parameters
    ----------
    **options:
        Those of :class:`~footfall.simulator.generators.network_settings.VAESettings`.
    """

    name = "vae"
    _settings_kind = VAESettings
    settings: VAESettings

    def _model(self, codec: TableCodec, conditions: int) -> TableModel:
        model: TableModel = _table_models().TableVAE(codec, conditions, self.settings)
        return model


class GANGenerator(_NetworkGenerator):
    """Sessions by a conditional Wasserstein GAN.

    Parameters
    ----------
    **options:
        Those of :class:`~footfall.simulator.generators.network_settings.GANSettings`.
    """

    name = "gan"
    _settings_kind = GANSettings
    settings: GANSettings

    def _model(self, codec: TableCodec, conditions: int) -> TableModel:
        model: TableModel = _table_models().TableGAN(codec, conditions, self.settings)
        return model


def _table_models() -> Any:
    try:
        from footfall.simulator.generators import table_models
    except ImportError as error:
        raise MissingPartError(
            f"The generators vae and gan need torch ({error}).",
            hint="Install it with `pip install 'footfall[train]'`.",
        ) from error
    return table_models


class _Network:
    """A model of the rows of one table given those of another."""

    def __init__(
        self,
        features: dict[str, Any],
        conditions: dict[str, Any],
        weights: Floats,
        make: Callable[[TableCodec, int], TableModel],
        seed: int,
    ) -> None:
        from footfall.simulator.generators.columns import TableCodec

        names = FeatureTables.CATEGORIES
        self._features = TableCodec(features, categories=names)
        self._conditions = TableCodec(conditions, categories=names)
        self._model = make(self._features, self._conditions.width)
        if self._features.width:
            rows, given = self._features.encode(features), self._conditions.encode(conditions)
            self._model.fit(rows, given, weights, seed=seed)

    def draw(self, conditions: dict[str, Any], generator: np.random.Generator) -> dict[str, Floats]:
        """A row of features for each row of conditions."""
        given = self._conditions.encode(conditions)
        if not self._features.width:
            return self._features.decode(np.zeros((len(given), 0), np.float32))
        return self._features.decode(self._model.sample(given, generator))


class _Fitted:
    """Both networks, and how what they draw becomes sessions."""

    def __init__(
        self,
        catalog: Catalog,
        pages: RealPages,
        settings: NetworkSettings,
        make: Callable[[TableCodec, int], TableModel],
        seed: int,
    ) -> None:
        self.settings = settings
        self.tables = tables = FeatureTables(catalog, pages, settings, seed=seed)
        self.pages = _Network(*tables.pages(), np.ones(len(pages)), make, seed)
        self.rows = _Network(*tables.rows(), tables.row_weights(), make, seed + 1)

    def block(
        self, first: int, count: int, generator: np.random.Generator, cold_items: float
    ) -> pa.Table:
        """The sessions from ``first`` on as a table."""
        drawn, features = self._chain(first, count, generator)
        real = self.tables.real
        return block_table(
            drawn,
            self._items(features, generator, cold_items),
            catalog=self.tables.catalog,
            queries=real.queries,
            responses=real.responses,
            kept_shares=real.kept_shares(),
        )

    def _chain(
        self, first: int, count: int, generator: np.random.Generator
    ) -> tuple[DrawnPages, dict[str, Any]]:
        """Pages of all sessions, one page of each at a time."""
        tables = self.tables
        session = np.arange(count)
        arrived = np.full(count, START)
        nothing = np.zeros(count, np.int64)
        last: dict[str, Any] = {"kind": nothing, "node": nothing, "query": nothing, "hour": nothing}
        last |= {"page": nothing, "responded": np.zeros(count, np.bool_)}
        found: list[dict[str, Any]] = []
        for step in range(1, self.settings.most_pages + 1):
            given = tables.page_conditions(arrived, last["kind"], last["node"], last["responded"])
            page = self._page(self.pages.draw(given, generator), arrived, last, generator)
            page |= {"session": session + first, "step": np.full(len(session), step)}
            found.append(page)
            going = page["goes_on"] != END
            session, arrived = session[going], page["goes_on"][going]
            last = {name: values[going] for name, values in page.items()}
            if not len(session):
                break
        joined = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
        order = np.lexsort((joined["step"], joined["session"]))
        joined = {name: values[order] for name, values in joined.items()}
        names = ("session", "step", "page", "query", "hour")
        return DrawnPages(*(joined[name] for name in names)), joined

    def _page(
        self,
        drawn: dict[str, Floats],
        arrived: Integers,
        last: dict[str, Any],
        generator: np.random.Generator,
    ) -> dict[str, Any]:
        """A page of every session; a further one keeps what its list is about."""
        tables, further = self.tables, arrived == MORE
        counts = tables.layout(drawn)
        means = np.stack([drawn["dearness"], drawn["popularity"]], axis=1)
        kind, node = (drawn[name].astype(np.int64) for name in ("kind", "node"))
        query = np.full(len(arrived), -1)
        asks = np.flatnonzero((kind == QUERY) & ~further)
        query[asks] = tables.queries.draw(node[asks], means[asks], generator)
        return {
            "kind": np.where(further, last["kind"], kind),
            "node": np.where(further, last["node"], node),
            "query": np.where(further, last["query"], query),
            "page": np.where(further, last["page"] + 1, 1),
            "hour": np.where(arrived == START, drawn["hour"].astype(np.int64), last["hour"]),
            "goes_on": drawn["goes_on"].astype(np.int64),
            "counts": counts,
            "means": means,
            "responded": (counts[:, tables.real.responding] > 0).any(axis=1),
        }

    def _items(
        self, pages: dict[str, Any], generator: np.random.Generator, cold_items: float
    ) -> DrawnRows:
        tables, counts = self.tables, pages["counts"]
        page = np.repeat(np.arange(len(counts)), counts.sum(axis=1))
        kinds = np.tile(np.arange(counts.shape[1]), len(counts))
        response = np.repeat(kinds, counts.reshape(-1))
        replaced = generator.random(len(page)) < cold_items * bool(len(tables.cold))
        place = np.zeros(len(page))

        def draw(rows: Integers) -> Integers:
            at = page[rows]
            given = tables.row_conditions(
                response[rows], pages["kind"][at], pages["node"][at], pages["means"][at]
            )
            drawn = self.rows.draw(given, generator)
            place[rows] = drawn.get("place", 0.0)
            node = drawn["item_node"].astype(np.int64)
            traits = np.stack([drawn["dearness"], drawn["popularity"]], axis=1)
            items = tables.items.draw(node, traits, generator)
            cold = replaced[rows]
            items[cold] = self._cold(node[cold], traits[cold], generator)
            return items

        # Of two rows with one item, the one that was responded to stays.
        last = ~tables.real.responding[response] * len(page) + np.arange(len(page))
        kept, item = drawn_once(page, last, draw)
        page, response = page[kept], response[kept]
        position = np.zeros(len(page), np.int64)
        if tables.ordered:
            position = ranked(page, place[kept] + generator.random(len(page)))
        return DrawnRows(page, item, response, position)

    def _cold(self, node: Integers, traits: Floats, generator: np.random.Generator) -> Integers:
        """Of some cold items of each category, the one nearest in price."""
        tables = self.tables
        if not len(node):
            return node
        some = tables.cold.draw(np.repeat(node, _COLD_CHOICE), generator)
        some = some.reshape(-1, _COLD_CHOICE)
        apart = np.abs(tables.traits[some, 0] - traits[:, :1])
        chosen: Integers = some[np.arange(len(some)), apart.argmin(axis=1)]
        return chosen
