"""``footfall classify``: the category that a query is for."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from footfall.commands.classifier import echo_gain
from footfall.commands.options import (
    Assignments,
    LogFile,
    Seed,
    SettingsFile,
    Until,
    assigned,
    settings_from,
)
from footfall.errors import DataError, SettingError
from footfall.files import check_folder, whole_file
from footfall.finetune import QueryClassifier, QueryPairs, QuerySettings, read_query_pairs
from footfall.simulator import Log

__all__ = ["app"]

app = typer.Typer(
    name="classify", help="Learn and tell the category that a query is for.", no_args_is_help=True
)

ResponseLabel = Annotated[
    str, typer.Option(help="Response that says what a query is for: purchased or clicked.")
]


@app.command()
def train(
    log: LogFile,
    model: Annotated[Path, typer.Argument(help="Folder for the model.", show_default=False)],
    until: Until = None,
    label: ResponseLabel = "purchased",
    seed: Seed = None,
    resume: Annotated[bool, typer.Option(help="Continue from the last checkpoint.")] = False,
    assign: Assignments = None,
    settings: SettingsFile = None,
) -> None:
    """Learn from the queries of a log and the categories of what was responded to.

    The settings file may hold the table classification. The latest responses before --until stop
    the training and judge it, beside the commonest category and a model of words.
    """
    given = assigned(assign, QuerySettings) | ({} if seed is None else {"seed": seed})
    chosen = settings_from(QuerySettings, settings, "classification", **given)
    pairs, held_out = _parted(log, chosen, until, label)
    made = QueryClassifier(chosen).fit(
        pairs.queries,
        pairs.categories,
        pairs.weights,
        validation=held_out,
        folder=model,
        resume=resume,
    )
    from footfall.finetune.processes import is_main_process

    if not is_main_process(chosen.device):
        return
    typer.echo(f"{len(made.classes)} categories")
    for name, figures in made.card["validation"].items():
        typer.echo(
            f"{name}: accuracy {figures['accuracy']:.4f}, macro-F1 {figures['macro_f1']:.4f}"
        )
    typer.echo(f"Model in {model}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of the model.", show_default=False)],
    queries: Annotated[
        list[str] | None, typer.Argument(help="Queries.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Queries: a text file, one a line, or Parquet with the column query."),
    ] = None,
    top: Annotated[int, typer.Option(help="Most categories of each query.", min=1)] = 1,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Parquet file to write, in place of text.")
    ] = None,
) -> None:
    """Print the likeliest categories of queries, with their probabilities."""
    check_folder(output)
    if bool(queries) == (file is not None):
        raise SettingError(
            "Queries are needed, either as arguments or by --file.",
            hint='Such as `footfall classify predict MODEL "running shoes"`.',
        )
    texts = list(queries or []) if file is None else _queries_of(file)
    table = _likeliest(QueryClassifier.load(model), texts, top)
    if output is not None:
        with whole_file(output) as partial:
            pq.write_table(table, partial)
        typer.echo(f"{len(texts):,} queries classified: {output}")
        return
    for row in table.to_pylist():
        typer.echo(f"{row['query']}\t{row['category']}\t{row['probability']:.4f}")


@app.command("export")
def export_command(
    log: LogFile,
    model: Annotated[Path, typer.Argument(help="Folder of the model.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Folder for the export.", show_default=False)],
    until: Until = None,
    label: ResponseLabel = "purchased",
    kind: Annotated[
        str,
        typer.Option(help="merged (adapters in the weights) or int8 (8-bit weights, for CPUs)."),
    ] = "merged",
) -> None:
    """Make a query classifier ready for serving, and say what that costs and gains.

    Both are judged on the queries that stopped the training, so give its --until and --label.
    """
    from footfall.finetune.export import check_apart, export_query_classifier

    check_apart(model, folder)
    trained = QueryClassifier.load(model)
    _, held_out = _parted(log, trained.settings, until, label)
    figures = export_query_classifier(trained, folder, kind=kind, pairs=held_out)  # type: ignore[arg-type]
    lost = figures["accuracy_before"] - figures["accuracy_after"]
    typer.echo(
        f"Accuracy {figures['accuracy_before']:.4f} -> {figures['accuracy_after']:.4f} "
        f"({lost:+.4f} lost) on {figures['rows']:,} distinct pairs"
    )
    echo_gain(figures, "Queries")
    typer.echo(f"Model in {folder}")


def _parted(
    log: Path, settings: QuerySettings, until: datetime | None, label: str
) -> tuple[QueryPairs, QueryPairs]:
    """Queries to learn from, and those that stop and judge the training."""
    with Log.open(log) as opened:
        return read_query_pairs(
            opened,
            until=until,
            label=label,  # type: ignore[arg-type]
            validation_share=settings.validation_share,
            seed=settings.seed,
        )


def _queries_of(file: Path) -> list[str]:
    try:
        if file.suffix != ".parquet":
            lines = file.read_text(encoding="utf-8").splitlines()
            return [line for line in lines if line.strip()]
        column = pq.read_table(file, columns=["query"])["query"].cast(pa.string())
    except (OSError, UnicodeDecodeError, KeyError, pa.ArrowException) as error:
        raise DataError(
            f"{file}: queries cannot be read: {error}",
            hint="Give a text file in UTF-8, or Parquet with the column query.",
        ) from error
    found: list[str] = column.drop_null().to_pylist()
    return found


def _likeliest(model: QueryClassifier, texts: list[str], top: int) -> pa.Table:
    """One row a query and category: query, rank from 1, category, probability."""
    probabilities = model.predict_proba(texts)
    count = min(top, probabilities.shape[1])
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return pa.table(
        {
            "query": pa.array(np.repeat(np.asarray(texts, object), count), pa.string()),
            "rank": np.tile(np.arange(1, count + 1), len(texts)),
            "category": pa.array([model.classes[place] for place in order.ravel()], pa.string()),
            "probability": np.take_along_axis(probabilities, order, axis=1).ravel(),
        }
    )
