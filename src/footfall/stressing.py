"""Sending a crowd through a search engine or recommender, and saying what breaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow.parquet as pq

from footfall.errors import SettingError
from footfall.eval.stress.ab_test import ABRow, ab_rows
from footfall.eval.stress.crowds import CrowdMaker, play
from footfall.eval.stress.measures import measure
from footfall.eval.stress.page import write_stress
from footfall.eval.stress.results import ScenarioResult, StressResult
from footfall.eval.stress.run import STEADY, StressTest
from footfall.eval.stress.scenario import Scenario, load_scenario
from footfall.eval.stress.settings import StressSettings
from footfall.eval.stress.world import StressWorld, apply_scenario, read_world
from footfall.personas import Persona, read_personas
from footfall.progress import console
from footfall.recipe import validated
from footfall.simulator import Engine, EngineSettings, Log
from footfall.simulator.crowd_events import CrowdEvents
from footfall.simulator.fast import FastShop
from footfall.simulator.targets import Target, TargetClient
from footfall.simulator.targets.adapters import as_target
from footfall.simulator.targets.in_process import InProcessClient
from footfall.simulator.targets.registry import open_target
from footfall.stages import Stages, write_json
from footfall.stress_crowds import crowd_words, open_crowd_maker

__all__ = ["ab_test", "stress"]

_TABLES: Final = ("visits", "pages", "impressions")


def stress(
    target: str | Target | TargetClient | Any,
    *,
    log: str | Path,
    personas: str | Path | Sequence[Persona],
    scenarios: Sequence[str | Path | Scenario] = (STEADY,),
    baseline: str | Target | TargetClient | Any = "popularity",
    until: datetime | None = None,
    sessions: int | None = None,
    days: int | None = None,
    seed: int | None = None,
    folder: str | Path | None = None,
    settings: StressSettings | None = None,
    engine: EngineSettings | Engine | None = None,
    timeout: float = 2.0,
    concurrency: int = 16,
    options: Mapping[str, Any] | None = None,
    command: str = "",
) -> StressResult:
    """Send a crowd through ``target`` and ``baseline``, scenario by scenario.

    Parameters
    ----------
    target, baseline:
        A built-in target's name, a plug-in's, ``package.module:object``, an HTTP address, or an
        object: :func:`footfall.simulator.targets.adapters.as_target` says which.
    log, personas:
        The shop's log, and its shoppers or the file that holds them.
    scenarios:
        Packaged names, files, or scenarios.
    until, sessions, days, seed:
        As in ``settings``, which they override.
    folder:
        Where ``stress.json``, ``report.html`` and the events go; nothing is written without it. A
        scenario that was played there with the same settings is not played again.
    engine:
        The language model, for ``crowd = "llm"``.
    timeout, concurrency:
        Seconds after which a page has failed; pages asked for at once behind an address.
    options:
        Handed to what makes the target that is named.
    command:
        What the report names as the way to repeat it.

    Raises
    ------
    SettingError
        If a name, scenario or setting is wrong; before any work.
    TargetError
        If a target cannot be reached or refuses to learn.
    """
    chosen = _settings(settings, {"until": until, "sessions": sessions, "days": days, "seed": seed})
    loaded = _load(scenarios)
    ways = _Ways(timeout, concurrency, options)
    with _opened(log, personas, (target, baseline), chosen, ways, engine) as shop:
        first, second = shop.clients
        console.print(
            f"{first.name} beside {second.name}: {len(loaded)} scenarios, "
            f"{chosen.sessions:,} visits each in steady traffic over {chosen.days} days"
        )
        test = StressTest(shop.world, first, second, shop.make_crowd, chosen)
        results = _play(test, loaded, None if folder is None else Path(folder))
    result = StressResult(
        target=first.name,
        baseline=second.name,
        crowd=crowd_words(chosen),
        sessions=chosen.sessions,
        days=chosen.days,
        shoppers=len(shop.world.personas),
        items=len(shop.world.catalog),
        until=chosen.until,
        seed=chosen.seed,
        scenarios=results,
        cautions=_cautions(chosen),
        facts={"Log": str(log), "Seed": str(chosen.seed), "Resamples": str(chosen.resamples)},
        command=command,
    )
    if folder is not None:
        write_json(Path(folder) / "stress.json", result.model_dump(mode="json"))
        write_stress(Path(folder) / "report.html", result)
    return result


def ab_test(
    a: str | Target | TargetClient | Any,
    b: str | Target | TargetClient | Any,
    *,
    log: str | Path,
    personas: str | Path | Sequence[Persona],
    scenario: str | Path | Scenario = STEADY,
    settings: StressSettings | None = None,
    timeout: float = 2.0,
    concurrency: int = 16,
    options: Mapping[str, Any] | None = None,
    **given: Any,
) -> list[ABRow]:
    """Which of two targets is better with the same shoppers, and how certain that is.

    Parameters as in :func:`stress`; ``given`` are settings by name.
    """
    chosen = _settings(settings, given)
    (loaded,) = _load([scenario])
    with _opened(log, personas, (a, b), chosen, _Ways(timeout, concurrency, options)) as shop:
        world = apply_scenario(
            loaded, shop.world, sessions=chosen.sessions, days=chosen.days, seed=chosen.seed
        )
        every = chosen.retrain_every_days or loaded.feedback.retrain_every_days
        of_a, of_b = (
            play(world, client, shop.make_crowd, retrain_every_days=every).events
            for client in shop.clients
        )
    resamples, seed = chosen.resamples, chosen.seed
    return ab_rows(
        measure(of_a, world, compared_with=of_b, resamples=resamples, seed=seed),
        measure(of_b, world, compared_with=None, resamples=resamples, seed=seed),
        visits=len(world.plan),
    )


def _settings(settings: StressSettings | None, given: dict[str, Any]) -> StressSettings:
    values = (settings or StressSettings()).model_dump()
    values |= {name: value for name, value in given.items() if value is not None}
    known = f"Known settings: {', '.join(StressSettings.model_fields)}."
    return validated(StressSettings, values, "stress", hint=known)


def _load(scenarios: Sequence[str | Path | Scenario]) -> list[Scenario]:
    loaded = [each if isinstance(each, Scenario) else load_scenario(each) for each in scenarios]
    names = [each.name for each in loaded]
    if not loaded or len(set(names)) < len(names):
        raise SettingError(
            f"scenarios: {', '.join(names) or 'none'} is no list of different scenarios.",
            hint="Name one or more, each once.",
        )
    # Steady traffic first: the others are compared with it.
    return sorted(loaded, key=lambda each: each.name != STEADY)


@dataclass(frozen=True, slots=True)
class _Ways:
    """How targets are reached; the options are the first one's."""

    timeout: float
    concurrency: int
    options: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Opened:
    world: StressWorld
    clients: tuple[TargetClient, TargetClient]
    make_crowd: CrowdMaker


@contextmanager
def _opened(
    log: str | Path,
    personas: str | Path | Sequence[Persona],
    targets: tuple[Any, Any],
    chosen: StressSettings,
    ways: _Ways,
    engine: EngineSettings | Engine | None = None,
) -> Iterator[_Opened]:
    """Both targets, the shop before any scenario, and the crowd fitted on it."""
    people = list(read_personas(personas) if isinstance(personas, str | Path) else personas)
    with ExitStack() as stack:
        first = stack.enter_context(closing(_client(targets[0], ways, ways.options)))
        second = stack.enter_context(closing(_client(targets[1], ways, None)))
        real = stack.enter_context(Log.open(log))
        world = read_world(real, people, until=chosen.until)
        shop = FastShop.open(
            real, people, until=world.until, page_size=chosen.page_size, seed=chosen.seed
        )
        make_crowd = stack.enter_context(open_crowd_maker(real, shop, people, chosen, engine))
        yield _Opened(world, (first, second), make_crowd)


def _client(target: Any, ways: _Ways, options: Mapping[str, Any] | None) -> TargetClient:
    if isinstance(target, str):
        return open_target(
            target, timeout=ways.timeout, concurrency=ways.concurrency, options=options
        )
    if options:
        raise SettingError(
            f"An object takes no options ({', '.join(options)}).",
            hint="Set them where it is made, or name the target.",
        )
    if isinstance(target, TargetClient):
        return target
    return InProcessClient(as_target(target), timeout=ways.timeout)


def _play(
    test: StressTest, scenarios: Sequence[Scenario], folder: Path | None
) -> list[ScenarioResult]:
    if folder is None:
        return [test.run(scenario) for scenario in scenarios]
    folder.mkdir(parents=True, exist_ok=True)
    shop = _identity(test.world)
    results = []
    for scenario in scenarios:
        place = folder / scenario.name
        file = place / "result.json"
        stages = Stages(place)

        def work(scenario: Scenario = scenario, place: Path = place, file: Path = file) -> None:
            result = test.run(scenario, keep=lambda name, events: _keep(place, name, events))
            write_json(file, result.model_dump(mode="json"))

        place.mkdir(exist_ok=True)
        identity = [test.settings, scenario, test.target.name, test.baseline.name, shop]
        stages.run(scenario.name, identity, file, work)
        results.append(ScenarioResult.model_validate_json(file.read_bytes()))
    return results


def _identity(world: StressWorld) -> str:
    """Hash of what was read of the shop, and of its people."""
    digest = hashlib.sha256()
    for persona in world.personas:
        digest.update(persona.model_dump_json().encode())
    with duckdb.connect() as connection:
        for table in (world.catalog.table, world.events):
            connection.register("told", table)
            rows = connection.sql("SELECT count(*), bit_xor(hash(told)) FROM told").fetchall()
            digest.update(str(rows).encode())
    return digest.hexdigest()[:16]


def _keep(place: Path, name: str, events: CrowdEvents) -> None:
    for table in _TABLES:
        pq.write_table(getattr(events, table), place / f"{name}-{table}.parquet")


def _cautions(settings: StressSettings) -> list[str]:
    cautions = [
        "Shoppers are simulated: what they like is fitted on the log, and what the log does not "
        "show they do not know. Read what a scenario changes; whether targets stand in the order "
        "that real people would give them, benchmarks/stress_order.py checks on your log.",
        "Intervals are over shoppers, of one crowd and one seed, and not adjusted for the number "
        "of measures.",
    ]
    if settings.until is None:
        cautions.append("No --until was given: target and shoppers know the whole log.")
    return cautions
