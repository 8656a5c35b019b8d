"""The fidelity report as one HTML file, and as a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from footfall.eval.fidelity_results import COLUMNS, Fidelity, FidelityRow, format_distance
from footfall.eval.pages import render_page
from footfall.eval.plots import categories_plot, fidelity_plot, positions_plot
from footfall.eval.results import format_number
from footfall.files import whole_file

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["fidelity_table", "render_fidelity", "write_fidelity"]

#: Section of a row to its heading, in the order of the page.
_SECTIONS: Final = {
    "rates": "Rates",
    "sessions": "Sessions as a whole",
    "positions": "Positions",
    "mixes": "Items and prices",
    "queries": "Words",
    "models": "Trained models",
}


def _sections(rows: Sequence[FidelityRow]) -> list[tuple[str, list[FidelityRow]]]:
    order = list(_SECTIONS)
    ranked = sorted(rows, key=lambda row: order.index(row.section))
    return [
        (_SECTIONS[name], list(found)) for name, found in groupby(ranked, lambda row: row.section)
    ]


def render_fidelity(
    found: Fidelity,
    *,
    largest_ratio: float = 2.0,
    require: Sequence[str] = (),
    title: str = "",
    command: str = "",
) -> str:
    """The comparison as HTML text; the limits are those of :meth:`Fidelity.exceeding`."""
    from markupsafe import Markup

    over = found.exceeding(largest_ratio, require)
    drawn = {
        "fidelity": fidelity_plot(found.rows),
        "positions": positions_plot(found.positions),
        "categories": categories_plot(found.categories),
    }
    return render_page(
        "fidelity.html.j2",
        found=found,
        title=title or f"Fidelity of {found.run_id}",
        # The figures are made here and escape every text they show.
        plots={name: Markup(svg) for name, svg in drawn.items()},  # noqa: S704
        sections=_sections(found.rows),
        over=over,
        passed=not over,
        largest_ratio=largest_ratio,
        within=sum(row.verdict == "within" for row in found.rows),
        measured=sum(row.measured for row in found.rows),
        command=command or f"footfall compare LOG --run {found.run_id}",
    )


def write_fidelity(
    path: str | Path,
    found: Fidelity,
    *,
    largest_ratio: float = 2.0,
    require: Sequence[str] = (),
    title: str = "",
    command: str = "",
) -> Path:
    """Write the comparison to one self-contained HTML file, replacing it in one step.

    Raises
    ------
    DataError
        If the folder does not exist or the file cannot be written.
    """
    page = render_fidelity(
        found, largest_ratio=largest_ratio, require=require, title=title, command=command
    )
    with whole_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return Path(path)


def fidelity_table(found: Fidelity) -> Table:
    """The rows as a table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=True, header_style="bold", title=f"Fidelity of {found.run_id}")
    table.add_column("measure", overflow="fold")
    table.add_column("real", justify="right")
    table.add_column("run's value", justify="right")
    for _, heading in COLUMNS:
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("verdict", overflow="fold")
    styles = {"within": "green", "further": "red", "not measured": "dim"}
    for row in found.rows:
        cells = [format_distance(getattr(row, attribute)) for attribute, _ in COLUMNS]
        table.add_row(
            Text(row.measure),
            format_number(row.real, digits=3),
            format_number(row.synthetic.value, digits=3),
            *cells,
            Text(row.words, style=styles[row.verdict]),
        )
    return table
