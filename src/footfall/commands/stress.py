"""The commands ``footfall stress`` and ``footfall stress-compare``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from footfall.commands.options import SettingsFile, Until, read_tables, settings_from, toml_value
from footfall.errors import SettingError
from footfall.eval.stress.ab_test import ab_table
from footfall.eval.stress.page import stress_table, write_comparison
from footfall.eval.stress.results import read_result
from footfall.eval.stress.scenario import scenario_names
from footfall.eval.stress.settings import StressSettings
from footfall.progress import console
from footfall.simulator import EngineSettings
from footfall.stressing import ab_test
from footfall.stressing import stress as run_stress

__all__ = ["BROKEN", "stress", "stress_compare"]

#: Exit status where a threshold is broken; 1 and 2 are errors.
BROKEN: Final = 3

_TABLES: Final = ("stress", "engine")


def stress(
    target: Annotated[
        str,
        typer.Argument(
            help="popularity, random, bm25, content, als, a plug-in, package.module:object, or an "
            "HTTP address.",
            show_default=False,
        ),
    ],
    log: Annotated[Path, typer.Argument(help="The log: a DuckDB file.", show_default=False)],
    people: Annotated[
        Path, typer.Argument(metavar="PERSONAS", help="Persona file.", show_default=False)
    ],
    scenario: Annotated[
        list[str] | None,
        typer.Option(help="Name or file; may be repeated. `all` plays every packaged one."),
    ] = None,
    baseline: Annotated[str, typer.Option(help="What the target is compared with.")] = "popularity",
    folder: Annotated[Path, typer.Option(help="Where results go.")] = Path("stress"),
    until: Until = None,
    sessions: Annotated[int | None, typer.Option(help="Visits in steady traffic.", min=1)] = None,
    days: Annotated[int | None, typer.Option(help="Simulated days.", min=1)] = None,
    retrain_every: Annotated[
        int | None, typer.Option(help="Days after which the targets learn anew.", min=1)
    ] = None,
    browsing: Annotated[
        float | None,
        typer.Option(help="Share of visits without a query; 1 for a recommender.", min=0, max=1),
    ] = None,
    crowd: Annotated[
        str | None, typer.Option(help="fast, or llm: preferences of a language model.")
    ] = None,
    engine: Annotated[str | None, typer.Option(help="With --crowd llm: vllm, server, …")] = None,
    model: Annotated[str | None, typer.Option(help="With --crowd llm: the model.")] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds until a page has failed.", min=0.001)
    ] = 2.0,
    concurrency: Annotated[
        int, typer.Option(help="Pages asked for at once behind an address.", min=1)
    ] = 16,
    option: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE for the target, such as factors=64; may be repeated."),
    ] = None,
    ab: Annotated[
        bool,
        typer.Option("--ab", help="Only compare with --baseline as an A/B test, by a table."),
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything that is drawn.")] = None,
    settings: SettingsFile = None,
) -> None:
    """Send a crowd through a search engine or recommender and say what breaks.

    Exit status 3 where a threshold of a scenario is broken. The settings file may hold the tables
    stress and engine.
    """
    # package.module:object may lie in the folder that the command is run in.
    sys.path.insert(0, "")
    chosen = _settings(
        settings,
        until=until,
        sessions=sessions,
        days=days,
        retrain_every_days=retrain_every,
        browsing_share=browsing,
        crowd=crowd,
        seed=seed,
    )
    wanted = scenario or ["steady-traffic"]
    if "all" in wanted:
        wanted = scenario_names()
    if ab:
        if len(wanted) > 1:
            raise SettingError("--ab plays one scenario.", hint="Name one --scenario.")
        rows = ab_test(
            target,
            baseline,
            log=log,
            personas=people,
            scenario=wanted[0],
            settings=chosen,
            timeout=timeout,
            concurrency=concurrency,
            options=_options(option),
        )
        typer.echo(ab_table(rows, a=target, b=baseline))
        return
    result = run_stress(
        target,
        log=log,
        personas=people,
        scenarios=wanted,
        baseline=baseline,
        settings=chosen,
        engine=_engine(settings, chosen, engine, model),
        folder=folder,
        timeout=timeout,
        concurrency=concurrency,
        options=_options(option),
        command=shlex.join(["footfall", *sys.argv[1:]]),
    )
    for one in result.scenarios:
        console.print(stress_table(result, one))
        for sentence in one.findings:
            typer.echo(f"{one.title}: {sentence}")
    typer.echo(f"Report: {folder / 'report.html'}")
    typer.echo(f"Result: {result.verdict}")
    if not result.passed:
        raise typer.Exit(BROKEN)


def _options(given: list[str] | None) -> dict[str, Any]:
    """Options of a target; values are TOML where they can be read as such, else text."""
    options: dict[str, Any] = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier():
            raise SettingError(
                f"--option {each} is no NAME=VALUE.", hint="Write it like --option factors=64."
            )
        options[name] = toml_value(value)
    return options


def _settings(path: Path | None, **options: Any) -> StressSettings:
    values: dict[str, Any] = read_tables(path, _TABLES).get("stress", {}) if path else {}
    values |= {name: value for name, value in options.items() if value is not None}
    return settings_from(StressSettings, None, "stress", **values)


def _engine(
    path: Path | None, chosen: StressSettings, kind: str | None, model: str | None
) -> EngineSettings | None:
    table = read_tables(path, _TABLES).get("engine", {}) if path else {}
    given: dict[str, Any] = {"kind": kind, "model": model}
    table |= {name: value for name, value in given.items() if value is not None}
    if chosen.crowd == "fast":
        if table:
            raise SettingError(
                "The fast crowd asks no language model, but one is named.",
                hint="Add --crowd llm, or leave it out.",
            )
        return None
    return settings_from(EngineSettings, None, "engine", **table)


def stress_compare(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folders of stress tests, the earliest first.", show_default=False),
    ],
    output: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("stress-compare.html"),
) -> None:
    """Put stress tests side by side in one HTML file, the last one beside the first."""
    write_comparison(
        output, [read_result(each) for each in folders], [str(each) for each in folders]
    )
    typer.echo(f"Comparison: {output}")
