"""Time and memory of ingesting the Complete Journey, as a Markdown table.

Every run is a process of its own, so that the peak of its resident memory is its own::

    python benchmarks/ingest.py --runs 3
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from machine import describe_machine

CHILD = """
import json, resource, sys
from footfall.simulator.ingest import ingest_complete_journey
path, folder, seed, memory_limit, threads = sys.argv[1:]
report = ingest_complete_journey(
    path, folder=folder or None, seed=int(seed), memory_limit=memory_limit, threads=int(threads)
)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
print(json.dumps({"seconds": report.seconds, "gib": peak, "rows": report.rows,
                  "source_rows": report.source_rows}))
"""


def run_once(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        path = Path(folder) / "journey.duckdb"
        arguments = [str(path), options.folder or "", str(options.seed)]
        arguments += [options.memory_limit, str(options.threads)]
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *arguments], check=True, stdout=subprocess.PIPE, text=True
        )
        result: dict[str, Any] = json.loads(done.stdout)
        result["mib"] = path.stat().st_size / 1024**2
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="how many times (default 3)")
    parser.add_argument("--folder", help="folder of the Parquet files; default: the package's")
    parser.add_argument("--scratch", help="where to write the log; default: the temporary folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory-limit", default="3GB", help="DuckDB's limit (default 3GB)")
    parser.add_argument("--threads", type=int, default=2, help="DuckDB's threads (default 2)")
    options = parser.parse_args()
    results = []
    print("| run | seconds | peak memory (GiB) | rows read | rows written | log (MiB) |")
    print("|---|---|---|---|---|---|")
    for number in range(1, options.runs + 1):
        result = run_once(options)
        results.append(result)
        print(
            f"| {number} | {result['seconds']:.1f} | {result['gib']:.2f} "
            f"| {sum(result['source_rows'].values()):,} | {sum(result['rows'].values()):,} "
            f"| {result['mib']:.0f} |",
            flush=True,
        )
    seconds = median(result["seconds"] for result in results)
    print(f"\nMedian {seconds:.1f} s over {options.runs} runs, seed {options.seed}.")
    rows = ", ".join(f"{table} {count:,}" for table, count in results[-1]["rows"].items() if count)
    print(f"Rows written: {rows}.")
    print(
        f"Machine: {describe_machine()}, {options.threads} DuckDB threads, "
        f"DuckDB {version('duckdb')}."
    )


if __name__ == "__main__":
    main()
