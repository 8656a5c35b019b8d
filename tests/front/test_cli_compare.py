"""`footfall compare` on the command line: exit statuses, files and words."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from footfall import steps
from footfall.cli import main
from footfall.errors import SettingError
from footfall.simulator.log import Log

START = datetime(2026, 1, 5)
FAST = ("--splits", "10", "--resamples", "20")


def rows_of(origin: str, users: int, clicks: float, seed: int) -> dict[str, list[dict]]:
    generator = np.random.default_rng(seed)
    rows: dict[str, list[dict]] = {"sessions": [], "searches": [], "impressions": []}
    for number in range(2 * users):
        session = f"{origin}-{number}"
        start = START + timedelta(hours=float(generator.uniform(0, 900)))
        common = {"session_id": session, "origin": origin}
        rows["sessions"].append(
            common | {"user_id": f"{origin}-u{number % users}", "started_at": start}
        )
        rows["searches"].append(
            common
            | {
                "search_id": session,
                "step": 1,
                "page": 1,
                "candidates": "logged" if origin == "real" else "simulated",
                "searched_at": start,
            }
        )
        rows["impressions"] += [
            {
                "search_id": session,
                "position": position,
                "item_id": f"i{position}",
                "clicked": bool(generator.random() < clicks),
                "sample_rate": 1.0,
                "origin": origin,
            }
            for position in range(1, 6)
        ]
    return rows


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("compare") / "shop.duckdb"
    with Log.create(path) as made:
        items = [{"item_id": f"i{k}", "text": "", "origin": "real"} for k in range(1, 6)]
        made.append("items", pa.Table.from_pylist(items))
        for origin, users, clicks in (("real", 80, 0.3), ("like", 30, 0.3), ("eager", 30, 0.9)):
            for table, rows in rows_of(origin, users, clicks, len(origin)).items():
                made.append(table, pa.Table.from_pylist(rows))
            if origin != "real":
                made.start_run(origin, "simulate", {"knowledge_until": None}, seed=0)
                made.end_run(origin, "finished")
    return path


@pytest.fixture
def compare(log, monkeypatch, capsys):
    """Run the command in this process; return its exit status, output and messages."""

    def run(*arguments):
        monkeypatch.setattr(
            sys, "argv", ["footfall", "compare", *map(str, (log, *arguments)), *FAST]
        )
        with pytest.raises(SystemExit) as end:
            main()
        words = capsys.readouterr()
        return end.value.code, words.out, words.err

    return run


def test_a_run_over_the_limit_exits_with_three_and_leaves_its_files(compare, log, tmp_path):
    page, table = tmp_path / "compare.html", tmp_path / "compare.json"
    status, output, _ = compare("--run", "eager", "--output", page, "--json", table)
    assert status == 3
    assert "clicks per session" in output
    assert "shoppers click 3" in " ".join(output.split())
    assert "Over the limit of 2 times real against real" in output
    assert "clicks per session" in page.read_text(encoding="utf-8")
    assert f"footfall compare {log} --run eager" in page.read_text(encoding="utf-8")
    found = json.loads(table.read_text(encoding="utf-8"))
    (row,) = [row for row in found["rows"] if row["measure"] == "clicks per session"]
    assert row["verdict"] == "further"
    assert row["synthetic"]["value"] > 2 * row["real"]


def test_required_measures_decide(compare):
    status, output, _ = compare("--run", "like", "--require", "clicks per session")
    assert status == 0, output
    assert "measures lie within" in output
    status, output, _ = compare("--run", "like", "--require", "purchases per session")
    assert status == 3
    assert "purchases per session" in output.splitlines()[-1]


def test_wrong_input_exits_with_two_and_says_what_to_do(compare, tmp_path):
    for arguments, words in (
        (("--run", "nobody"), "no run 'nobody'"),
        (("--run", "like", "--require", "clicks"), "no measure 'clicks'"),
        (("--run", "like", "--json", tmp_path / "no" / "a.json"), "does not exist"),
    ):
        status, _, messages = compare(*arguments)
        assert status == 2
        assert words in messages
        assert "Traceback" not in messages


def test_limits_are_checked_before_anything_is_compared(log):
    with pytest.raises(SettingError, match="largest_ratio"):
        steps.compare(log, "nobody", largest_ratio=float("nan"))
