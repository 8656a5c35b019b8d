"""The ``footfall`` command. Every command is one call of :mod:`footfall.steps` or a recipe."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from footfall import steps
from footfall.commands import augment as augment_command
from footfall.commands import choose_alpha as choose_alpha_command
from footfall.commands import classifier, classify, generation
from footfall.commands import coldstart as coldstart_command
from footfall.commands import export as export_command
from footfall.commands import lift as lift_command
from footfall.commands import stress as stress_command
from footfall.commands.options import (
    INTERRUPTED,
    LogFile,
    Seed,
    SettingsFile,
    Until,
    settings_from,
)
from footfall.doctor import diagnose
from footfall.errors import FootfallError, InputError, SettingError
from footfall.finetune import FusionSettings, TuningSettings
from footfall.personas import PersonaSettings
from footfall.progress import console
from footfall.recipe import load_recipe, run_recipe
from footfall.recipe_text import recipe_toml
from footfall.simulator import EngineSettings, Log, RaySettings, SimulationSettings

__all__ = ["app", "main"]

#: Exit status of `footfall compare` where a measure is over the limit; 1 and 2 are errors.
_OVER_THE_LIMIT = 3

app = typer.Typer(
    name="footfall",
    help="Synthetic shoppers for search and recommendation teams, proven on your own logs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def ingest(
    source: Annotated[
        str,
        typer.Argument(
            help="complete-journey, a mapping by name (bestbuy, coupon, ogeek), or its file.",
            show_default=False,
        ),
    ],
    log: LogFile,
    folder: Annotated[Path | None, typer.Option(help="Where the source's files lie.")] = None,
    largest_reject_share: Annotated[
        float, typer.Option(help="Stop before writing when more rows are malformed.", min=0, max=1)
    ] = 0.01,
    negatives_per_visit: Annotated[
        int, typer.Option(help="Complete Journey: items not bought kept of each visit.", min=1)
    ] = 9,
    seed: Annotated[int, typer.Option(help="Seed of what is sampled.")] = 0,
) -> None:
    """Read real events into a new log; malformed rows are set aside and counted."""
    report = steps.ingest(
        source,
        log,
        folder=folder,
        largest_reject_share=largest_reject_share,
        negatives_per_visit=negatives_per_visit,
        seed=seed,
    )
    typer.echo(str(report))


@app.command()
def personas(
    output: Annotated[Path, typer.Argument(help="Persona file to write.", show_default=False)],
    log: Annotated[
        Path | None, typer.Option(help="Fit on this log; without it, personas are invented.")
    ] = None,
    count: Annotated[int, typer.Option(help="How many.", min=1)] = 100,
    until: Until = None,
    locale: Annotated[str | None, typer.Option(help="Such as en_US or zh_CN.")] = None,
    seed: Seed = None,
    settings: SettingsFile = None,
) -> None:
    """Make a population, fitted on a log (k-anonymous) or from Faker and priors.

    The settings file may hold the table personas.
    """
    chosen = settings_from(PersonaSettings, settings, "personas", locale=locale, seed=seed)
    made = steps.make_personas(output, count=count, log=log, until=until, settings=chosen)
    typer.echo(f"{len(made):,} personas in {output}")


@app.command()
def simulate(
    log: LogFile,
    people: Annotated[
        Path, typer.Argument(metavar="PERSONAS", help="Persona file.", show_default=False)
    ],
    sessions: Annotated[int | None, typer.Option(help="Sessions to simulate.", min=1)] = None,
    until: Until = None,
    engine: Annotated[
        str | None, typer.Option(help="vllm, server, replay, scripted or a plug-in.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Bundled model, folder or Hugging Face name.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Of an OpenAI-compatible server, ending in /v1.")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(help="Record the answers here, or replay them from here.")
    ] = None,
    search: Annotated[str | None, typer.Option(help="bm25, dense, hybrid or a plug-in.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Shoppers at the same time (with --ray, per worker).", min=1)
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray", help="Spread the shoppers over the workers of a Ray cluster.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="With --ray: how many.", min=1)] = None,
    ray_address: Annotated[
        str | None, typer.Option(help="With --ray: the cluster's; without it, this machine.")
    ] = None,
    seed: Seed = None,
    settings: SettingsFile = None,
) -> None:
    """Send personas through the shop; interrupted, the same command continues.

    The settings file may hold the tables engine, simulation and ray.
    """
    if not ray and (workers is not None or ray_address is not None):
        raise SettingError("--workers and --ray-address belong to --ray.", hint="Add --ray.")
    chosen = settings_from(
        SimulationSettings,
        settings,
        "simulation",
        sessions=sessions,
        until=until,
        search=search,
        concurrency=concurrency,
        seed=seed,
    )
    chosen_engine = settings_from(
        EngineSettings,
        settings,
        "engine",
        kind=engine,
        model=model,
        address=address,
        recording=recording,
    )
    cluster = settings_from(RaySettings, settings, "ray", workers=workers, address=ray_address)
    summary = steps.simulate(
        log, people, engine=chosen_engine, settings=chosen, ray=cluster if ray else None
    )
    generation.say_run(summary, log)
    if summary.vanished_items:
        typer.echo(
            f"{summary.vanished_items:,} items were found that the catalogue lacks: left out."
        )
    if summary.unusable_answers:
        typer.echo(
            f"{summary.unusable_answers:,} of {summary.answers:,} answers could not be used."
        )
    if summary.state == "interrupted":
        raise typer.Exit(INTERRUPTED)


app.command()(augment_command.augment)
app.command()(generation.generate)
app.command("simulate-fast")(generation.simulate_fast)
app.command()(export_command.export)
app.command()(lift_command.lift)
app.command()(coldstart_command.coldstart)
app.command()(stress_command.stress)
app.command("stress-compare")(stress_command.stress_compare)


@app.command()
def runs(log: LogFile) -> None:
    """List the runs of a log and its rows by table and origin."""
    with Log.open(log) as opened:
        for row in opened.query(
            "SELECT run_id, kind, state, model, seed, started_at FROM runs ORDER BY started_at"
        ).to_pylist():
            typer.echo("  ".join(str(value) for value in row.values()))
        for row in opened.summary().to_pylist():
            typer.echo("  ".join(str(value) for value in row.values()))


@app.command()
def fuse(
    log: LogFile,
    folder: Annotated[
        Path, typer.Argument(help="Folder for the training sets.", show_default=False)
    ],
    run: Annotated[list[str], typer.Option(help="Simulated run to add; may be repeated.")],
    train_until: Annotated[
        datetime | None,
        typer.Option(help="End of the training part; needed here or in the settings file."),
    ] = None,
    validation_until: Annotated[
        datetime | None,
        typer.Option(help="End of the validation part; needed here or in the settings file."),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Weight of a synthetic row; 0 drops them all.", min=0)
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help="by_time, by_feature, by_behaviour, by_diversity, all or none."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="purchased or clicked.")] = None,
    slates: Annotated[
        int | None, typer.Option(help="Most result pages of each part; all without it.", min=1)
    ] = None,
    settings: SettingsFile = None,
) -> None:
    """Fuse real and synthetic training examples; write controls of equal volume beside them.

    The settings file may hold the tables split and fusion.
    """
    split = settings_from(
        steps.Split,
        settings,
        "split",
        train_until=train_until,
        validation_until=validation_until,
        label=label,
        train_slates=slates,
        validation_slates=slates,
        test_slates=slates,
    )
    fusion = settings_from(FusionSettings, settings, "fusion", alpha=alpha, strategy=strategy)
    made = steps.fuse(log, folder, run_ids=run, split=split, settings=fusion)
    for name, examples in made.items():
        typer.echo(f"{folder / name}.parquet: {len(examples):,} examples")


app.command("choose-alpha")(choose_alpha_command.choose_alpha)
app.command()(classifier.train)
app.command()(classifier.score)
app.command("export-model")(classifier.export_model)
app.add_typer(classify.app, name="classify")


@app.command()
def tune(
    log: LogFile,
    folder: Annotated[Path, typer.Argument(help="Folder for the tuned model.", show_default=False)],
    until: Until = None,
    model: Annotated[
        str | None, typer.Option(help="Bundled model, folder or Hugging Face name to tune.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Longest training; what is learned by then is kept.")
    ] = None,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option(help="Continue from the last checkpoint.")] = False,
    settings: SettingsFile = None,
) -> None:
    """Tune the simulator's language model on the real log: writing queries, choosing items.

    `footfall simulate --model FOLDER` then uses it. The settings file may hold the table tuning.
    """
    chosen = settings_from(
        TuningSettings, settings, "tuning", model=model, max_minutes=minutes, seed=seed
    )
    card = steps.tune(log, folder, until=until, settings=chosen, resume=resume)
    for task in card.tasks:
        before, after = getattr(card.before, task), getattr(card.after, task)
        if before is not None and after is not None:
            typer.echo(f"Validation loss, {task}: {before:.3f} before, {after:.3f} after (nats)")
    if card.candidates == "reconstructed":
        typer.echo("The log knows responses only: the slates' other items are reconstructed.")
    typer.echo(f"Model in {folder}, served {card.serving}")


@app.command()
def evaluate(
    test: Annotated[Path, typer.Argument(help="Real test examples.", show_default=False)],
    arm: Annotated[
        list[str],
        typer.Option(help="NAME=MODEL_FOLDER; repeat for more arms, or for more seeds of one."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON file to write.")] = Path(
        "evaluation.json"
    ),
    reference: Annotated[str, typer.Option(help="Arm trained on real rows only.")] = "real",
    synthetic: Annotated[str, typer.Option(help="Arm with synthetic rows.")] = "synthetic",
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of users.", min=100)] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
) -> None:
    """Compare models on later real examples, with intervals, slices and a verdict."""
    arms: dict[str, list[str | Path]] = {}
    for text in arm:
        name, found, path = text.partition("=")
        if not found or not name or not path:
            raise SettingError(
                f"--arm {text!r} is not NAME=MODEL_FOLDER.", hint="Such as --arm real=models/real."
            )
        arms.setdefault(name, []).append(Path(path))
    comparison = steps.evaluate(
        test,
        arms,
        output,
        reference=reference,
        synthetic=synthetic,
        resamples=resamples,
        seed=seed,
    )
    for row in comparison.verdicts:
        typer.echo(f"{row.slice}: {row.verdict}. {row.reason}")
    typer.echo(f"All figures in {output}")


@app.command()
def report(
    log: LogFile,
    output: Annotated[Path, typer.Argument(help="HTML file to write.", show_default=False)],
    run: Annotated[str, typer.Option(help="The simulated run to report on.")],
    evaluation: Annotated[
        Path | None, typer.Option(help="JSON file that `footfall evaluate` wrote.")
    ] = None,
    title: Annotated[str, typer.Option(help="Headline.")] = "Footfall",
) -> None:
    """Write one HTML file: sessions to read, likeness to the real log, what training gained."""
    path = steps.report(log, output, run_id=run, evaluation=evaluation, title=title)
    typer.echo(f"Report in {path}")


@app.command()
def compare(
    log: LogFile,
    run: Annotated[str, typer.Option(help="The simulated run to compare with the real log.")],
    until: Annotated[
        datetime | None,
        typer.Option(help="End of the training part; by default as far as the run knew the log."),
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(help="Compare with real sessions from this time on.")
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option(help="Compare with real sessions before this time; --until by default."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML file to write.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="JSON file to write.")] = None,
    largest_ratio: Annotated[
        float,
        typer.Option(help="Most times as far as real against real that is still accepted.", min=0),
    ] = 2.0,
    require: Annotated[
        list[str] | None,
        typer.Option(help="Let only this measure decide, and fail without it; may be repeated."),
    ] = None,
    splits: Annotated[int, typer.Option(help="Real parts compared with the rest.", min=2)] = 100,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of users.", min=20)] = 500,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
) -> None:
    """Say how true a run is to the real log, beside real parts and a simple simulator.

    Exit status 0: every measure is within real against real, or at most --largest-ratio times as
    far. 3: a measure is further away. 1 and 2 are errors.
    """
    found = steps.compare(
        log,
        run,
        until=until,
        start=start,
        end=end,
        output=output,
        json=json,
        largest_ratio=largest_ratio,
        require=require or (),
        splits=splits,
        resamples=resamples,
        seed=seed,
    )
    # A pipe has no width of its own; numbers must not be folded there.
    Console(width=None if sys.stdout.isatty() else 180).print(steps.comparison_table(found))
    typer.echo(found.verdict)
    over = found.exceeding(largest_ratio, require or ())
    if over:
        names = ", ".join(row.measure for row in over)
        typer.echo(f"Over the limit of {largest_ratio:g} times real against real: {names}")
        raise typer.Exit(_OVER_THE_LIMIT)


@app.command("run")
def run_command(
    recipe: Annotated[
        str,
        typer.Argument(help="Recipe file (TOML) or packaged recipe: complete-journey."),
    ] = "complete-journey",
    folder: Annotated[
        Path | None, typer.Option(help="Put the results here instead of the recipe's folder.")
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Only check the recipe and print it with all settings.")
    ] = False,
) -> None:
    """Run the whole loop from one file; what is done already is not done again."""
    if check:
        typer.echo(recipe_toml(load_recipe(recipe)))
        return
    result = run_recipe(recipe, folder=folder)
    typer.echo(f"Simulated {result.sessions:,} sessions (run {result.run_id}) into {result.log}")
    typer.echo(f"Report: {result.report}")
    typer.echo(f"Result: {result.verdict}")


@app.command()
def doctor() -> None:
    """Say what this machine can do, what is missing and how to get it."""
    findings = diagnose()
    table = Table(show_header=True, header_style="bold")
    for heading in ("", "What", "Found", "What to do"):
        table.add_column(heading, overflow="fold")
    marks = {"ok": "[green]ok[/green]", "warning": "[yellow]note[/yellow]"}
    for finding in findings:
        mark = marks.get(finding.state, "[red]missing[/red]")
        table.add_row(mark, finding.subject, escape(finding.detail), escape(finding.remedy))
    console.print(table)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; mistakes print one line and what to do, without a traceback."""
    # Threads that spin while they wait slow training down several times as soon as another
    # program wants a core. Read when torch is loaded, so it has to be set before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(standalone_mode=True)
    except FootfallError as error:
        # Not folded at the terminal's width: paths and commands are there to be copied.
        console.print(f"[red]Error:[/red] {escape(error.message)}", highlight=False, soft_wrap=True)
        if error.hint:
            console.print(f"  {error.hint}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2 if isinstance(error, InputError) else 1)
    except OSError as error:
        # A folder that cannot be made or a disk that is full, wherever it was noticed.
        place = f"{error.filename}: " if error.filename else ""
        console.print(
            f"[red]Error:[/red] {escape(f'{place}{error.strerror or error}')}.",
            highlight=False,
            soft_wrap=True,
        )
        console.print("  Finished parts are kept; free the disk or name another folder.")
        sys.exit(1)
    except SystemExit as end:
        # The command line turns an interrupt into this exit status and says nothing.
        if end.code == INTERRUPTED:
            console.print(
                "Interrupted. What was finished is kept; run the same command to continue."
            )
        raise
