"""The commands that print the figures of the classifier run, on little."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.train


def printed(name, *options):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), *options],
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def table_rows(text):
    """Cells of the Markdown tables' rows, by the first cell."""
    # Large numbers have commas.
    lines = text.replace(",", "").splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def test_training_is_timed_beside_the_plain_trainer():
    text = printed("training", "--steps=1", "--repeats=1", "--slates=12", "--batch-size=12")
    rows = table_rows(text)
    for arm in ("plain Trainer", "Footfall"):
        assert float(rows[arm][0].split()[0]) > 0
    assert "Ratio of medians" in text


def test_scoring_is_timed_in_every_form():
    rows = table_rows(printed("scoring", "--rows=40", "--repeats=1"))
    for form in ("two towers", "two towers merged", "two towers int8", "cross-encoder"):
        speed, every_text_its_own, _ = rows[form]
        assert float(speed.split()[0]) > 0
        assert float(every_text_its_own.split()[0]) > 0
