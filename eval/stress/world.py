"""The shop that a scenario happens to, and what becomes of it.

Everything that a scenario leaves to chance (which items, which shoppers) is drawn from the seed, by
a generator for each kind of change: target and baseline meet the same world, and one change does
not move another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from footfall.errors import PersonaError, SettingError
from footfall.eval.stress import changed_items, changed_visits
from footfall.eval.stress.demand_course import demand_course, demand_shares
from footfall.eval.stress.query_writing import QueryWriter, foreign_words
from footfall.eval.stress.scenario import Scenario
from footfall.eval.stress.stress_world import StressWorld, read_world
from footfall.personas.persona import Persona
from footfall.simulator.catalog import Catalog
from footfall.simulator.fast.plan import VisitPlan
from footfall.simulator.targets.faults import Faults

__all__ = ["ScenarioWorld", "StressWorld", "apply_scenario", "read_world"]

QueryChanger: TypeAlias = Callable[[list[str], np.random.Generator], list[str]]

#: Streams of chance, one a kind of change.
_PRICES, _NEW, _STOCK, _ATTACK, _TEXTS, _DEMAND, _PEOPLE, _TRAFFIC, _VISITS, _EVENTS = range(10)
_STREAM: Final = 31


@dataclass(frozen=True, slots=True)
class ScenarioWorld:
    """A shop in which a scenario happens.

    Attributes
    ----------
    catalog:
        The items as shoppers read and pay them, in the order of the world before.
    personas:
        The population, in the same order.
    items, events:
        What the target learns from before the first page.
    available:
        Which items can be bought, shape (items,).
    plan:
        Who comes when.
    demand:
        Factors by top-level category, one dictionary a day; empty ones change nothing.
    query_change:
        What becomes of typed queries on their way to the target.
    attacked:
        Items that attackers push, or whose texts are hostile, in catalogue order.
    faults:
        How the way to the target misbehaves.
    cold:
        Items without history.
    notes:
        What the scenario asks for and this shop cannot show.
    """

    catalog: Catalog
    personas: Sequence[Persona]
    items: pa.Table
    events: pa.Table
    available: npt.NDArray[np.bool_]
    plan: VisitPlan
    demand: tuple[dict[str, float], ...]
    query_change: QueryChanger | None = None
    attacked: tuple[str, ...] = ()
    faults: Faults | None = None
    cold: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def apply_scenario(
    scenario: Scenario, world: StressWorld, *, sessions: int, days: int, seed: int
) -> ScenarioWorld:
    """The world with the scenario's changes; what it does not name stays as it is.

    Parameters
    ----------
    scenario:
        What changes.
    world:
        The shop before. It is not changed.
    sessions:
        Visits of shoppers in steady traffic, over all days.
    days:
        Simulated days.
    seed:
        Of everything that is drawn. With the same seed the same visits come in every scenario,
        and others beside them where it says so.

    Raises
    ------
    SettingError
        If there are no days, or fewer than 0 sessions.
    PersonaError
        If the population is empty.
    """
    if not world.personas:
        raise PersonaError("The population is empty.", hint="Make one with `footfall personas`.")
    if days < 1 or sessions < 0:
        raise SettingError(
            f"A run of {days} days and {sessions} sessions.", hint="Run one day or more."
        )
    items = _items(scenario, world, seed)
    personas: Sequence[Persona] = world.personas
    if items.cold:
        personas = changed_items.forget_items(personas, world.catalog, items.cold)
    if scenario.people is not None:
        personas = changed_visits.change_people(personas, scenario.people, _rng(seed, _PEOPLE))
    plan = VisitPlan.draw(world.personas, world.arrivals, sessions=sessions, days=days, seed=seed)
    if scenario.traffic is not None:
        plan = changed_visits.busier(
            plan, scenario.traffic, world.personas, days=days, rng=_rng(seed, _TRAFFIC)
        )
    if scenario.attack is not None:
        plan = changed_visits.attack_visits(
            plan, scenario.attack, world.personas, _rng(seed, _VISITS)
        )
    demand, notes = _demand(scenario, world, days, seed)
    query_change, more_notes = _query_change(scenario, world)
    return ScenarioWorld(
        catalog=items.catalog,
        personas=list(personas),
        items=items.table,
        events=items.events,
        available=items.available,
        plan=plan,
        demand=demand,
        query_change=query_change,
        attacked=items.attacked,
        faults=scenario.faults,
        cold=items.cold,
        notes=(*notes, *more_notes),
    )


@dataclass(frozen=True, slots=True)
class _Items:
    catalog: Catalog
    table: pa.Table
    events: pa.Table
    available: npt.NDArray[np.bool_]
    attacked: tuple[str, ...]
    cold: frozenset[str]


def _items(scenario: Scenario, world: StressWorld, seed: int) -> _Items:
    catalog, attacked = world.catalog, set[str]()
    if scenario.prices is not None:
        catalog = changed_items.reprice(catalog, scenario.prices, _rng(seed, _PRICES))
    if scenario.texts is not None:
        catalog, hostile = changed_items.rewrite_texts(catalog, scenario.texts, _rng(seed, _TEXTS))
        attacked.update(hostile)
    cold: frozenset[str] = frozenset()
    if scenario.catalogue is not None:
        share = scenario.catalogue.new_share
        cold = changed_items.choose_new_items(world.catalog, share, _rng(seed, _NEW))
    available = np.ones(len(catalog), dtype=bool)
    stock = scenario.stock
    if stock is not None:
        count = round(stock.share * len(catalog))
        gone = changed_items.choose_items(catalog, count, stock.items, _rng(seed, _STOCK))
        available[gone] = False
    told = available if stock is None or stock.told else np.ones(len(catalog), dtype=bool)
    table = _told(world, catalog, told, cold)
    events = changed_items.without_items(world.events, cold)
    if scenario.attack is not None:
        places = changed_items.choose_items(
            catalog, scenario.attack.items, scenario.attack.choose, _rng(seed, _ATTACK)
        )
        pushed = catalog.item_ids[places].tolist()
        attacked.update(pushed)
        events = changed_visits.attack_events(
            events, scenario.attack, pushed, catalog, until=world.until, rng=_rng(seed, _EVENTS)
        )
    ordered = tuple(item for item in catalog.item_ids.tolist() if item in attacked)
    return _Items(catalog, table, events, available, ordered, cold)


def _told(
    world: StressWorld, catalog: Catalog, told: npt.NDArray[np.bool_], cold: frozenset[str]
) -> pa.Table:
    """The world's items with the changed columns; new items came just now."""
    table = world.items
    changed: dict[str, pa.Array] = {}
    if catalog is not world.catalog:
        changed |= {name: catalog.table[name] for name in ("text", "price")}
    if not told.all():
        before = table["available"].fill_null(True)
        changed["available"] = pc.and_(before, pa.array(told))
    if cold:
        new = pa.array([item in cold for item in table["item_id"].to_pylist()], pa.bool_())
        now = pa.scalar(world.until, pa.timestamp("us"))
        changed["first_seen"] = pc.if_else(new, now, table["first_seen"])
    for name, values in changed.items():
        place = table.column_names.index(name)
        table = table.set_column(place, table.schema.field(name), values)
    return table


def _demand(
    scenario: Scenario, world: StressWorld, days: int, seed: int
) -> tuple[tuple[dict[str, float], ...], list[str]]:
    if scenario.demand is None:
        return tuple({} for _ in range(days)), []
    return demand_course(
        scenario.demand,
        demand_shares(world.catalog, world.personas),
        days=days,
        until=world.until,
        season=world.season,
        rng=_rng(seed, _DEMAND),
    )


def _query_change(scenario: Scenario, world: StressWorld) -> tuple[QueryWriter | None, list[str]]:
    change = scenario.queries
    if change is None:
        return None, []
    foreign: tuple[str, ...] = ()
    notes = []
    if "foreign words" in change.written:
        foreign = foreign_words(world.catalog.texts())
        if not foreign:
            notes.append("The catalogue has one script: no query gets foreign words.")
    return QueryWriter(change, world.slips, foreign), notes


def _rng(seed: int, kind: int) -> np.random.Generator:
    return np.random.default_rng([seed, _STREAM, kind])
