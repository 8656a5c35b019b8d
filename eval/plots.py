"""Figures of the report as inline SVG: no fonts, scripts or addresses inside, same bytes each time.

The figures are drawn in stand-in colours that are replaced by style-sheet variables, so they
follow the page into dark mode. Text stays text, in the page's own font.
"""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from footfall.eval.results import ArmComparison

if TYPE_CHECKING:
    from footfall.eval.fidelity_results import FidelityColumn, FidelityRow
    from footfall.eval.likeness_results import LikenessRow, MixShare, PositionPoint

__all__ = [
    "arms_plot",
    "categories_plot",
    "course_plot",
    "curves_plot",
    "fidelity_plot",
    "likeness_plot",
    "positions_plot",
]

Draw: TypeAlias = Callable[[Any], None]

#: Stand-in colour to style-sheet variable.
_COLOURS: Final = {
    "#010101": "--ink",
    "#020202": "--muted",
    "#030303": "--line",
    "#040404": "--real",
    "#050505": "--synthetic",
    "#060606": "--control",
}
_INK, _MUTED, _LINE, _REAL, _SYNTHETIC, _CONTROL = _COLOURS
_WIDTH: Final = 4.4
#: Sides of a figure in the order in which they are drawn.
_SIDES: Final = {"real": _REAL, "synthetic": _SYNTHETIC, "simple": _CONTROL}
#: Ends of the axis of multiples of real against real.
_NEAREST, _FURTHEST = 0.1, 1000.0
_SETTINGS: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "footfall",
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.parse_math": False,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.color": _MUTED,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def _render(name: str, label: str, height: float, draw: Draw) -> str:
    """Draw one figure and return it as an SVG element with an accessible label."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    stream = io.StringIO()
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # Text stays text, so the browser's fonts decide about glyphs, not matplotlib's.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph .*")
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        draw(axes)
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=metadata)
    return _inline(stream.getvalue(), name, label)


def _inline(svg: str, name: str, label: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'xlink:href="#', f'href="#{name}-', svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    for colour, variable in _COLOURS.items():
        svg = svg.replace(colour, f"var({variable})")
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]
    opening = (
        f'<svg class="plot" role="img" aria-label="{html.escape(label)}" '
        f'viewBox="0 0 {width} {height}" preserveAspectRatio="xMidYMid meet">'
    )
    return opening + svg[svg.index(">") + 1 :].strip()


def _shorten(text: str, length: int = 30) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def arms_plot(arms: ArmComparison, slice_name: str = "all") -> str:
    """AUC of every arm with its interval, as points on a line; empty where nothing is measured."""
    rows = [(name, found.row("auc", slice_name)) for name, found in arms.evaluations.items()]
    rows = [(name, row) for name, row in rows if row.value is not None][::-1]
    if not rows:
        return ""

    def draw(axes: Any) -> None:
        for place, (name, row) in enumerate(rows):
            colour = _CONTROL
            if name == arms.reference:
                colour = _REAL
                axes.axvline(row.value, color=_REAL, linewidth=0.8, linestyle=(0, (3, 3)))
            elif name in arms.synthetic:
                colour = _SYNTHETIC
            if row.low is not None:
                axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2)
            axes.plot(row.value, place, "o", color=colour, markersize=6)
        axes.set_yticks(range(len(rows)), [_shorten(name) for name, _ in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"AUC, {slice_name}")

    words = "; ".join(f"{name} {row.value:.4f}" for name, row in reversed(rows))
    label = f"AUC by arm, {slice_name}: {words}"
    key = re.sub(r"\W", "", slice_name)
    return _render(f"arms-{key}", label, 0.75 + 0.32 * len(rows), draw)


def likeness_plot(rows: Sequence[LikenessRow]) -> str:
    """Synthetic distance in multiples of the floor, on a logarithmic scale."""
    found = [(row.measure, row.ratio) for row in rows if row.ratio is not None][::-1]
    if not found:
        return ""
    values = [min(max(ratio, 0.1), 1000.0) for _, ratio in found]

    def draw(axes: Any) -> None:
        places = range(len(found))
        axes.hlines(places, 1.0, values, color=_SYNTHETIC, linewidth=2)
        axes.plot(values, places, "o", color=_SYNTHETIC, markersize=6)
        axes.axvline(1.0, color=_REAL, linewidth=1.5)
        axes.set_xscale("log")
        axes.set_xlim(min(0.5, *values) * 0.8, max(2.0, *values) * 1.4)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
        axes.xaxis.set_minor_formatter(lambda *_: "")
        axes.tick_params(axis="x", which="minor", length=0)
        axes.set_yticks(places, [_shorten(measure) for measure, _ in found])
        axes.set_ylim(-0.6, len(found) - 0.4)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("distance ÷ floor (real against real)")

    words = "; ".join(f"{measure} {ratio:.1f} times" for measure, ratio in reversed(found))
    label = f"Distance of the synthetic part in multiples of the real-real distance: {words}"
    return _render("likeness", label, 0.75 + 0.27 * len(found), draw)


def _within(value: float) -> float:
    return min(max(value, _NEAREST), _FURTHEST)


def _mark(axes: Any, place: float, column: FidelityColumn, floor: float, style: Any) -> None:
    """A point and its interval in multiples of the floor; open at the end of the axis."""
    if column.distance is None:
        return
    if column.low is not None and column.high is not None:
        ends = [_within(column.low / floor), _within(column.high / floor)]
        axes.plot(ends, [place, place], color=style["color"], linewidth=1.5)
    axes.plot(_within(column.distance / floor), place, markersize=5, linestyle="", **style)


def fidelity_plot(rows: Sequence[FidelityRow]) -> str:
    """Distances of the run and the simple simulator in multiples of real against real."""
    found = [row for row in rows if row.measured and row.floor.distance][::-1]
    if not found:
        return ""

    def draw(axes: Any) -> None:
        for place, row in enumerate(found):
            floor = row.floor.distance or 1.0
            low, high = ((bound or 0.0) / floor for bound in (row.floor.low, row.floor.high))
            axes.plot(
                [_within(low), _within(high)], [place] * 2, color=_REAL, linewidth=9, alpha=0.3
            )
            _mark(axes, place - 0.2, row.simple, floor, {"color": _CONTROL, "marker": "s"})
            _mark(axes, place + 0.2, row.synthetic, floor, {"color": _SYNTHETIC, "marker": "o"})
        axes.axvline(1.0, color=_REAL, linewidth=1)
        for name, style in (
            ("run", {"color": _SYNTHETIC, "marker": "o"}),
            ("simple simulator", {"color": _CONTROL, "marker": "s"}),
        ):
            axes.plot([], [], linestyle="", markersize=5, label=name, **style)
        axes.plot([], [], color=_REAL, linewidth=9, alpha=0.3, label="real against real")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
        axes.xaxis.set_minor_formatter(lambda *_: "")
        axes.tick_params(axis="x", which="minor", length=0)
        axes.set_yticks(range(len(found)), [_shorten(row.measure) for row in found])
        axes.set_ylim(-0.7, len(found) - 0.3)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("distance ÷ real against real")
        axes.figure.legend(loc="outside upper center", ncols=3, fontsize=8)

    words = "; ".join(
        f"{row.measure} {row.synthetic.ratio:.1f} times"
        for row in reversed(found)
        if row.synthetic.ratio is not None
    )
    label = f"Distance of the run in multiples of real against real: {words}"
    return _render("fidelity", label, 1.1 + 0.3 * len(found), draw)


def positions_plot(points: Sequence[PositionPoint]) -> str:
    """Response rate by position of both sides."""
    if not points:
        return ""

    def draw(axes: Any) -> None:
        for name, colour in _SIDES.items():
            drawn = [(p.position, getattr(p, name)) for p in points]
            drawn = [(place, 100 * value) for place, value in drawn if value is not None]
            if drawn:
                axes.plot(*zip(*drawn, strict=True), "o-", color=colour, label=name, markersize=4)
        axes.set_xlabel("position")
        axes.set_ylabel("responses per 100 impressions")
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y")
        axes.legend()

    label = "Response rate by position of every side; the table holds the numbers"
    return _render("positions", label, 2.6, draw)


def categories_plot(shares: Sequence[MixShare]) -> str:
    """Shares of the largest categories of both sides as paired bars."""
    if not shares:
        return ""
    rows = list(shares)[::-1]

    def draw(axes: Any) -> None:
        places = range(len(rows))
        sides = [name for name in _SIDES if getattr(rows[0], name) is not None]
        height = 0.74 / len(sides)
        for turn, name in enumerate(sides):
            below = (turn - (len(sides) - 1) / 2) * height
            shares = [100 * (getattr(row, name) or 0.0) for row in rows]
            where = [place - below for place in places]
            axes.barh(where, shares, 0.95 * height, color=_SIDES[name], label=name)
        axes.set_yticks(places, [_shorten(row.name, 24) for row in rows])
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("share of the items responded to, in %")
        axes.legend(loc="lower right")

    words = "; ".join(f"{r.name} {r.real:.1%} real, {r.synthetic:.1%} synthetic" for r in shares)
    return _render("categories", f"Category mix: {words}", 0.8 + 0.34 * len(rows), draw)


def curves_plot(curves: Sequence[tuple[str, Sequence[float], Sequence[float]]], what: str) -> str:
    """Lines of (name, x values, y values), such as training loss by step."""
    if not curves:
        return ""
    styles: tuple[Any, ...] = ("-", "--", ":", "-.")

    def draw(axes: Any) -> None:
        for number, (name, steps, values) in enumerate(curves):
            colour = (_SYNTHETIC, _REAL, _CONTROL, _MUTED)[number % 4]
            style = styles[(number // 4) % 4]
            axes.plot(list(steps), list(values), style, color=colour, label=_shorten(name))
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=6)
        axes.set_xlabel("step")
        axes.set_ylabel(what)
        axes.grid(axis="y")
        axes.legend()

    names = ", ".join(name for name, _, _ in curves)
    return _render("training", f"{what} by step of {names}", 2.6, draw)


def course_plot(
    name: str, what: str, lines: Sequence[tuple[str, Sequence[int], Sequence[float | None]]]
) -> str:
    """Lines of (name, days, values) over simulated days; missing values break a line."""
    if not lines:
        return ""

    def draw(axes: Any) -> None:
        for number, (line, days, values) in enumerate(lines):
            colour = (_SYNTHETIC, _REAL, _CONTROL)[number % 3]
            shown = [float("nan") if value is None else value for value in values]
            style: Any = ("-", "--", ":")[number % 3]
            axes.plot(list(days), shown, style, color=colour, label=_shorten(line))
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=8)
        axes.set_xlabel("simulated day")
        axes.set_ylabel(what)
        axes.grid(axis="y")
        axes.legend(fontsize=8)

    key = re.sub(r"\W", "-", name)
    ends = (f"{line} {values[0]} to {values[-1]}" for line, _, values in lines if values)
    return _render(f"course-{key}", f"{what} by simulated day: {'; '.join(ends)}", 2.4, draw)
