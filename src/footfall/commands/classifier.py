"""``footfall train``, ``footfall score`` and ``footfall export-model``: the click classifier."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from footfall import steps
from footfall.commands.options import (
    Assignments,
    Seed,
    SettingsFile,
    assigned,
    settings_from,
)
from footfall.errors import SettingError
from footfall.finetune import (
    ClickModel,
    ClickSettings,
    load_examples,
    log_batches,
    parquet_batches,
    score_batches,
)
from footfall.simulator import Log

if TYPE_CHECKING:
    from footfall.finetune import ExampleBatches

__all__ = ["echo_gain", "export_model", "score", "train"]

ModelFolder = Annotated[Path, typer.Argument(help="Folder of a trained model.", show_default=False)]


def train(
    examples: Annotated[
        Path, typer.Argument(help="Training examples (Parquet).", show_default=False)
    ],
    model: Annotated[Path, typer.Argument(help="Folder for the model.", show_default=False)],
    validation: Annotated[
        Path | None, typer.Option(help="Real validation examples, for early stopping.")
    ] = None,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option(help="Continue from the last checkpoint.")] = False,
    assign: Assignments = None,
    settings: SettingsFile = None,
) -> None:
    """Train the click-through classifier.

    The settings file may hold the table training; --set reaches each of its settings. Start it
    with `accelerate launch -m footfall train …` on several GPUs.
    """
    given = assigned(assign, ClickSettings) | ({} if seed is None else {"seed": seed})
    chosen = settings_from(ClickSettings, settings, "training", **given)
    made = steps.train(examples, model, validation=validation, settings=chosen, resume=resume)
    from footfall.finetune.processes import is_main_process

    if not is_main_process(chosen.device):
        return
    figures = made.card["training"]
    if figures["best_log_loss"] is not None:
        typer.echo(
            f"Validation log loss: {figures['start_log_loss']:.4f} at the start, "
            f"{figures['best_log_loss']:.4f} at the best (kept: {figures['kept']})"
        )
    if "auc" in figures["best_metrics"]:
        typer.echo(f"Validation AUC: {figures['best_metrics']['auc']:.4f}")
    typer.echo(f"Model in {model}")


def score(
    model: ModelFolder,
    source: Annotated[
        Path,
        typer.Argument(help="Parquet file, folder of such files, or a log.", show_default=False),
    ],
    output: Annotated[Path, typer.Argument(help="Parquet file to write.", show_default=False)],
    until: Annotated[
        datetime | None,
        typer.Option(help="Of a log: end of the training part; prices and counts stop there."),
    ] = None,
    start: Annotated[
        datetime | None, typer.Option(help="Of a log: pages from this time on.")
    ] = None,
    end: Annotated[datetime | None, typer.Option(help="Of a log: pages before this time.")] = None,
    label: Annotated[
        str | None, typer.Option(help="Of a log: purchased or clicked; purchased.")
    ] = None,
    correct_prior: Annotated[
        bool,
        typer.Option(
            "--correct-prior", help="Probabilities of every exposure, not within sampled slates."
        ),
    ] = False,
) -> None:
    """Write the probability of a response for each row of a table, or of a log, of any size.

    A table needs the columns that the model reads; docs/classifier.md names them.
    """
    given: dict[str, Any] = {
        name: value
        for name, value in (("until", until), ("start", start), ("end", end), ("label", label))
        if value is not None
    }
    loaded = ClickModel.load(model)
    if not _is_database(source):
        if given:
            raise SettingError(
                f"--{next(iter(given))} belongs to a log, and {source} is none.",
                hint="Leave it out, or name a DuckDB file.",
            )
        _report(
            loaded, parquet_batches(source, needed=loaded.needed_columns), output, correct_prior
        )
        return
    if until is None:
        raise SettingError(
            f"{source} is a log, and --until is missing.",
            hint="Give the end of the model's training part.",
        )
    with Log.open(source, read_only=True) as log:
        _report(loaded, log_batches(log, **given), output, correct_prior)


def _report(model: ClickModel, source: ExampleBatches, output: Path, correct_prior: bool) -> None:
    done = score_batches(model, source, output, correct_prior=correct_prior)
    typer.echo(f"{done:,} rows scored: {output}")


def _is_database(path: Path) -> bool:
    """Whether a file is one of DuckDB, whose mark stands behind a checksum."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(12)[8:] == b"DUCK"


def export_model(
    model: ModelFolder,
    folder: Annotated[Path, typer.Argument(help="Folder for the export.", show_default=False)],
    examples: Annotated[
        Path,
        typer.Option(help="Labelled examples that it was not trained on: both are judged there."),
    ],
    kind: Annotated[
        str,
        typer.Option(help="merged (adapters in the weights) or int8 (8-bit weights, for CPUs)."),
    ] = "merged",
) -> None:
    """Make a trained classifier ready for serving, and say what AUC that costs and speed it gains.

    The folder loads and scores like any other model's.
    """
    from footfall.finetune.export import export_model as write_export

    figures = write_export(model, folder, kind=kind, examples=load_examples(examples))  # type: ignore[arg-type]
    lost = figures["auc_before"] - figures["auc_after"]
    typer.echo(
        f"AUC {figures['auc_before']:.4f} -> {figures['auc_after']:.4f} ({lost:+.4f} lost) on "
        f"{figures['rows']:,} rows"
    )
    echo_gain(figures, "Rows")
    typer.echo(f"Model in {folder}")


def echo_gain(figures: dict[str, Any], what: str) -> None:
    """Print the speed and size before and after an export; ``what`` is read so many a second."""
    faster = figures["rows_per_second_after"] / figures["rows_per_second_before"]
    typer.echo(
        f"{what} a second {figures['rows_per_second_before']:,.0f} -> "
        f"{figures['rows_per_second_after']:,.0f} ({faster:.2f} times); encoder "
        f"{figures['encoder_megabytes_before']:.1f} -> {figures['encoder_megabytes_after']:.1f} MiB"
    )
