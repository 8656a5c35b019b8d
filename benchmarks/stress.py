"""Recommenders under scenarios: ``benchmarks/stress.py LOG PERSONAS --until DATE --browsing 1``.

Plays every scenario in front of each target with the same shoppers and prints, scenario by
scenario, how each differs from popularity, with 95 % intervals over shoppers, what the scenario
changes in its conversion beyond what it changes in popularity's (own part), and which thresholds
break. Results are kept in ``--folder``, so that an interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import os
from datetime import datetime
from pathlib import Path

from machine import describe_machine

import footfall
from footfall.eval.results import format_figure, format_figures, rows_to_markdown
from footfall.eval.stress.results import StressResult
from footfall.eval.stress.settings import StressSettings

TARGETS = ("popularity", "als", "content")
SCENARIOS = ("steady-traffic", "sale-day", "new-catalogue", "trend-shift", "shilling")
MEASURES = ("ctr", "conversion", "ndcg", "coverage", "cold exposure by demand", "attacked exposure")


def table(scenario: str, results: list[StressResult]) -> str:
    """One row a target."""
    rows = []
    for result in results:
        found = result.scenario(scenario)
        by_name = {row.measure: row for row in found.measures}
        cells = [result.target]
        for name in MEASURES:
            row = by_name.get(name)
            if row is None or row.value is None:
                cells.append("–")
                continue
            interval = format_figures(row.difference_low, row.difference_high, signed=True)
            cells.append(f"{format_figure(row.value)} ({interval})" if interval else "–")
        own = found.own_loss.get("conversion")
        loss = "–" if own is None else format_figure(own.value, signed=True)
        if own is not None and own.low is not None:
            loss += f" ({format_figures(own.low, own.high, signed=True)})"
        cells.append(loss)
        broken = [each.words for each in found.thresholds if each.outcome == "fail"]
        rows.append([*cells, "; ".join(broken) or "none"])
    return rows_to_markdown(["target", *MEASURES, "conversion, own part", "broken"], rows)


def main() -> None:
    # Threads that spin while they wait slow everything down beside anything else.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("personas", type=Path)
    parser.add_argument("--until", type=datetime.fromisoformat, required=True)
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--browsing", type=float, help="share of visits without a query")
    parser.add_argument("--folder", type=Path, default=Path("stress"))
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--scenarios", nargs="+", default=list(SCENARIOS))
    options = parser.parse_args()
    settings = StressSettings(
        until=options.until,
        sessions=options.sessions,
        days=options.days,
        browsing_share=options.browsing,
    )
    results = [
        footfall.stress(
            target,
            log=options.log,
            personas=options.personas,
            scenarios=options.scenarios,
            settings=settings,
            folder=options.folder / target,
            timeout=60.0,
        )
        for target in options.targets
    ]
    print(describe_machine())
    browsing = "the log's share" if options.browsing is None else f"{options.browsing:.0%}"
    print(
        f"{browsing} of visits browse; {options.sessions:,} visits over {options.days} days in "
        "steady traffic; value, and the "
        "interval of the difference from popularity\n"
    )
    for scenario in options.scenarios:
        print(f"### {scenario}\n\n{table(scenario, results)}")


if __name__ == "__main__":
    main()
