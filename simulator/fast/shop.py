"""A shop as a crowd without a language model sees it: everything fitted, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from footfall.errors import CatalogueError, PersonaError
from footfall.personas.persona import Persona
from footfall.simulator.arrivals import Arrivals
from footfall.simulator.behaviour import Behaviour, rate_lines
from footfall.simulator.catalog import Catalog, utc_moment
from footfall.simulator.demand import fit_demand
from footfall.simulator.fast.baseline import BaselineClient
from footfall.simulator.fast.click_odds import Reference
from footfall.simulator.fast.fitting import fit_taste, taken_by
from footfall.simulator.fast.items import Items, UsualPrices, described
from footfall.simulator.fast.population import Population, text_rows
from footfall.simulator.fast.preference import Preference
from footfall.simulator.fast.queries import QueryBook
from footfall.simulator.fast.query_vectors import QueryVectors
from footfall.simulator.fast.vectors import EncoderName, TextVectors, fit_vectors
from footfall.simulator.response_target import read_response_target
from footfall.simulator.search import BM25Search, PopularityRecommender

if TYPE_CHECKING:
    from footfall.simulator.log import Log
    from footfall.simulator.targets.protocol import TargetClient

__all__ = ["FastShop"]

#: Most popular items, which those who push others take for camouflage.
_POPULAR: Final = 100
#: Sessions tried out to meet the log's responses.
_PILOT_SESSIONS: Final = 800
_PILOT_SEED: Final = 1_000_003


@dataclass(frozen=True)
class FastShop:
    """Everything that visits share. Make one with :meth:`open`.

    Attributes
    ----------
    catalog, personas
        What is sold and to whom.
    behaviour, preference, reference
        What decides clicks and how often anything happens.
    items, population
        Catalogue and personas as arrays.
    available
        Which items can be bought, shape (items,).
    demand
        The log's own factors of top-level categories.
    taken_by
        What taking means: ``purchases`` or ``clicks``.
    page_size, most_pages
        Items on a page, pages of a visit at most.
    mean_patience
        Of the population for which leaving was fitted.
    notes
        What was fitted, in lines for people.
    """

    catalog: Catalog
    personas: list[Persona]
    behaviour: Behaviour
    preference: Preference
    reference: Reference
    items: Items
    population: Population
    queries: QueryBook
    query_vectors: QueryVectors
    available: npt.NDArray[np.bool_]
    demand: Mapping[str, float] = field(default_factory=dict)
    taken_by: Literal["purchases", "clicks"] = "purchases"
    page_size: int = 10
    most_pages: int = 12
    mean_patience: float = 2.0
    notes: tuple[str, ...] = ()
    encoder: TextVectors = field(kw_only=True, repr=False)
    usual: UsualPrices = field(kw_only=True, repr=False)
    text_rows: Mapping[str, int] = field(kw_only=True, repr=False)

    def __post_init__(self) -> None:
        """Look up what every page needs."""
        ids = self.catalog.item_ids.tolist()
        popular = np.zeros(len(ids), dtype=np.bool_)
        popular[np.argsort(-self.items.log_popularity, kind="stable")[:_POPULAR]] = True
        place = {item_id: row for row, item_id in enumerate(ids)}
        for name, value in (
            ("place", place),
            ("popular", popular),
            ("item_ids", pa.array(ids, pa.string())),
        ):
            object.__setattr__(self, name, value)

    #: Row of every item id.
    place: Mapping[str, int] = field(init=False, repr=False)
    #: Whether each item is one of the most popular, shape (items,).
    popular: npt.NDArray[np.bool_] = field(init=False, repr=False)
    #: The ids as an Arrow array.
    item_ids: Any = field(init=False, repr=False)

    @classmethod
    def open(
        cls,
        log: Log,
        personas: Sequence[Persona],
        *,
        until: datetime | None = None,
        page_size: int = 10,
        most_pages: int = 12,
        weeks: float = 8.0,
        encoder: EncoderName = "words",
        baseline: TargetClient | None = None,
        pilot_sessions: int = _PILOT_SESSIONS,
        seed: int = 0,
    ) -> Self:
        """Fit a shop on the real log before ``until``.

        Parameters
        ----------
        log, personas:
            What happened, and who comes.
        until:
            Nothing after it is used.
        page_size, most_pages:
            Items on a page, pages of a visit at most.
        weeks:
            Real slates and sessions of so many weeks before ``until`` are fitted on.
        encoder:
            ``words`` (no torch needed) or ``minilm``.
        baseline:
            What answers the sessions that are tried out; BM25 and popularity when not given.
        pilot_sessions:
            How many are, so that responses a session are the log's; 0 leaves them as they come.
        seed:
            Of everything that is drawn.

        Raises
        ------
        NoResponseError
            If the log records neither clicks nor purchases before ``until``.
        EmptyLogError
            If neither ``until`` nor a real session tells the time.
        PersonaError
            If there are no personas.
        """
        if not personas:
            raise PersonaError("There are no personas.", hint="Make some with `footfall personas`.")
        until = utc_moment(until)
        catalog = Catalog.from_log(log, until=until)
        texts = described(catalog)
        told = fit_vectors(texts, encoder, seed=seed)
        vectors = told.encode(texts)
        prices = catalog.table["price"].to_numpy(zero_copy_only=False).astype(np.float64)
        usual = UsualPrices.of(prices, catalog.table["category"].to_pylist())
        items = Items.of(catalog, vectors, usual)
        rows = text_rows(catalog.texts())
        taste = fit_taste(
            log,
            catalog,
            items.categories,
            vectors,
            told,
            usual,
            rows,
            until=until,
            weeks=weeks,
            page_size=page_size,
            seed=seed,
        )
        people = list(personas)
        shop = cls(
            catalog,
            people,
            taste.behaviour,
            taste.preference,
            taste.reference,
            items,
            Population.of(people, rows),
            QueryBook(catalog, items.categories, log, until=until),
            QueryVectors(told),
            np.ones(len(items), dtype=np.bool_),
            demand=fit_demand(log, catalog, people, until=until, seed=seed),
            taken_by=taken_by(log, until=until),
            page_size=page_size,
            most_pages=most_pages,
            mean_patience=float(np.mean([persona.patience for persona in people])),
            notes=(
                taste.preference.line(),
                *rate_lines({"closeness to the query": taste.on_query()}),
            ),
            encoder=told,
            usual=usual,
            text_rows=rows,
        )
        if not pilot_sessions:
            return shop
        return shop._tried_out(log, until, weeks, baseline, pilot_sessions, seed)

    def with_world(
        self,
        *,
        catalog: Catalog | None = None,
        personas: Sequence[Persona] | None = None,
        available: npt.NDArray[np.bool_] | None = None,
    ) -> Self:
        """The same people in front of other items, other people, or other items in stock.

        What is usual (prices of a category, patience, responses) stays as fitted, and so do the
        vectors of texts that have not changed. How attractive an item is stays what the log says of
        it, even where the given catalogue hides its popularity from the target.

        Parameters
        ----------
        catalog:
            The same item ids in the same order; texts, categories and prices may differ.
        personas:
            Another population.
        available:
            Which items can be bought, shape (items,).

        Raises
        ------
        CatalogueError
            If the catalogue has other ids, or ``available`` another shape.
        PersonaError
            If there are no personas.
        """
        shop = self
        if catalog is not None:
            shop = shop._selling(catalog)
        if personas is not None:
            if not personas:
                raise PersonaError("There are no personas.", hint="Give at least one.")
            people = list(personas)
            population = Population.of(people, self.text_rows)
            shop = replace(shop, personas=people, population=population)
        if available is not None:
            if available.shape != (len(self.catalog),):
                raise CatalogueError(
                    f"`available` has the shape {available.shape}.",
                    hint=f"Say it of each of the {len(self.catalog)} items.",
                )
            shop = replace(shop, available=available.astype(np.bool_))
        return shop

    def with_behaviour(self, behaviour: Behaviour) -> Self:
        """The same shop, in which people behave otherwise."""
        return replace(self, behaviour=behaviour)

    def _selling(self, catalog: Catalog) -> Self:
        if not np.array_equal(catalog.item_ids, self.catalog.item_ids):
            raise CatalogueError(
                "The catalogue has other items than the shop was fitted for.",
                hint="Keep all item ids, in their order.",
            )
        before, now = described(self.catalog), described(catalog)
        changed = [
            row for row, (old, new) in enumerate(zip(before, now, strict=True)) if old != new
        ]
        vectors = self.items.vectors
        if changed:
            vectors = vectors.copy()
            vectors[changed] = self.encoder.encode([now[row] for row in changed])
        items = Items.of(catalog, vectors, self.usual, self.items.log_popularity)
        queries = self.queries
        if changed:
            texts = catalog.texts()
            queries = queries.retold(changed, [texts[row] for row in changed])
        return replace(self, catalog=catalog, items=items, queries=queries)

    def _tried_out(
        self,
        log: Log,
        until: datetime | None,
        weeks: float,
        baseline: TargetClient | None,
        sessions: int,
        seed: int,
    ) -> Self:
        from footfall.simulator.fast.pilot import average_levels, try_out

        arrivals = Arrivals.from_log(log, until=until, weeks=weeks)
        target = read_response_target(
            log, since=arrivals.until - timedelta(weeks=weeks), until=until
        )
        client = baseline or BaselineClient(
            BM25Search(self.catalog), PopularityRecommender(self.catalog)
        )
        how = {"sessions": sessions, "seed": seed + _PILOT_SEED}
        levels = average_levels(self, client, arrivals, target, **how)
        shop = replace(self, reference=replace(self.reference, **levels))
        rates = try_out(shop, client, arrivals, target, **how)
        behaviour = self.behaviour.model_copy(update=rates)
        return replace(shop, behaviour=behaviour, notes=(*self.notes, *rate_lines(rates)))
