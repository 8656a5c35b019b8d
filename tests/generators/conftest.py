"""Logs that the generators learn from."""

import pytest
from generator_logs import KINDS, write_log


@pytest.fixture(scope="session")
def logs(tmp_path_factory):
    """A log of every kind, to be read only."""
    folder = tmp_path_factory.mktemp("logs")
    return {kind: write_log(folder / f"{kind}.duckdb", **how) for kind, how in KINDS.items()}


@pytest.fixture
def log_path(tmp_path):
    """A plain log that a test may write to."""
    return write_log(tmp_path / "shop.duckdb", late="fruit-29")
